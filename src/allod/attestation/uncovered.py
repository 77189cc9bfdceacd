"""The bundles that sigstore-python does not verify (docs/adr/0023): our own code for these only.

* signed with a managed key instead of a certificate;
* `intoto` 0.0.2 entries, which npm and older generators have;
* v0.1 without a proof of inclusion: there the log's signed promise has to do.

Certificates, transparency, timestamps and logs are still verified by sigstore-python's code, step
by step; ours are the choice of the key, the signature, and that the entry is about it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from allod.attestation.envelope import PlainKey
from allod.attestation.recorded import check_recorded
from allod.attestation.sigstore import (
    Signed,
    Watched,
    attested_of,
    failed,
    from_the_future,
    no_artifact,
    plainly,
    said_of,
)
from allod.attestation.verdict import Attested, Steps
from allod.errors import InvalidInput, Unavailable, Untrusted

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

    from allod.attestation.bundle import Bundle, Entry
    from allod.attestation.roots import TrustRoot


@dataclass(slots=True)
class _Seen:
    """A bundle as sigstore-python's verifier looks at one."""

    signing_certificate: Certificate | None
    signature: bytes
    log_entry: Any
    timestamps: tuple[bytes, ...]

    @property
    def verification_material(self) -> Any:
        """With the timestamps, read when they are asked for."""
        from sigstore.models import TimestampVerificationData

        if not self.timestamps:
            return SimpleNamespace(timestamp_verification_data=None)
        stamps = [{"signedTimestamp": base64.b64encode(one).decode()} for one in self.timestamps]
        read = TimestampVerificationData.from_json(json.dumps({"rfc3161Timestamps": stamps}))
        return SimpleNamespace(timestamp_verification_data=read)


@dataclass(slots=True)
class _Promised:
    """A log entry without a proof: only the log's signed promise to take it in (v0.1)."""

    entry: Entry
    _inner: Any

    def _verify(self, keyring: Any) -> None:
        """Check the promise, as `sigstore.models.TransparencyLogEntry` does with a proof."""
        from sigstore.errors import VerificationError

        said = {
            "body": base64.b64encode(self.entry.body).decode(),
            "integratedTime": self._inner.integrated_time,
            "logID": self._inner.log_id.key_id.hex(),
            "logIndex": self._inner.log_index,
        }
        data = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        promise = base64.b64decode(self._inner.inclusion_promise.signed_entry_timestamp)
        try:
            keyring.verify(key_id=self._inner.log_id.key_id, signature=promise, data=data)
        except VerificationError as error:
            raise VerificationError(f"SET: invalid inclusion promise: {error}") from error


def verify_uncovered(
    steps: Steps,
    bundle: Bundle,
    digests: Mapping[str, str],
    root: TrustRoot | None,
    keys: Sequence[PlainKey],
    now: datetime,
) -> Signed | None:
    """Verify one of these bundles; None if it does not hold."""
    if not steps.check("bundle", lambda: _shape(bundle)):
        return None
    if bundle.managed:
        return _managed(steps, bundle, digests, root, keys, now)
    if root is None:
        raise RuntimeError("a bundle with a certificate is not verified without a trust root")
    return _certified(steps, bundle, digests, root, now)


def _shape(bundle: Bundle) -> str:
    """What a bundle of its version has to have. Raises InvalidInput `bad-bundle`."""
    why = ""
    if len(bundle.signatures) != 1:
        why = f"it has {len(bundle.signatures)} signatures, one goes"
    elif len(bundle.entries) > 1 or not (bundle.entries or bundle.managed):
        why = f"it has {len(bundle.entries)} log entries, one goes"
    for entry in bundle.entries:
        if bundle.version == "0.1" and not (entry.inclusion_promise and entry.integrated_time):
            why = "it lacks the log's promise of inclusion"
        elif bundle.version != "0.1" and not entry.proven:
            why = "it lacks the proof of inclusion with a checkpoint"
    if why:
        raise InvalidInput("bad-bundle", f"cannot read the bundle: {why}")
    return f"a Sigstore bundle v{bundle.version}"


