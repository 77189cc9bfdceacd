"""In-toto statements v0.1 and v1, and what SLSA's predicates in them say.

Read are provenance v0.2 and v1, and verification summaries v0.x and v1. The formats are others':
fields that are unknown here are passed over. Digests of subjects are compared here and nowhere
else: a good signature over a statement about something else proves nothing about an artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.wire.codec import convert, parse_strict
from allod.wire.provenance import leaves

STATEMENT_CAP: Final = 4 * 1024 * 1024
STATEMENT_TYPES: Final = frozenset(
    {"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"}
)
PROVENANCE_1: Final = "https://slsa.dev/provenance/v1"
PROVENANCE_02: Final = "https://slsa.dev/provenance/v0.2"
SUMMARY_1: Final = "https://slsa.dev/verification_summary/v1"
SUMMARIES: Final = frozenset(
    {SUMMARY_1, *(f"https://slsa.dev/verification_summary/v0.{n}" for n in (1, 2))}
)
PROVENANCES: Final = frozenset({PROVENANCE_1, PROVENANCE_02})
MAX_SUBJECTS: Final = 10_000
#: Digests that nobody can make a second document for; others never decide that two are the same.
_BROKEN: Final = frozenset({"md5", "sha1", "gitcommit", "gittree", "gitblob", "gittag"})
_LEVEL: Final = "SLSA_BUILD_LEVEL_"


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class _Subject(_Open, frozen=True, kw_only=True):
    name: str = ""
    digest: dict[str, str] = {}


class _Statement(_Open, frozen=True, kw_only=True):
    statement_type: str = msgspec.field(name="_type")
    predicate_type: str
    subject: list[_Subject]
    predicate: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that a statement speaks about."""

    name: str
    digest: Mapping[str, str]  #: algorithm -> value, as it was written


@dataclass(frozen=True, slots=True)
class Built:
    """How something was built, by SLSA provenance; empty where it does not say."""

    builder: str = ""
    build_type: str = ""
    source: str = ""  #: repository, without the ref
    ref: str = ""
    revision: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)  #: path -> value, all external ones


@dataclass(frozen=True, slots=True)
class Summary:
    """What somebody found who verified a release (SLSA verification summary)."""

    verifier: str
    resource: str
    policy: str  #: URI
    policy_digest: Mapping[str, str]
    passed: bool
    levels: tuple[str, ...]
    at: str

    @property
    def level(self) -> int:
        """The highest SLSA build level that was verified."""
        levels = [one.removeprefix(_LEVEL) for one in self.levels if one.startswith(_LEVEL)]
        return max((int(one) for one in levels if one.isascii() and one.isdigit()), default=0)


@dataclass(frozen=True, slots=True)
class Statement:
    """One in-toto statement."""

    type: str
    predicate_type: str
    subjects: tuple[Subject, ...]
    predicate: Mapping[str, Any]
    built: Built = Built()  #: of provenance
    summary: Summary | None = None  #: of a verification summary

    @property
    def is_provenance(self) -> bool:
        """Whether it says how something was built."""
        return self.predicate_type in PROVENANCES


def decode_statement(payload: bytes, *, what: str = "the statement") -> Statement:
    """Read a statement.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document`.
    """
    value = parse_strict(payload, cap=STATEMENT_CAP, what=what)
    read = convert(value, _Statement, what=what)
    if read.statement_type not in STATEMENT_TYPES:
        raise InvalidInput(
            "bad-document",
            f"cannot read {what}: it is {read.statement_type[:120]!r}, no in-toto statement",
        )
    if not 0 < len(read.subject) <= MAX_SUBJECTS:
        raise InvalidInput(
            "bad-document",
            f"cannot read {what}: it has {len(read.subject)} subjects, 1 to {MAX_SUBJECTS} go",
        )
    predicate = read.predicate or {}
    built, summary = Built(), None
    if read.predicate_type == PROVENANCE_1:
        built = _built_1(predicate)
    elif read.predicate_type == PROVENANCE_02:
        built = _built_02(predicate)
    elif read.predicate_type in SUMMARIES:
        summary = _summary(predicate)
    return Statement(
        read.statement_type,
        read.predicate_type,
        tuple(Subject(one.name, one.digest) for one in read.subject),
        predicate,
        built,
        summary,
    )


