"""DSSE envelopes (secure-systems-lab/dsse, v1.0): signed here, checked here, nowhere else.

The signature covers the payload's type, so that a challenge cannot be a report and a report
cannot be a statement (attack 59); it is checked over the received bytes before they are read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from allod.errors import InvalidInput, Untrusted
from allod.trust.verified import Verified, seal
from allod.wire import envelope as wire
from allod.wire.codec import convert, decode, encode, parse_strict

MAX_SIGNATURES = 32
_URL_SAFE = str.maketrans("-_", "+/")


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE, "PAE")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def decode_envelope(
    raw: bytes, *, cap: int = wire.ENVELOPE_CAP, what: str = "the envelope"
) -> wire.Envelope:
    """Read an envelope's outside. Raises InvalidInput."""
    return decode(raw, wire.Envelope, cap=cap, what=what)


def payload_of(envelope: wire.Envelope) -> bytes:
    """The payload, unverified. Raises InvalidInput `bad-document`."""
    return _unbase64(envelope.payload)


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("bad-document", f"cannot read base64: {error}") from error


def verify(
    envelope: wire.Envelope, payload_type: str, keys: Iterable[Key], threshold: int, *, what: str
) -> Verified[bytes]:
    """Check type and signatures of an envelope that was read already.

    Keys count once each, whatever ids they come under.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `wrong-type`, or `auth` if fewer than `threshold` of the keys signed it.
    """
    if envelope.payload_type != payload_type:
        raise Untrusted(
            "wrong-type",
            f"cannot accept {what}: it is signed as {envelope.payload_type[:80]!r}",
            expected=payload_type,
        )
    if len(envelope.signatures) > MAX_SIGNATURES:
        raise InvalidInput("bad-document", f"cannot read {what}: too many signatures")
    payload = payload_of(envelope)
    counted = good_signatures(envelope, payload, keys)
    if threshold < 1 or len(counted) < threshold:
        raise Untrusted(
            "auth",
            f"cannot accept {what}: {len(counted)} of {threshold} needed signatures are good",
            good=len(counted),
            threshold=threshold,
        )
    return seal(payload, frozenset(counted.values()))


def good_signatures(
    envelope: wire.Envelope, payload: bytes, keys: Iterable[Key]
) -> Mapping[str, str]:
    """Public key -> key id, of those of `keys` whose signature of the envelope is good.

    Raises:
        InvalidInput: a signature is not base64.
    """
    signed = pae(envelope.payload_type, payload)
    known = {key.keyid: key for key in keys}
    counted: dict[str, str] = {}
    for signature in envelope.signatures:
        key = known.get(signature.keyid)
        if key is None:
            continue
        try:
            key.verify_signature(Signature(key.keyid, _unbase64(signature.sig).hex()), signed)
        except UnverifiedSignatureError:
            continue
        counted[key.keyval["public"]] = key.keyid
    return counted


def verify_envelope(
    raw: bytes,
    payload_type: str,
    keys: Iterable[Key],
    threshold: int,
    cap: int = wire.ENVELOPE_CAP,
    *,
    what: str = "the document",
) -> Verified[bytes]:
    """Read an envelope strictly and check its type and signatures.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document`.
        Untrusted: `wrong-type`, `auth`.
    """
    return verify(
        decode_envelope(raw, cap=cap, what=what), payload_type, keys, threshold, what=what
    )


def open_foreign(
    raw: bytes, payload_type: str, *, cap: int, what: str
) -> tuple[bytes, list[bytes]]:
    """Payload and signatures of an envelope that others wrote, unverified.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document`.
        Untrusted: `wrong-type`.
    """
    value = parse_strict(raw, cap=cap, what=what)
    envelope = convert(value, wire.ForeignEnvelope, what=what)
    if envelope.payload_type != payload_type:
        raise Untrusted(
            "wrong-type",
            f"cannot accept {what}: it is signed as {envelope.payload_type[:80]!r}",
            expected=payload_type,
        )
    if len(envelope.signatures) > MAX_SIGNATURES:
        raise InvalidInput("bad-document", f"cannot read {what}: too many signatures")
    payload = _unbase64(envelope.payload.translate(_URL_SAFE))
    return payload, [_unbase64(one.sig.translate(_URL_SAFE)) for one in envelope.signatures]


def verify_foreign(
    raw: bytes, payload_type: str, keys: Iterable[Key], threshold: int, *, cap: int, what: str
) -> Verified[bytes]:
    """`verify_envelope` for envelopes that others wrote: a key id is no more than a hint there.

    Every key is tried, and counts once.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document`.
        Untrusted: `wrong-type`, `auth`.
    """
    payload, signatures = open_foreign(raw, payload_type, cap=cap, what=what)
    signed = pae(payload_type, payload)
    by_public = {key.keyval["public"]: key for key in keys}
    counted = frozenset(
        key.keyid
        for key in by_public.values()
        if any(_is_good(key, signature, signed) for signature in signatures)
    )
    if threshold < 1 or len(counted) < threshold:
        raise Untrusted(
            "auth",
            f"cannot accept {what}: {len(counted)} of {threshold} needed signatures are good",
            good=len(counted),
            threshold=threshold,
        )
    return seal(payload, counted)


def _is_good(key: Key, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify_signature(Signature(key.keyid, signature.hex()), signed)
    except UnverifiedSignatureError:
        return False
    return True


def make_envelope(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> wire.Envelope:
    """Sign `payload`, as a statement of this type and no other, with every signer."""
    signed = pae(payload_type, payload)
    return wire.Envelope(
        payload_type=payload_type,
        payload=base64.b64encode(payload).decode(),
        signatures=[_signature(signer, signed) for signer in signers],
    )


def sign_envelope(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> bytes:
    """`make_envelope`, as the bytes of its file."""
    return encode(make_envelope(payload, payload_type, signers))


def add_signatures(raw: bytes, payload_type: str, signers: Sequence[Signer]) -> bytes:
    """The same statement with further signatures: for thresholds, and after a rotation.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `wrong-type`.
    """
    envelope = decode_envelope(raw)
    if envelope.payload_type != payload_type:
        raise Untrusted(
            "wrong-type", f"cannot sign {envelope.payload_type[:80]!r} as {payload_type!r}"
        )
    more = make_envelope(payload_of(envelope), payload_type, signers)
    return encode(_merged([envelope, more]))


def merge_envelopes(raws: Sequence[bytes]) -> bytes:
    """One envelope with the signatures of all, which must hold the same statement.

    Raises:
        InvalidInput: they are malformed, or differ (`different-documents`).
    """
    return encode(_merged([decode_envelope(raw) for raw in raws]))


def _merged(envelopes: Sequence[wire.Envelope]) -> wire.Envelope:
    first = envelopes[0]
    if any((e.payload, e.payload_type) != (first.payload, first.payload_type) for e in envelopes):
        raise InvalidInput(
            "different-documents", "cannot merge signatures: they are over different documents"
        )
    by_key = {s.keyid: s for envelope in envelopes for s in envelope.signatures}
    return wire.Envelope(
        payload_type=first.payload_type,
        payload=first.payload,
        signatures=[by_key[key] for key in sorted(by_key)],
    )


def _signature(signer: Signer, signed: bytes) -> wire.Signature:
    made = signer.sign(signed)
    return wire.Signature(
        keyid=made.keyid, sig=base64.b64encode(bytes.fromhex(made.signature)).decode()
    )
