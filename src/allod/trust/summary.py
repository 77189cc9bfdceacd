"""A verifier's word that a release was built as the owner demands (docs/spec/evidence.md).

The heavy part of provenance, certificates and transparency logs of others, is looked at on the
owner's side; a device takes the summary of a verifier that the owner named for it. What it binds,
checked in this order, and what each stops:

1. The signature, by a key of a verifier that may vouch for provenance (a stolen other key).
2. The kind of statement (a provider's or a builder's word passed off as a summary).
3. The verifier's own name and fleet (another fleet's, or another verifier's word).
4. The release: digest and package (the summary of another release).
5. The policy, by provider and digest (a summary from before the owner asked for more).
6. The verdict and the level (a summary that says no).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.signer import Signer

from allod.domain.ids import Digest, sha256
from allod.errors import Untrusted
from allod.trust.dsse import sign_envelope, verify_envelope
from allod.trust.keys import key_id, to_key
from allod.trust.release import ReleaseIdentity
from allod.trust.verified import Verified, seal
from allod.wire.codec import encode, instant, parse_instant
from allod.wire.envelope import IN_TOTO
from allod.wire.intoto import STATEMENT_TYPE
from allod.wire.summary import (
    LEVEL,
    PASSED,
    SUMMARY,
    SUMMARY_CAP,
    SummaryInput,
    SummaryPolicy,
    SummaryPredicate,
    SummaryStatement,
    SummarySubject,
    SummaryVerifier,
    decode_summary,
    level_of,
)
from allod.wire.trust import ProvenancePolicy, ProviderDocument, Verifier

_HIGHEST: Final = 3


@dataclass(frozen=True, slots=True)
class Summary:
    """What a verifier found."""

    verifier: str
    at: datetime
    level: int
    passed: bool = True


def policy_digest(policy: ProvenancePolicy) -> Digest:
    """What names a policy: a summary counts for the very policy that it was made by."""
    return sha256(encode(policy))


def vouching(verifiers: Iterable[Verifier], what: str) -> tuple[Verifier, ...]:
    """The verifiers whose word counts for this."""
    return tuple(one for one in verifiers if what in one.vouches)


def verify_summary(
    envelope: bytes,
    verifiers: Iterable[Verifier],
    provider: ProviderDocument,
    release: ReleaseIdentity,
) -> Verified[Summary]:
    """Check a verifier's summary about a release, under the policy that is in force.

    A verdict of "FAILED" is given back as one that did not pass.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-verifier`, `wrong-digest`, `wrong-release`,
            `outdated-summary`, `wrong-level`.
    """
    what = "the verification summary"
    known = {key_id(one.key): one for one in vouching(verifiers, "provenance")}
    keys = [to_key(one.key) for one in known.values()]
    verified = verify_envelope(envelope, IN_TOTO, keys, 1, 2 * SUMMARY_CAP, what=what)
    statement = decode_summary(verified.value)
    if not statement.is_summary:
        raise Untrusted(
            "wrong-type", f"cannot accept {what}: it is {statement.predicate_type[:80]!r}"
        )
    said = statement.predicate
    names = {known[one].name for one in verified.by}
    name = next((one for one in names if said.verifier.id == verifier_id(provider, one)), None)
    if name is None:
        raise Untrusted(
            "wrong-verifier", f"cannot accept {what}: it speaks for {said.verifier.id[:200]!r}"
        )
    if [one.digest.get("sha256") for one in statement.subject] != [
        release.digest.removeprefix("sha256:")
    ]:
        raise Untrusted("wrong-digest", f"cannot accept {what}: it is of another release")
    if said.resource_uri != release.package:
        raise Untrusted(
            "wrong-release", f"cannot accept {what}: it is of {said.resource_uri[:200]}"
        )
    policy = provider.provenance
    if policy is None or (said.policy.uri, said.policy.digest.get("sha256")) != (
        policy_uri(provider),
        policy_digest(policy).removeprefix("sha256:"),
    ):
        raise Untrusted(
            "outdated-summary",
            f"cannot accept {what}: it was made by another policy than the one in force; have "
            f"{name} look again with 'allod release vouch'",
        )
    found = Summary(
        name,
        parse_instant(said.time_verified),
        level_of(said.verified_levels),
        said.verification_result == PASSED,
    )
    if found.passed and found.level < policy.level:
        raise Untrusted(
            "wrong-level",
            f"cannot accept {what}: it says SLSA build level {found.level}, and {policy.level} is "
            "the least",
        )
    return seal(found, verified.by)


def verifier_id(provider: ProviderDocument, name: str) -> str:
    """How a verifier calls itself in a summary."""
    return f"allod:{provider.fleet}/{name}"


def policy_uri(provider: ProviderDocument) -> str:
    """How a summary names the policy."""
    return f"providers/{provider.provider}.json"


def make_summary(
    provider: ProviderDocument,
    release: ReleaseIdentity,
    summary: Summary,
    signers: Sequence[Signer],
    *,
    inputs: Iterable[Digest] = (),
) -> bytes:
    """A verifier's statement about a release, by the policy that is in force now.

    Args:
        provider: with a policy.
        release: what was looked at.
        summary: who looked, when, and what was found.
        signers: of the verifier.
        inputs: digests of the attestations that it rests on.
    """
    policy = provider.provenance
    if policy is None:
        raise RuntimeError("a summary without a policy says nothing")
    statement = SummaryStatement(
        statement_type=STATEMENT_TYPE,
        predicate_type=SUMMARY,
        subject=[
            SummarySubject(
                name=release.package, digest={"sha256": release.digest.removeprefix("sha256:")}
            )
        ],
        predicate=SummaryPredicate(
            verifier=SummaryVerifier(id=verifier_id(provider, summary.verifier)),
            time_verified=instant(summary.at),
            resource_uri=release.package,
            policy=SummaryPolicy(
                uri=policy_uri(provider),
                digest={"sha256": policy_digest(policy).removeprefix("sha256:")},
            ),
            input_attestations=[
                SummaryInput(digest={"sha256": one.removeprefix("sha256:")})
                for one in sorted(inputs)
            ],
            verification_result=PASSED if summary.passed else "FAILED",
            verified_levels=[f"{LEVEL}{min(summary.level, _HIGHEST)}"] if summary.passed else [],
        ),
    )
    return sign_envelope(encode(statement), IN_TOTO, signers)
