"""Whether a VEX statement speaks of a component (OpenVEX 0.2.0, "Product" and "Subcomponent").

A purl in a statement means everything that it does not say otherwise: without a version all of
them, and each qualifier that it has must stand in the thing's purl likewise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from allod.advisories.component import Component
from allod.advisories.finding import VexStatement
from allod.advisories.names import normalise
from allod.advisories.purl import Purl, parse
from allod.errors import InvalidInput

PURL: Final = "pkg:"
#: Types of purls whose names are written in lower case (purl-spec, types).
_FOLDED: Final = frozenset({"apk", "deb", "docker", "github", "golang", "npm", "oci", "opkg"})


def newest(
    statements: Iterable[VexStatement],
    flaw: frozenset[str],
    component: Component,
    products: Collection[str],
    authors: Collection[str] | None,
) -> VexStatement | None:
    """The last of the statements that speak of a flaw in a component, by authors that count.

    Args:
        statements: oldest first.
        flaw: its names.
        component: what has it.
        products: purls and digests of what the component is part of.
        authors: whose word counts; nothing: everybody's.
    """
    found: VexStatement | None = None
    for one in statements:
        if authors is not None and one.author not in authors:
            continue
        if not flaw.isdisjoint(one.flaws) and speaks_of(one, component, products):
            found = one
    return found


def speaks_of(one: VexStatement, component: Component, products: Collection[str]) -> bool:
    """Whether a statement is about a component, in what it is part of."""
    purl = component.said.purl
    if one.subcomponents:
        return _any(one.products, products) and _any(one.subcomponents, (purl,))
    return _any(one.products, (*products, purl))


def _any(meant: Sequence[str], things: Iterable[str]) -> bool:
    """Whether any of the things is meant."""
    return any(means(pattern, thing) for thing in things if thing for pattern in meant)


def means(pattern: str, thing: str) -> bool:
    """Whether a purl or digest in a statement means a thing's."""
    if pattern == thing:
        return True
    if not (pattern.startswith(PURL) and thing.startswith(PURL)):
        return False
    general, special = _parsed(pattern), _parsed(thing)
    if general is None or special is None:
        return False
    return (
        (general.type, general.namespace, general.name)
        == (special.type, special.namespace, special.name)
        and general.version in {"", special.version}
        and general.subpath in {"", special.subpath}
        and general.qualifiers.items() <= special.qualifiers.items()
    )


@lru_cache(maxsize=16384)
def _parsed(purl: str) -> Purl | None:
    """A purl in parts, its name in the one form of its type; nothing where it is none."""
    try:
        read = parse(purl)
    except InvalidInput:
        return None
    if read.type == "pypi":
        return replace(read, name=normalise("PyPI", read.name))
    if read.type in _FOLDED:
        return replace(read, namespace=read.namespace.lower(), name=read.name.lower())
    return read
