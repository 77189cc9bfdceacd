"""The signed word that documents belong to a release: in-toto's reference predicate v0.1.

A provider signs which SBOMs are of a release (docs/spec/sbom.md). The format is another's: fields
that are unknown here are ignored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from allod.wire.codec import convert, parse_strict
from allod.wire.intoto import STATEMENT_TYPE

REFERENCE: Final = "https://in-toto.io/attestation/reference/v0.1"
REFERENCE_CAP: Final = 256 * 1024
ATTESTER: Final = "https://allod.dev/providers/"  #: before a provider's name


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class ReferenceSubject(_Open, frozen=True, kw_only=True):
    """What the documents are about."""

    name: str = ""  #: the purl
    digest: dict[str, str] = {}  #: {"sha256": hex of the OCI manifest or index}


class ReferencedDocument(_Open, frozen=True, kw_only=True):
    """One document."""

    digest: dict[str, str] = {}
    media_type: str = ""
    download_location: str = ""  #: relative to the release's manifest in its registry


class Attester(_Open, frozen=True, kw_only=True):
    """Who provides the documents."""

    id: str = ""


class ReferencePredicate(_Open, frozen=True, kw_only=True):
    """Which documents they are."""

    attester: Attester = Attester()
    references: list[ReferencedDocument] = []


class ReferenceStatement(_Open, frozen=True, kw_only=True):
    """The statement."""

    statement_type: str = msgspec.field(name="_type", default="")
    subject: list[ReferenceSubject] = []
    predicate_type: str = ""
    predicate: ReferencePredicate = ReferencePredicate()

    @property
    def is_reference(self) -> bool:
        """Whether it is what it should be."""
        return (self.statement_type, self.predicate_type) == (STATEMENT_TYPE, REFERENCE)


def decode_reference(payload: bytes) -> ReferenceStatement:
    """Read a statement. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    what = "the reference to documents"
    return convert(
        parse_strict(payload, cap=REFERENCE_CAP, what=what), ReferenceStatement, what=what
    )
