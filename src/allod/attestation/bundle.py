"""Sigstore bundles v0.1 to v0.3, as they are written down (sigstore/protobuf-specs, JSON).

Only read here, so that it is known which way a bundle goes: what sigstore-python can verify, it
reads again itself, and only what it answers counts; the rest goes to `uncovered.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from allod.attestation.envelope import ENVELOPE_CAP, Envelope, EnvelopeFile, envelope_of, unbase64
from allod.errors import InvalidInput
from allod.wire.codec import convert, parse_strict

VERSIONS: Final = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": "0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2": "0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3": "0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "0.3",
}
#: Kinds of log entries whose bundles sigstore-python verifies.
COVERED: Final = frozenset(
    {("hashedrekord", "0.0.1"), ("hashedrekord", "0.0.2"), ("dsse", "0.0.1")}
)


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class _Raw(_Open, frozen=True, kw_only=True):
    raw_bytes: str


class _Chain(_Open, frozen=True, kw_only=True):
    certificates: list[_Raw] = []  # msgspec copies default containers


class _PublicKey(_Open, frozen=True, kw_only=True):
    hint: str = ""


class _LogId(_Open, frozen=True, kw_only=True):
    key_id: str


class _KindVersion(_Open, frozen=True, kw_only=True):
    kind: str
    version: str


class _Promise(_Open, frozen=True, kw_only=True):
    signed_entry_timestamp: str


class Entry(_Open, frozen=True, kw_only=True):
    """An entry of a transparency log."""

    log_index: str
    log_id: _LogId
    kind_version: _KindVersion
    integrated_time: str | None = None
    inclusion_promise: _Promise | None = None
    inclusion_proof: dict[str, Any] | None = None
    canonicalized_body: str

    @property
    def kind(self) -> tuple[str, str]:
        """Kind and version."""
        return self.kind_version.kind, self.kind_version.version

    @property
    def proven(self) -> bool:
        """Whether a proof of inclusion with a checkpoint comes with it."""
        return self.inclusion_proof is not None and bool(self.inclusion_proof.get("checkpoint"))

    @property
    def body(self) -> bytes:
        """What the log holds. Raises InvalidInput `bad-document`."""
        return unbase64(self.canonicalized_body, what="the log entry")


class _Timestamp(_Open, frozen=True, kw_only=True):
    signed_timestamp: str


class _Timestamps(_Open, frozen=True, kw_only=True):
    rfc3161_timestamps: list[_Timestamp] = []  # msgspec copies default containers


class _Material(_Open, frozen=True, kw_only=True):
    public_key: _PublicKey | None = None
    x509_certificate_chain: _Chain | None = None
    certificate: _Raw | None = None
    tlog_entries: list[Entry] = []  # msgspec copies default containers
    timestamp_verification_data: _Timestamps | None = None


class _Digest(_Open, frozen=True, kw_only=True):
    algorithm: str = ""
    digest: str = ""


class _Message(_Open, frozen=True, kw_only=True):
    message_digest: _Digest | None = None
    signature: str


class _BundleFile(_Open, frozen=True, kw_only=True):
    media_type: str
    verification_material: _Material
    message_signature: _Message | None = None
    dsse_envelope: EnvelopeFile | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A bare signature over an artifact."""

    signature: bytes
    algorithm: str = ""  #: of the digest that stands beside it, like "SHA2_256"
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read; nothing of it is verified."""

    raw: bytes
    version: str
    managed: bool  #: signed with a key that the verifier knows; else with a certificate
    certificate: bytes  #: DER; empty: none
    entries: tuple[Entry, ...]
    timestamps: tuple[bytes, ...]
    message: Message | None
    envelope: Envelope | None

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """All of them."""
        if self.envelope is not None:
            return self.envelope.signatures
        return () if self.message is None else (self.message.signature,)

    @property
    def covered(self) -> bool:
        """Whether it is for sigstore-python, be it to refuse it."""
        if self.managed:
            return False
        return all(
            one.kind in COVERED and (one.proven or self.version != "0.1") for one in self.entries
        )


def looks_like_bundle(value: object) -> bool:
    """Whether a parsed document is a bundle rather than an envelope."""
    return isinstance(value, dict) and "payloadType" not in value


def read_bundle(raw: bytes, *, what: str = "the bundle") -> Bundle:
    """Read a bundle. Raises InvalidInput `too-large`, `bad-json`, `bad-document`, `bad-bundle`."""
    value = parse_strict(raw, cap=ENVELOPE_CAP, what=what)
    file = convert(value, _BundleFile, what=what)
    version = VERSIONS.get(file.media_type)
    if version is None:
        raise InvalidInput(
            "bad-bundle", f"cannot read {what}: its format is {file.media_type[:120]!r}"
        )
    if (file.message_signature is None) == (file.dsse_envelope is None):
        raise InvalidInput(
            "bad-bundle", f"cannot read {what}: it holds one signature or one envelope"
        )
    material = file.verification_material
    envelope = file.dsse_envelope
    stamps = material.timestamp_verification_data
    return Bundle(
        raw=raw,
        version=version,
        managed=material.public_key is not None,
        certificate=_leaf(material, what),
        entries=tuple(material.tlog_entries),
        timestamps=tuple(
            unbase64(one.signed_timestamp, what="a timestamp")
            for one in (stamps.rfc3161_timestamps if stamps else ())
        ),
        message=_message(file.message_signature),
        envelope=None if envelope is None else envelope_of(envelope, what="the bundle's envelope"),
    )


def _leaf(material: _Material, what: str) -> bytes:
    """The certificate that signed: the only one, or the first of a chain."""
    ways = (material.public_key, material.certificate, material.x509_certificate_chain)
    if sum(one is not None for one in ways) != 1:
        raise InvalidInput("bad-bundle", f"cannot read {what}: it names one key or certificate")
    chain = material.x509_certificate_chain
    first = material.certificate or next(iter(chain.certificates if chain else ()), None)
    if first is None:
        if chain is not None:
            raise InvalidInput("bad-bundle", f"cannot read {what}: its certificate chain is empty")
        return b""
    return unbase64(first.raw_bytes, what="the certificate")


def _message(file: _Message | None) -> Message | None:
    if file is None:
        return None
    said = file.message_digest or _Digest()
    return Message(
        unbase64(file.signature, what="the signature"),
        said.algorithm,
        unbase64(said.digest, what="the digest beside the signature"),
    )
