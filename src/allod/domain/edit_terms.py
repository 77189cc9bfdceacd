"""What an owner does to the terms of a scope, and sets aside or takes on for one package."""

from __future__ import annotations

from dataclasses import replace

from allod.domain.condition import Term
from allod.domain.desired import Accepts, PackageEntry, StateDocument
from allod.domain.edit import joined
from allod.domain.terms import OVERRIDABLE
from allod.errors import InvalidInput


def _with(document: StateDocument, package: str, entry: PackageEntry) -> StateDocument:
    return replace(document, packages={**document.packages, package: entry})


def set_aside(document: StateDocument, package: str, overrides: frozenset[str]) -> StateDocument:
    """Let these terms, and no others, not count for a package until it is changed again.

    Raises:
        InvalidInput: `unknown-name`, if there is no such term that may be set aside; `not-named`.
    """
    unknown = sorted(overrides - OVERRIDABLE)
    if unknown:
        raise InvalidInput(
            "unknown-name",
            f"cannot override {unknown[0][:40]!r}: the terms that may be set aside are "
            + ", ".join(sorted(OVERRIDABLE)),
        )
    entry = document.packages.get(package)
    if entry is None:
        raise InvalidInput(
            "not-named", f"cannot override terms for {package}: {document.scope} says nothing of it"
        )
    return _with(document, package, replace(entry, overrides=overrides))


def accept(document: StateDocument, package: str, accepts: Accepts) -> StateDocument:
    """Take on by name, for one package, also what whoever manages it may bring.

    Raises:
        InvalidInput: `not-named`, if the scope does not name it.
    """
    entry = document.packages.get(package)
    if entry is None:
        raise InvalidInput(
            "not-named", f"cannot accept anything for {package}: {document.scope} does not name it"
        )
    return _with(document, package, replace(entry, accepts=joined(entry.accepts, accepts)))


def bind(document: StateDocument, wanted: tuple[Term, ...]) -> StateDocument:
    """Hold whoever decides in the scope to these terms, the owner too; instead of those so far."""
    return replace(document, terms=wanted)
