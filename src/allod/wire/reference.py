"""References: a statement that binds other documents, like an SBOM, to a release (docs/spec/sbom.md).

An in-toto Statement v1 with the predicate Reference v0.1 (in-toto attestation framework). The
format is another's: fields that are unknown here are ignored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from allod.wire.codec import convert, parse_strict
from allod.wire.intoto import STATEMENT_TYPE

REFERENCE: Final = "https://in-toto.io/attestation/reference/v0.1"
REFERENCE_CAP: Final = 256 * 1024
SBOM_TYPES: Final = frozenset({"application/vnd.cyclonedx+json", "application/spdx+json"})


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class ReferenceSubject(_Open, frozen=True, kw_only=True):
    """The release."""

    digest: dict[str, str]
    name: str = ""


class Referenced(_Open, frozen=True, kw_only=True):
    """One document that belongs to it."""

    digest: dict[str, str]
    media_type: str = ""
    download_location: str = ""


class ReferencePredicate(_Open, frozen=True, kw_only=True):
    """What belongs to it."""

    references: list[Referenced]


class ReferenceStatement(_Open, frozen=True, kw_only=True):
    """The statement."""

    statement_type: str = msgspec.field(name="_type")
    predicate_type: str
    subject: list[ReferenceSubject]
    predicate: ReferencePredicate

    @property
    def is_reference(self) -> bool:
        """Whether it is what it should be."""
        return (self.statement_type, self.predicate_type) == (STATEMENT_TYPE, REFERENCE)


def decode_reference(payload: bytes) -> ReferenceStatement:
    """Read a statement. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    what = "the reference"
    return convert(
        parse_strict(payload, cap=REFERENCE_CAP, what=what), ReferenceStatement, what=what
    )