def _seen(bundle: Bundle, certificate: Certificate | None) -> _Seen:
    from sigstore.models import TransparencyLogEntry
    from sigstore_models.rekor import v1

    entry = bundle.entries[0]
    logged: Any
    if entry.proven:
        logged = TransparencyLogEntry(v1.TransparencyLogEntry.from_json(msgspec.json.encode(entry)))
    else:
        inner = SimpleNamespace(
            log_id=SimpleNamespace(key_id=base64.b64decode(entry.log_id.key_id)),
            log_index=int(entry.log_index),
            integrated_time=int(entry.integrated_time or "0"),
            inclusion_promise=entry.inclusion_promise,
            kind_version=entry.kind_version,
        )
        logged = _Promised(entry, inner)
    return _Seen(certificate, bundle.signatures[0], logged, bundle.timestamps)


def _note(seen: _Seen, root: TrustRoot, watched: Watched) -> None:
    """Which log it is said to be in."""
    inner = seen.log_entry._inner  # noqa: SLF001  # as sigstore-python does
    watched.log, watched.index = root.log_name(inner.log_id.key_id), inner.log_index
    watched.promised = isinstance(seen.log_entry, _Promised)


def _verifier(root: TrustRoot, watched: Watched) -> Verifier:
    """sigstore-python's, which takes the log's time of every kind of entry that is verified here."""
    from datetime import UTC

    from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
    from sigstore.errors import VerificationError
    from sigstore.verify import Verifier

    class Older(Verifier):
        def _establish_time(self, bundle: Any) -> list[Any]:
            if bundle.timestamps:
                if not root.root.get_timestamp_authorities():
                    raise VerificationError("the trust root knows no timestamp authority")
                watched.times.extend(self._verify_timestamp_authority(bundle))
            inner = bundle.log_entry._inner  # noqa: SLF001  # as sigstore-python does
            if inner.integrated_time and inner.inclusion_promise:
                at = datetime.fromtimestamp(inner.integrated_time, tz=UTC)
                source = TimestampSource.TRANSPARENCY_SERVICE
                watched.times.append(TimestampVerificationResult(source=source, time=at))
            return watched.times

    return Older(trusted_root=root.root)


def _certified(
    steps: Steps, bundle: Bundle, digests: Mapping[str, str], root: TrustRoot, now: datetime
) -> Signed | None:
    """A certificate's signature with an entry of a kind that sigstore-python does not take."""
    from cryptography.x509 import load_der_x509_certificate

    watched = Watched()
    try:
        certificate = load_der_x509_certificate(bundle.certificate)
        watched.certificate = certificate
        seen = _seen(bundle, certificate)
        _note(seen, root, watched)
        verifier = _verifier(root, watched)
        verifier._verify_common_signing_cert(cast("Any", seen), watched)  # noqa: SLF001  # see above
        key = PlainKey(certificate.public_key())  # type: ignore[arg-type]  # another kind never holds
    except Exception as error:  # noqa: BLE001  # whatever it stumbles over, it is not verified
        failed(steps, watched, error)
        return None
    attested = attested_of(watched)
    for name in ("time", "certificate", "log"):
        steps.said(name, said_of(name, attested, watched), ok=True)
    held = steps.check("signature", lambda: _one_of(bundle, digests, [key], watched)[1])
    held = held and steps.check(
        "entry",
        lambda: check_recorded(bundle.entries[0], bundle, bundle.certificate, digests),
    )
    if not held or from_the_future(steps, watched, now):
        return None
    return _signed(bundle, attested)


