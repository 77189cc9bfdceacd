"""Whether the owner's policy about a provider is met: one pure function, wherever it is asked.

The copier of releases and the publication on the server, the owner's preview and the device give it
all statements that lie beside a release; none of them decides anything by itself (step 9).

1. Provenance, where it is asked for: SLSA provenance v1 under a plain key of the policy, or the
   newest summary of a verifier, if that one passed.
2. Statements of each kind in `attestations`, about this release, by a builder's key or the provider.
3. A bill of materials, bound to this release by the provider.

A summary that passed stands for all three: it was made by the very policy that is in force.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from securesystemslib.signer import Key

from allod.domain.ids import Digest, sha256
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.trust.dsse import open_foreign, verify_foreign
from allod.trust.keys import to_key
from allod.trust.provenance import Built, verify_provenance
from allod.trust.references import verify_references
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import Summary, policy_digest, verify_summary, vouching
from allod.wire.codec import convert, encode, parse_strict
from allod.wire.envelope import IN_TOTO
from allod.wire.intoto import STATEMENT_TYPE
from allod.wire.provenance import PROVENANCE_CAP, SLSA
from allod.wire.reference import REFERENCE
from allod.wire.summary import SUMMARY
from allod.wire.trust import ProviderDocument, Verifier

ATTESTATION_CAP: Final = 2 * PROVENANCE_CAP  #: bytes of one statement, as an envelope
SBOM_TYPES: Final = frozenset({"application/vnd.cyclonedx+json", "application/spdx+json"})
_SLSA_FAMILY: Final = "https://slsa.dev/provenance/"
_OLD_STATEMENT: Final = "https://in-toto.io/Statement/v0.1"


@dataclass(frozen=True, slots=True)
class Met:
    """By what the policy is met."""

    built: Built | None = None  #: by provenance that was looked at here
    summary: Summary | None = None  #: by a verifier's word
    sboms: tuple[Digest, ...] = ()  #: bills of materials that are bound to the release
    proofs: tuple[Digest, ...] = ()  #: the envelopes that it rests on


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str] = {}


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What all statements have."""

    statement_type: str = msgspec.field(name="_type")
    predicate_type: str = msgspec.field(name="predicateType")
    subject: list[_Subject]


def policy_mark(provider: ProviderDocument, verifiers: Iterable[Verifier]) -> str:
    """What a verdict rests on besides the statements; another mark: ask again. Empty: no policy."""
    if provider.provenance is None:
        return ""
    trusted = sorted(encode(one).decode() for one in vouching(verifiers, "provenance"))
    return sha256(encode([provider.provider, policy_digest(provider.provenance), *trusted]))


def check_policy(
    provider: ProviderDocument,
    verifiers: Iterable[Verifier],
    release: ReleaseIdentity,
    envelopes: Iterable[bytes],
) -> Met:
    """What meets the owner's policy about a provider, of all statements beside a release.

    Args:
        provider: the owner's document about the provider.
        verifiers: those of the owner's `fleet.json`.
        release: whose release of what, by the provider's own verified statement.
        envelopes: of all in-toto statements beside it, unverified.

    Raises:
        Untrusted: what is missing: `no-provenance`, `no-attestation`, `no-sbom`, or why the last
            candidate does not count, as `verify_provenance` and `verify_summary`.
    """
    policy = provider.provenance
    if policy is None:
        return Met()
    stack = _Stack(provider, release, envelopes)
    summary, fault = _summary(stack, tuple(verifiers))
    if summary is not None:
        found, proof = summary
        return Met(None, found, tuple(_sboms(stack)), (proof,))
    built, proofs = None, []
    if policy.asks_provenance:
        built, proof = _provenance(stack, fault)
        proofs.append(proof)
    proofs += [_attestation(stack, kind, fault) for kind in dict.fromkeys(policy.attestations)]
    sboms = _sboms(stack)
    if policy.sbom:
        if not sboms:
            raise fault or _missing(stack, "no-sbom", "no bill of materials is bound to it")
        proofs.append(next(iter(sboms.values())))
    return Met(built, None, tuple(sboms), tuple(dict.fromkeys(proofs)))


class _Stack:
    """The statements beside a release, by the kind that they claim to be."""

    def __init__(
        self, provider: ProviderDocument, release: ReleaseIdentity, envelopes: Iterable[bytes]
    ) -> None:
        self.provider, self.release = provider, release
        self.by_kind: dict[str, list[bytes]] = {}
        self.unreadable: InvalidInput | None = None
        for envelope in envelopes:
            try:
                kind = predicate_type_of(envelope)
            except InvalidInput as error:
                self.unreadable = error
            except Untrusted:
                continue  # no in-toto statement
            else:
                self.by_kind.setdefault(kind, []).append(envelope)

    @property
    def digest(self) -> str:
        """The release's, as statements have it."""
        return self.release.digest.removeprefix("sha256:")


