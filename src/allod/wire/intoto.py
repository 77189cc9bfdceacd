"""The provider's statement about a release: in-toto Statement v1 (docs/spec/release.md)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from allod.wire.codec import Document

PREDICATE_TYPE: Final = "https://allod.dev/release/v1"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


class Subject(Document, kw_only=True, frozen=True):
    """What the statement speaks about."""

    name: str  #: the purl
    digest: dict[str, str]  #: {"sha256": hex of the OCI manifest}


class ReleasePredicate(Document, kw_only=True, frozen=True):
    """What is said of it."""

    provider: str
    package: str
    version: str


class ReleaseStatement(Document, kw_only=True, frozen=True):
    """A provider, a name and a version, bound to one manifest."""

    statement_type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(
        name="_type", default=STATEMENT_TYPE
    )
    subject: list[Subject]
    predicate_type: Literal["https://allod.dev/release/v1"] = PREDICATE_TYPE
    predicate: ReleasePredicate