def _at(value: object, *path: str | int) -> Any:
    """What stands at a path; None if nothing does."""
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            return None
    return value


def _text(value: object, *path: str | int) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""


def split_source(uri: str) -> tuple[str, str]:
    """Repository and ref of a source URI; the ref is empty if there is none.

    `git+https://github.com/acme/toaster@refs/tags/v1`; an @ before the host is a user's.
    """
    head, at, ref = uri.rpartition("@")
    return (head, ref) if at and "://" in head else (uri, "")


def _revision(digest: object) -> str:
    names = ("gitCommit", "sha1", "sha256")
    return next((found for name in names if (found := _text(digest, name))), "")


def _built_1(predicate: Mapping[str, Any]) -> Built:
    definition = _at(predicate, "buildDefinition")
    source, ref = split_source(_text(definition, "resolvedDependencies", 0, "uri"))
    return Built(
        builder=_text(predicate, "runDetails", "builder", "id"),
        build_type=_text(definition, "buildType"),
        source=source,
        ref=ref,
        revision=_revision(_at(definition, "resolvedDependencies", 0, "digest")),
        parameters=leaves(_at(definition, "externalParameters") or {}),
    )


def _built_02(predicate: Mapping[str, Any]) -> Built:
    config = _at(predicate, "invocation", "configSource")
    if not _text(config, "uri"):
        config = _at(predicate, "materials", 0)
    source, ref = split_source(_text(config, "uri"))
    return Built(
        builder=_text(predicate, "builder", "id"),
        build_type=_text(predicate, "buildType"),
        source=source,
        ref=ref,
        revision=_revision(_at(config, "digest")),
        parameters=leaves(
            {
                "configSource": {"entryPoint": _text(config, "entryPoint")},
                "parameters": _at(predicate, "invocation", "parameters") or {},
            }
        ),
    )


def _summary(predicate: Mapping[str, Any]) -> Summary:
    levels = _at(predicate, "verifiedLevels") or _at(predicate, "policy_level") or []
    result = _text(predicate, "verificationResult") or _text(predicate, "verification_result")
    said = levels if isinstance(levels, list) else [levels]
    digest = _at(predicate, "policy", "digest")
    return Summary(
        verifier=_text(predicate, "verifier", "id"),
        resource=_text(predicate, "resourceUri") or _text(predicate, "resource_uri"),
        policy=_text(predicate, "policy", "uri"),
        policy_digest={k: v for k, v in digest.items() if isinstance(v, str)}
        if isinstance(digest, dict)
        else {},
        passed=result == "PASSED",
        levels=tuple(one for one in said if isinstance(one, str)),
        at=_text(predicate, "timeVerified") or _text(predicate, "time_verified"),
    )


def matching_subject(statement: Statement, digests: Mapping[str, str]) -> Subject:
    """The subject that is the artifact: it has one of its digests, and contradicts none.

    Args:
        statement: what was signed.
        digests: algorithm -> value of the artifact; what md5 and SHA-1 say does not count.

    Raises:
        Unavailable: `nothing-to-compare`: no subject has a digest of a kind that is known.
        Untrusted: `wrong-subject`.
    """
    wanted = {k: v for k, v in digests.items() if k.lower() not in _BROKEN}
    compared = False
    for subject in statement.subjects:
        common = wanted.keys() & subject.digest.keys()
        compared = compared or bool(common)
        if common and all(wanted[name] == subject.digest[name] for name in common):
            return subject
    first = statement.subjects[0]
    says = ", ".join(f"{name}:{value[:80]}" for name, value in sorted(first.digest.items()))
    about = f"it speaks of {first.name[:200]!r} ({says})"
    if len(statement.subjects) > 1:
        about += f" and {len(statement.subjects) - 1} more"
    if not compared:
        raise Unavailable(
            "nothing-to-compare",
            f"cannot compare the artifact with the statement: {about}; give the artifact with "
            "--artifact",
        )
    raise Untrusted("wrong-subject", f"cannot take the statement for the artifact: {about}")