def predicate_type_of(envelope: bytes) -> str:
    """What an in-toto statement claims to be; nothing of it is verified.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `wrong-type`: it is no in-toto statement.
    """
    what = "the statement"
    payload, _ = open_foreign(envelope, IN_TOTO, cap=ATTESTATION_CAP, what=what)
    value = parse_strict(payload, cap=ATTESTATION_CAP, what=what)
    return convert(value, _Head, what=what).predicate_type


def _missing(stack: _Stack, code: str, why: str) -> Untrusted:
    release = stack.release
    return Untrusted(
        code,
        f"cannot take {release.package} {release.version}: the owner asks how "
        f"{release.provider} built it, and {why}",
    )


def _as_untrusted(error: AllodError) -> Untrusted:
    if isinstance(error, Untrusted):
        return error
    made = Untrusted(error.code, error.message, **error.details)
    made.__cause__ = error
    return made


def _summary(
    stack: _Stack, verifiers: Sequence[Verifier]
) -> tuple[tuple[Summary, Digest] | None, Untrusted | None]:
    """The newest word of a verifier, if one passed; else why none counts.

    Of one verifier the newest word counts, so that it can take back what it said.
    """
    newest: dict[str, tuple[Summary, Digest]] = {}
    fault: Untrusted | None = None
    for envelope in stack.by_kind.get(SUMMARY, ()):
        try:
            found = verify_summary(envelope, verifiers, stack.provider, stack.release).value
        except AllodError as error:
            fault = _as_untrusted(error)
            continue
        known = newest.get(found.verifier)
        if known is None or (found.at, not found.passed) > (known[0].at, not known[0].passed):
            newest[found.verifier] = (found, sha256(envelope))
    passed = [one for one in newest.values() if one[0].passed]
    if passed:
        return max(passed, key=lambda one: one[0].at), None
    if newest:
        name = min(newest)
        fault = _missing(stack, "summary-failed", f"{name} looked at it, and it did not pass")
    return None, fault


def _provenance(stack: _Stack, fault: Untrusted | None) -> tuple[Built, Digest]:
    """Provenance under a plain key of the policy."""
    policy = stack.provider.provenance
    if policy is None or not policy.keys:
        raise fault or _missing(
            stack,
            "no-summary",
            "no verifier has vouched for it; run 'allod release vouch' where one works",
        )
    candidates = [
        envelope
        for kind, envelopes in stack.by_kind.items()
        if kind == SLSA or kind.startswith(_SLSA_FAMILY)
        for envelope in envelopes
    ]
    for envelope in candidates:
        try:
            return (
                verify_provenance(envelope, policy, stack.release.digest).value,
                sha256(envelope),
            )
        except AllodError as error:
            fault = _as_untrusted(error)
    if fault is None and stack.unreadable is not None:
        fault = _as_untrusted(stack.unreadable)
    raise fault or _missing(stack, "no-provenance", "no provenance is beside it")


def _speakers(stack: _Stack) -> tuple[tuple[list[Key], int], ...]:
    """Whose word counts for what goes with a release: a builder's, or the provider's."""
    provider, policy = stack.provider, stack.provider.provenance
    builders: list[Key] = [] if policy is None else [to_key(key) for key in policy.keys]
    own: list[Key] = [to_key(key) for key in provider.keys]
    return (builders, 1), (own, provider.threshold)


def _signed(stack: _Stack, envelope: bytes) -> bool:
    """Whether it is a statement about the release that a speaker signed."""
    what = "the statement"
    for keys, threshold in _speakers(stack):
        with contextlib.suppress(AllodError):
            payload = verify_foreign(
                envelope, IN_TOTO, keys, threshold, cap=ATTESTATION_CAP, what=what
            ).value
            value = parse_strict(payload, cap=ATTESTATION_CAP, what=what)
            head = convert(value, _Head, what=what)
            if head.statement_type not in {STATEMENT_TYPE, _OLD_STATEMENT}:
                return False
            if any(one.digest.get("sha256") == stack.digest for one in head.subject):
                return True
    return False


def _attestation(stack: _Stack, kind: str, fault: Untrusted | None) -> Digest:
    for envelope in stack.by_kind.get(kind, ()):
        if _signed(stack, envelope):
            return sha256(envelope)
    raise fault or _missing(stack, "no-attestation", f"no statement {kind[:200]} is beside it")


def _sboms(stack: _Stack) -> dict[Digest, Digest]:
    """Bills of materials that the provider bound to the release -> the envelope that binds each."""
    found: dict[Digest, Digest] = {}
    for envelope in stack.by_kind.get(REFERENCE, ()):
        with contextlib.suppress(AllodError):
            bound = verify_references(envelope, stack.provider, stack.release.digest).value
            for digest, media_type in bound.items():
                if media_type in SBOM_TYPES:
                    found.setdefault(digest, sha256(envelope))
    return found
