"""Sigstore bundles with certificates, verified by sigstore-python. Nothing is asked on the net.

1. time: at least one timestamp of an authority or of the log that counts.
2. certificate: chain to the trust root at that time, certificate transparency, usage.
3. log: the entry's place, by the log's signed checkpoint or promise.
4. signature: by the certificate's key, over the envelope or the artifact's digest; and the entry
   is about this very signature (CVE-2022-36056).

Its verifier says yes or no to all at once; which step a no belongs to is told by how far it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from allod.attestation.identity import claims_of, identity_of, issuer_of
from allod.attestation.verdict import Attested, Steps
from allod.errors import Unavailable
from allod.wire.codec import instant

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

    from allod.attestation.bundle import Bundle
    from allod.attestation.roots import TrustRoot

STEPS: Final = ("time", "certificate", "log", "signature")
_SKEW: Final = timedelta(minutes=5)
_SAID: Final = 400


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, by a signature that held."""

    attested: Attested
    payload_type: str = ""
    payload: bytes | None = None  #: None: a bare signature over the artifact


@dataclass(slots=True)
class Watched:
    """How far a verification came; stands in for sigstore-python's policy, and lets all pass.

    Whose certificate it is, is compared later (`policy.signer_is_meant`).
    """

    times: list[Any] = field(default_factory=list)  #: sigstore's TimestampVerificationResult
    certificate: Certificate | None = None
    certified: bool = False
    log: str = ""
    index: int | None = None
    promised: bool = False  #: the log only promised to take the entry in

    def verify(self, cert: Certificate) -> None:
        """It comes here when chain, transparency and usage held."""
        self.certificate = cert
        self.certified = True


def verify_covered(
    steps: Steps, bundle: Bundle, digests: Mapping[str, str], root: TrustRoot, now: datetime
) -> Signed | None:
    """Have sigstore-python verify a bundle; None if it does not hold."""
    from sigstore.hashes import Hashed
    from sigstore.models import Bundle as Theirs
    from sigstore_models.common.v1 import HashAlgorithm

    if bundle.envelope is None and "sha256" not in digests:
        steps.check("signature", no_artifact)
        return None
    watched = Watched()
    payload: tuple[str, bytes | None] = ("", None)
    try:
        theirs = Theirs.from_json(bundle.raw)
        watched.certificate = theirs.signing_certificate
        verifier = watching(root, watched)
        entry = theirs.log_entry._inner  # noqa: SLF001  # it has no other way to say so
        watched.log, watched.index = root.log_name(entry.log_id.key_id), entry.log_index
        if bundle.envelope is None:
            digest = bytes.fromhex(digests["sha256"])
            hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=digest)
            verifier.verify_artifact(hashed, theirs, watched)
        else:
            payload = verifier.verify_dsse(theirs, watched)
    except Exception as error:  # noqa: BLE001  # whatever it stumbles over, it is not verified
        failed(steps, watched, error)
        return None
    attested = attested_of(watched)
    for name in STEPS:
        steps.said(name, said_of(name, attested, watched), ok=True)
    return None if from_the_future(steps, watched, now) else Signed(attested, *payload)


def no_artifact() -> str:
    """A bare signature without its artifact. Raises Unavailable."""
    raise Unavailable(
        "nothing-to-compare",
        "cannot check the signature: it is over an artifact; give that with --artifact",
    )


def watching(root: TrustRoot, watched: Watched) -> Verifier:
    """sigstore-python's verifier, which tells the times that it found."""
    from sigstore.verify import Verifier

    class Watching(Verifier):
        def _establish_time(self, bundle: Any) -> list[Any]:
            watched.times = super()._establish_time(bundle)
            return watched.times

    return Watching(trusted_root=root.root)


def failed(steps: Steps, watched: Watched, error: Exception) -> None:
    """Write down which step did not hold, and those that did before it."""
    from sigstore.errors import CertValidationError, VerificationError
    from sigstore.models import InvalidBundle

    says = plainly(error)
    if isinstance(error, InvalidBundle) or not isinstance(error, VerificationError):
        _stopped(steps, watched, "bundle", "bad-bundle", f"cannot read the bundle: {says}")
    elif watched.certified and says.startswith("invalid log entry"):
        _stopped(steps, watched, "log", "not-logged", f"cannot trust the log entry: {says}")
    elif watched.certified:
        codes = {"log entry": "wrong-entry", "digest mismatch": "wrong-subject"}
        code = next((code for part, code in codes.items() if part in says), "bad-signature")
        _stopped(steps, watched, "signature", code, f"cannot trust the signature: {says}")
    elif outside := _outside(watched):
        _stopped(steps, watched, "certificate", "wrong-time", outside)
    elif isinstance(error, CertValidationError) or watched.times:
        _stopped(
            steps,
            watched,
            "certificate",
            "untrusted-certificate",
            f"cannot trust the certificate: {says}",
        )
    else:
        _stopped(steps, watched, "time", "no-time", f"cannot tell when it was signed: {says}")


def plainly(error: Exception) -> str:
    """What an error says, in one line and without the bytes that some quote."""
    says = " ".join(str(error).split()).partition(": expected log_index=")[0]
    return says[:_SAID] or type(error).__name__


def _stopped(steps: Steps, watched: Watched, name: str, code: str, says: str) -> None:
    if name in STEPS:
        attested = attested_of(watched)
        for before in STEPS[: STEPS.index(name)]:
            steps.said(before, said_of(before, attested, watched), ok=True)
    steps.said(name, says, ok=False, code=code)


def _outside(watched: Watched) -> str:
    """Says so if it was signed when the certificate was not valid."""
    cert = watched.certificate
    for one in watched.times:
        if cert and not cert.not_valid_before_utc <= one.time <= cert.not_valid_after_utc:
            return (
                f"cannot trust the certificate: it was valid from "
                f"{instant(cert.not_valid_before_utc)} to {instant(cert.not_valid_after_utc)}, "
                f"and it was signed at {instant(one.time)}"
            )
    return ""


def attested_of(watched: Watched) -> Attested:
    """Who signed when, by what was watched."""
    cert = watched.certificate
    first = min(watched.times, key=lambda one: one.time, default=None)
    sources = {"TIMESTAMP_AUTHORITY": "timestamp authority"}
    return Attested(
        identity="" if cert is None else identity_of(cert),
        issuer="" if cert is None else issuer_of(cert),
        claims=Attested().claims if cert is None else claims_of(cert),
        logged_at=None if first is None else first.time.astimezone(UTC),
        time_from="" if first is None else sources.get(first.source.name, "transparency log"),
        log=watched.log,
        log_index=watched.index,
    )


def said_of(name: str, attested: Attested, watched: Watched) -> str:
    """What a step that held says."""
    if name == "time" and attested.logged_at is not None:
        return f"signed at {instant(attested.logged_at)}, by the {attested.time_from}"
    if name == "certificate" and watched.certificate is not None:
        return f"given to {attested.identity} by the word of {attested.issuer}"
    if name == "log":
        how = ", by its signed promise" if watched.promised else ""
        return f"entry {attested.log_index} of {attested.log or 'the log'}{how}"
    return "by the certificate's key, and the log entry is about it"


def from_the_future(steps: Steps, watched: Watched, now: datetime) -> bool:
    """Whether it would have been signed later than now; then that is written down."""
    latest = max((one.time for one in watched.times), default=now)
    if latest <= now + _SKEW:
        return False
    steps.said(
        "clock",
        f"cannot accept a signature of {instant(latest)}: it is {instant(now)} here",
        ok=False,
        code="from-the-future",
    )
    return True
