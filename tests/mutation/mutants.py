"""Mutants: a module's source with one small thing changed, for tests to notice.

Changed are comparisons, boolean operators, arithmetic, numbers, truth values, texts, and the arms
of conditions. Docstrings, annotations, decorators and `__slots__` are left alone: what they say is
not behaviour.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_COMPARE: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_BINARY: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Mod: ast.Mult,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change."""

    line: int
    what: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(source)
    for at, node in enumerate(ast.walk(tree)):
        node.at = at  # type: ignore[attr-defined]
    for node in _behaviour(tree):
        for what, other in _changes(node):
            yield Mutant(node.lineno, what, ast.unparse(_replaced(tree, node, other)))


def _behaviour(tree: ast.Module) -> Iterator[Any]:
    """The nodes that are no documentation, annotation or decorator."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.expr):
            yield node
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "args"} and not isinstance(
                node, ast.Call
            ):
                continue
            children = value if isinstance(value, list) else [value]
            todo.extend(
                child
                for child in children
                if isinstance(child, ast.AST) and not _documents(node, child)
            )


def _documents(node: ast.AST, child: ast.AST) -> bool:
    return (
        isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Constant)
        and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )


def _changes(node: Any) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(ops=[op]):
            for other in _COMPARE.get(type(op), ()):
                yield _named(op, other), _with(node, ops=[other()])
        case ast.BoolOp(op=op):
            other_op = ast.Or if isinstance(op, ast.And) else ast.And
            yield _named(op, other_op), _with(node, op=other_op())
            for value in node.values:
                yield "one part alone", value
        case ast.BinOp(op=op) if type(op) in _BINARY:
            yield _named(op, _BINARY[type(op)]), _with(node, op=_BINARY[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", operand
        case ast.IfExp(body=body, orelse=orelse):
            yield "always the first arm", body
            yield "always the other arm", orelse
        case ast.Constant(value=bool(value)):
            yield f"{value} turned", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield f"{value} + 1", ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if value:
            yield f"{value[:30]!r} changed", ast.Constant("?" + value)
        case ast.Call(func=ast.Name(id="any")):
            yield "any made all", _with(node, func=ast.Name("all", ast.Load()))
        case ast.Call(func=ast.Name(id="all")):
            yield "all made any", _with(node, func=ast.Name("any", ast.Load()))
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other_name = "max" if name == "min" else "min"
            yield f"{name} made {other_name}", _with(node, func=ast.Name(other_name, ast.Load()))


def _named(op: ast.AST, other: type[ast.AST]) -> str:
    return f"{type(op).__name__} made {other.__name__}"


def _with(node: ast.expr, **changed: Any) -> ast.expr:
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def _replaced(tree: ast.Module, node: ast.AST, other: ast.expr) -> ast.Module:
    class Swap(ast.NodeTransformer):
        def visit(self, here: ast.AST) -> Any:
            if getattr(here, "at", None) == node.at:  # type: ignore[attr-defined]
                return other
            return self.generic_visit(here)

    return ast.fix_missing_locations(Swap().visit(copy.deepcopy(tree)))
