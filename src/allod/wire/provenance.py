"""Provenance of a release: how it was built, as SLSA writes it (docs/spec/release.md).

An in-toto Statement v1 with the predicate SLSA Provenance v1, in a DSSE envelope by the builder. The
format is another's: fields that are unknown here are ignored, but for external parameters, of
which none is passed over.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from allod.wire.codec import convert, parse_strict
from allod.wire.intoto import STATEMENT_TYPE

SLSA: Final = "https://slsa.dev/provenance/v1"
PROVENANCE_CAP: Final = 1024 * 1024


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class BuiltSubject(_Open, frozen=True, kw_only=True):
    """Something that was built."""

    digest: dict[str, str] = {}


class Dependency(_Open, frozen=True, kw_only=True):
    """Something that was built from."""

    uri: str = ""


class BuildDefinition(_Open, frozen=True, kw_only=True):
    """What was to be built."""

    external_parameters: dict[str, Any] = {}
    resolved_dependencies: list[Dependency] = []


class Builder(_Open, frozen=True, kw_only=True):
    """Who built."""

    id: str


class RunDetails(_Open, frozen=True, kw_only=True):
    """The run."""

    builder: Builder


class Provenance(_Open, frozen=True, kw_only=True):
    """The predicate."""

    build_definition: BuildDefinition
    run_details: RunDetails


class ProvenanceStatement(_Open, frozen=True, kw_only=True):
    """The statement."""

    statement_type: str = msgspec.field(name="_type")
    predicate_type: str
    subject: list[BuiltSubject]
    predicate: Provenance

    @property
    def is_slsa(self) -> bool:
        """Whether it is what it should be."""
        return (self.statement_type, self.predicate_type) == (STATEMENT_TYPE, SLSA)


def decode_provenance(payload: bytes) -> ProvenanceStatement:
    """Read a statement. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    what = "the provenance"
    value = parse_strict(payload, cap=PROVENANCE_CAP, what=what)
    return convert(value, ProvenanceStatement, what=what)


def leaves(parameters: object, path: str = "") -> dict[str, str]:
    """Path -> value of every parameter, however deep: `workflow.ref`."""
    if isinstance(parameters, dict):
        pairs = [(str(key), part) for key, part in parameters.items()]
    elif isinstance(parameters, list):
        pairs = [(str(index), part) for index, part in enumerate(parameters)]
    else:
        text = parameters if isinstance(parameters, str) else repr(parameters)
        return {path: text}
    found: dict[str, str] = {}
    for key, part in pairs:
        found.update(leaves(part, f"{path}.{key}" if path else key))
    return found