def _one_of(
    bundle: Bundle, digests: Mapping[str, str], keys: Sequence[PlainKey], watched: Watched
) -> tuple[PlainKey, str]:
    """The key that made the one signature.

    Raises:
        Unavailable: `nothing-to-compare`, `no-key`.
        Untrusted: `bad-signature`, `wrong-subject`.
    """
    signature = bundle.signatures[0]
    if not keys:
        raise Unavailable(
            "no-key", "cannot check the signature: it is by a key that is not known; give --key"
        )
    if bundle.envelope is not None:
        good = [key for key in keys if key.signed(signature, bundle.envelope.signed)]
    else:
        hashed = {k: v for k, v in digests.items() if k in {"sha256", "sha384", "sha512"}}
        if not hashed:
            no_artifact()
        _same_digest(bundle, hashed)
        good = [
            key
            for key in keys
            if any(key.signed_digest(signature, k, bytes.fromhex(v)) for k, v in hashed.items())
        ]
    if not good:
        says = "by the certificate's key" if watched.certificate else f"by one of {len(keys)} keys"
        raise Untrusted("bad-signature", f"cannot trust the signature: it was not made {says}")
    by = "the certificate's key" if watched.certificate else f"the key {good[0].id[:16]}"
    return good[0], f"made with {by}"


def _same_digest(bundle: Bundle, digests: Mapping[str, str]) -> None:
    """The digest beside a bare signature is the artifact's, if there is one."""
    message = bundle.message
    names = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
    name = names.get(message.algorithm, "") if message else ""
    if (
        message
        and message.digest
        and digests.get(name, message.digest.hex()) != message.digest.hex()
    ):
        raise Untrusted("wrong-subject", "cannot take the signature: it is over another artifact")


def _managed(
    steps: Steps,
    bundle: Bundle,
    digests: Mapping[str, str],
    root: TrustRoot | None,
    keys: Sequence[PlainKey],
    now: datetime,
) -> Signed | None:
    """A signature by a key that the verifier knows. What vouches is the key, with a log or not."""
    watched = Watched()
    used: list[PlainKey] = []

    def signature() -> str:
        key, says = _one_of(bundle, digests, keys, watched)
        used.append(key)
        return says

    if not steps.check("signature", signature):
        return None
    attested = Attested(keys=(used[0].id,))
    if bundle.entries:
        if not steps.check("log", lambda: _logged(bundle, _known(root), watched)):
            return None
        if not steps.check(
            "entry", lambda: check_recorded(bundle.entries[0], bundle, used[0].der, digests)
        ):
            return None
        attested = replace(attested_of(watched), keys=attested.keys)
    return None if from_the_future(steps, watched, now) else _signed(bundle, attested)


def _known(root: TrustRoot | None) -> TrustRoot:
    if root is None:
        raise Unavailable(
            "no-trust-root", "cannot check the log entry: no trust root is known; give --trust-root"
        )
    return root


def _logged(bundle: Bundle, root: TrustRoot, watched: Watched) -> str:
    """The entry is in a log that counts, and says when.

    Raises:
        Untrusted: `not-logged`.
    """
    from sigstore._internal.trust import KeyringPurpose

    try:
        seen = _seen(bundle, None)
        seen.log_entry._verify(root.root.rekor_keyring(KeyringPurpose.VERIFY))  # noqa: SLF001
        _verifier(root, watched)._establish_time(cast("Any", seen))  # noqa: SLF001  # see above
    except Exception as error:  # whatever it stumbles over, it is not verified
        says = f"cannot trust the log entry: {plainly(error)}"
        raise Untrusted("not-logged", says) from error
    _note(seen, root, watched)
    attested = attested_of(watched)
    at = said_of("time", attested, watched) if watched.times else "signed at an unknown time"
    return f"{said_of('log', attested, watched)}, {at}"


def _signed(bundle: Bundle, attested: Attested) -> Signed:
    if bundle.envelope is None:
        return Signed(attested)
    return Signed(attested, bundle.envelope.payload_type, bundle.envelope.payload)
