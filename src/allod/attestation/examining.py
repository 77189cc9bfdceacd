"""One attestation, looked at step by step: bytes, digests, keys, trust root and now -> checks.

1. format: a DSSE envelope, or a Sigstore bundle.
2. to 5. of a bundle: certificate or key, log, time, signature (`sigstore.py`); of an envelope:
   the signature by a known key.
6. statement: in-toto, read only now.
7. subject: one of its subjects is the artifact. Signatures do not say so: this does.
8. whatever the owner demands (`policy.py`): identity, builder, level, source, ref, parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from allod.attestation.bundle import Bundle, looks_like_bundle, read_bundle
from allod.attestation.envelope import ENVELOPE_CAP, Envelope, PlainKey, read_envelope, signers
from allod.attestation.policy import NO_DEMANDS, Demands, check_demands, signer_is_meant
from allod.attestation.sigstore import Signed
from allod.attestation.statement import Statement, decode_statement, matching_subject
from allod.attestation.verdict import Attested, Examined, Steps
from allod.errors import Untrusted
from allod.wire.codec import instant, parse_strict
from allod.wire.envelope import IN_TOTO

if TYPE_CHECKING:
    from allod.attestation.roots import TrustRoot


def examine(
    data: bytes,
    *,
    artifact_digests: Mapping[str, str],
    keys: Sequence[PlainKey] = (),
    trust_root: TrustRoot | None = None,
    policy: Demands | None = None,
    now: datetime,
) -> Examined:
    """Look at one DSSE envelope or one Sigstore bundle.

    Args:
        data: its bytes.
        artifact_digests: of what it should be about: algorithm -> hex, like `sha256`.
        keys: that may sign, beside those of the policy.
        trust_root: of Sigstore; without one no certificate counts.
        policy: what has to hold; `demands_of` makes it of an owner's document.
        now: no signature can have been made later.

    Returns:
        Checks in their order, ending with the first that makes further ones pointless; and what
        it says, of which nothing is told before the signature held.
    """
    steps = Steps()
    demands = policy or NO_DEMANDS
    known = (*keys, *demands.keys)
    read: list[Envelope | Bundle] = []
    if not steps.check("format", lambda: _read(data, read)):
        return Examined(tuple(steps.done), Attested())
    signed: Signed | None
    if isinstance(read[0], Envelope):
        signed = _enveloped(steps, read[0], known)
    else:
        signed = _bundled(steps, read[0], artifact_digests, trust_root, known, now)
    if signed is None:
        return Examined(tuple(steps.done), Attested())
    if not signed.attested.keys and not _identified(steps, signed.attested, demands):
        return Examined(tuple(steps.done), signed.attested)
    return _finish(steps, signed, artifact_digests, demands)


def _read(data: bytes, read: list[Envelope | Bundle]) -> str:
    value = parse_strict(data, cap=ENVELOPE_CAP, what="the attestation")
    if looks_like_bundle(value):
        bundle = read_bundle(data)
        read.append(bundle)
        holds = "an envelope" if bundle.envelope is not None else "a bare signature"
        kinds = ", ".join(" ".join(one.kind)[:80] for one in bundle.entries) or "no log entry"
        return f"Sigstore bundle v{bundle.version} with {holds} and {kinds}"
    envelope = read_envelope(data)
    read.append(envelope)
    return f"DSSE envelope with {envelope.payload_type[:80]}"


def _enveloped(steps: Steps, envelope: Envelope, keys: Sequence[PlainKey]) -> Signed | None:
    good: list[PlainKey] = []

    def signature() -> str:
        good.extend(signers(envelope, keys))
        return "made with " + ", ".join(f"the key {key.id[:16]}" for key in good)

    if not steps.check("signature", signature):
        return None
    attested = Attested(keys=tuple(key.id for key in good))
    return Signed(attested, envelope.payload_type, envelope.payload)


def _bundled(
    steps: Steps,
    bundle: Bundle,
    digests: Mapping[str, str],
    root: TrustRoot | None,
    keys: Sequence[PlainKey],
    now: datetime,
) -> Signed | None:
    """Verify a bundle, by all of the trust root first and then by what of it counted at that time.

    sigstore-python lets a certificate authority or a log count for ever, once it is trusted.
    """
    if root is None and not bundle.managed:
        steps.said(
            "trust-root",
            "cannot check the certificate: no trust root is known; give --trust-root",
            ok=None,
            code="no-trust-root",
        )
        return None
    signed = _verified(steps, bundle, digests, root, keys, now)
    at = None if signed is None else signed.attested.logged_at
    if root is None or at is None or root.at(at) is root:
        return signed
    if _verified(Steps(), bundle, digests, root.at(at), keys, now) is not None:
        return signed
    steps.said(
        "trust-root",
        f"cannot trust the signature: at {instant(at)} the certificate authority or the log that "
        "vouches for it did not count any more, or not yet, by the trust root",
        ok=False,
        code="wrong-time",
    )
    return None


def _verified(
    steps: Steps,
    bundle: Bundle,
    digests: Mapping[str, str],
    root: TrustRoot | None,
    keys: Sequence[PlainKey],
    now: datetime,
) -> Signed | None:
    from allod.attestation import sigstore, uncovered

    if root is not None and bundle.covered:
        return sigstore.verify_covered(steps, bundle, digests, root, now)
    return uncovered.verify_uncovered(steps, bundle, digests, root, keys, now)


def _identified(steps: Steps, attested: Attested, demands: Demands) -> bool:
    """Whose certificate it is; where nobody said whom to trust, that is missing."""
    if demands.closed or demands.identities:
        return steps.check("identity", lambda: signer_is_meant(attested, demands))
    steps.said(
        "identity",
        f"signed by {attested.identity} ({attested.issuer or 'no issuer'}); whether that is who "
        "should have is not known: give --identity and --issuer",
        ok=None,
        code="no-identity",
    )
    return True


def _finish(
    steps: Steps, signed: Signed, artifact_digests: Mapping[str, str], demands: Demands
) -> Examined:
    """The steps after the signature held: statement, subject, demands."""
    attested = signed.attested
    if signed.payload is None:
        steps.said("subject", "the artifact itself is what was signed", ok=True)
        return Examined(tuple(steps.done), attested)
    payload = signed.payload
    read: list[Statement] = []
    if not steps.check("statement", lambda: _statement(signed.payload_type, payload, read)):
        return Examined(tuple(steps.done), attested)
    statement = read[0]
    attested = replace(attested, statement=statement)
    if statement.summary is not None:
        steps.check("summary", lambda: _passed(statement))
        attested = replace(attested, level=statement.summary.level)
    steps.check("subject", _subject(statement, artifact_digests))
    if statement.is_provenance:
        attested = check_demands(steps, attested, demands)
    return Examined(tuple(steps.done), attested)


def _statement(payload_type: str, payload: bytes, read: list[Statement]) -> str:
    if payload_type != IN_TOTO:
        raise Untrusted(
            "wrong-type", f"cannot accept the statement: it is signed as {payload_type[:80]!r}"
        )
    read.append(decode_statement(payload))
    return f"{read[0].predicate_type[:200]} in {read[0].type}"


def _passed(statement: Statement) -> str:
    summary = statement.summary
    if summary is None or not summary.passed:
        raise Untrusted("not-passed", "cannot accept the summary: what it verified did not pass")
    levels = ", ".join(summary.levels) or "no level"
    return f"{summary.verifier} found {levels} for {summary.resource}"


def _subject(statement: Statement, digests: Mapping[str, str]) -> Callable[[], str]:
    def act() -> str:
        found = matching_subject(statement, digests)
        algorithm = next(iter(sorted(found.digest.keys() & digests.keys())))
        return f"{found.name or 'the artifact'} is {algorithm}:{digests[algorithm]}"

    return act
