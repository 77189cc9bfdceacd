"""Verification summaries: somebody on the owner's side looked at how a release was built.

An in-toto Statement v1 with the predicate SLSA Verification Summary v1, DSSE by a verifier that the
owner named in `fleet.json` (docs/spec/evidence.md). The format is another's: fields that are
unknown here are ignored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from allod.wire.codec import convert, parse_strict
from allod.wire.intoto import STATEMENT_TYPE

SUMMARY: Final = "https://slsa.dev/verification_summary/v1"
SUMMARY_CAP: Final = 256 * 1024
PASSED: Final = "PASSED"
LEVEL: Final = "SLSA_BUILD_LEVEL_"


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class SummarySubject(_Open, frozen=True, kw_only=True):
    """The release."""

    digest: dict[str, str]
    name: str = ""


class SummaryVerifier(_Open, frozen=True, kw_only=True):
    """Who looked."""

    id: str  #: allod:<fleet>/<name>


class SummaryPolicy(_Open, frozen=True, kw_only=True):
    """By which policy."""

    uri: str  #: providers/<provider>.json
    digest: dict[str, str]  #: of the canonical policy


class SummaryInput(_Open, frozen=True, kw_only=True):
    """What was looked at."""

    digest: dict[str, str] = {}
    uri: str = ""


class SummaryPredicate(_Open, frozen=True, kw_only=True):
    """What was found."""

    verifier: SummaryVerifier
    time_verified: str
    resource_uri: str
    policy: SummaryPolicy
    verification_result: str
    verified_levels: list[str] = []
    input_attestations: list[SummaryInput] = []


class SummaryStatement(_Open, frozen=True, kw_only=True):
    """The statement."""

    statement_type: str = msgspec.field(name="_type")
    predicate_type: str
    subject: list[SummarySubject]
    predicate: SummaryPredicate

    @property
    def is_summary(self) -> bool:
        """Whether it is what it should be."""
        return (self.statement_type, self.predicate_type) == (STATEMENT_TYPE, SUMMARY)


def decode_summary(payload: bytes) -> SummaryStatement:
    """Read a statement. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    what = "the verification summary"
    return convert(parse_strict(payload, cap=SUMMARY_CAP, what=what), SummaryStatement, what=what)


def level_of(levels: list[str]) -> int:
    """The highest SLSA build level among them; 0: none is one."""
    digits = [one.removeprefix(LEVEL) for one in levels if one.startswith(LEVEL)]
    return max((int(one) for one in digits if one in {"0", "1", "2", "3"}), default=0)
