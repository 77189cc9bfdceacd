"""Evidence that a release mends a flaw: an in-toto Statement v1 (docs/spec/evidence.md).

DSSE by a verifier that the owner named in `fleet.json`.
A device holds no advisories: somebody on the owner's side who does says, of a release and the
releases before it, which flaws only the older ones have.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from allod.wire.codec import Document

MENDS: Final = "https://allod.dev/mends/v1"
EVIDENCE_CAP: Final = 512 * 1024


class EvidenceSubject(Document, kw_only=True, frozen=True):
    """The release that mends."""

    name: str  #: the purl
    digest: dict[str, str]  #: {"sha256": hex of the OCI manifest or index}


class Mended(Document, kw_only=True, frozen=True):
    """One flaw that it has no more."""

    flaw: str
    aliases: list[str] = []
    component: str  #: the purl of the part that had it, with its version
    sources: list[str]  #: of advisories, as the owner names them
    level: str = "unknown"


class MendsPredicate(Document, kw_only=True, frozen=True):
    """What is said."""

    fleet: str
    verifier: str  #: a name in `fleet.json`
    package: str
    version: str
    at: str
    #: digest of an older release -> the flaws that it has and the subject has not
    before: dict[str, list[Mended]]


class MendsStatement(Document, kw_only=True, frozen=True):
    """The statement."""

    statement_type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(
        name="_type", default="https://in-toto.io/Statement/v1"
    )
    subject: list[EvidenceSubject]
    predicate_type: Literal["https://allod.dev/mends/v1"] = MENDS
    predicate: MendsPredicate
