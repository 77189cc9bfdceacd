"""The house keeps its shape: rooms, forbidden imports, and mistakes of our own kind."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "allod"
SERVER_SIDE = {
    "litestar", "granian", "sqlalchemy", "alembic", "structlog",
    "cyclopts", "rich", "httpx2", "segno",
}  # fmt: skip
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["allod.agent.main", "allod.agent.worker"])
def test_agent_loads_nothing_of_the_server(module: str) -> None:
    """A device never needs, nor loads, what only a server or an owner's command needs."""
    assert not loaded_by(f"import {module}") & SERVER_SIDE


def test_supervisor_loads_only_the_standard_library() -> None:
    """The process that is always there stays small: no third-party module at all."""
    third_party = {"tuf", "securesystemslib", "cryptography", "msgspec", "urllib3", "jsonschema"}
    assert not loaded_by("import allod.agent.supervisor") & third_party


def test_import_contracts_hold() -> None:
    """import-linter's contracts in pyproject.toml: layers, pure rooms, agent's dependencies."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], capture_output=True, text=True, cwd=SOURCE.parents[1])
    assert done.returncode == 0, done.stdout


def modules() -> list[Path]:
    """Every module that is shipped."""
    return sorted(SOURCE.rglob("*.py"))


def calls(tree: ast.AST) -> set[str]:
    """Dotted names of what a module calls."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("room", ["domain", "trust", "tlog", "wire", "audit"])
def test_pure_rooms_have_no_clock_and_no_chance(room: str) -> None:
    """The rules take `now` as a value; they never ask a clock or throw dice."""
    forbidden = ("datetime.now", "datetime.utcnow", "time.time", "random.", "secrets.", "open")
    for path in sorted((SOURCE / room).rglob("*.py")):
        found = {
            name
            for name in calls(ast.parse(path.read_text()))
            if name == "open" or any(name.startswith(bad) for bad in forbidden if bad != "open")
        }
        assert not found, f"{path.relative_to(SOURCE)} calls {found}"


def test_module_names_say_something() -> None:
    """No module is called after nothing in particular."""
    assert not [path for path in modules() if path.stem in VAGUE]


def test_nothing_happens_at_import() -> None:
    """No module reads the environment or a file while it is imported."""
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                text = ast.unparse(node)
                assert "os.environ" not in text, f"{path.relative_to(SOURCE)}: {text[:80]}"
                assert ".read_text(" not in text, f"{path.relative_to(SOURCE)}: {text[:80]}"


def test_no_shell_is_ever_given_a_string() -> None:
    """Programs are started with lists of arguments only."""
    for path in modules():
        assert "shell=True" not in path.read_text(), path
