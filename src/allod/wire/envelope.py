"""DSSE envelopes and public keys: the outside of everything that is signed apart from TUF.

Payload types (each signature says what kind of statement it is; attack 59):
"""

from __future__ import annotations

from typing import Final

import msgspec

from allod.wire.codec import Document

TRUST: Final = "application/vnd.allod.trust.v1+json"
INVITE: Final = "application/vnd.allod.invite.v1+json"
BINDING: Final = "application/vnd.allod.binding.v1+json"
REPORT: Final = "application/vnd.allod.report.v1+json"
TOKEN_REQUEST: Final = "application/vnd.allod.token-request.v1+json"  # noqa: S105  # a media type
SERVER_OFFER: Final = "application/vnd.allod.server-offer.v1+json"
LOG_ROLE: Final = "application/vnd.allod.log-role.v1+json"
CHANNEL: Final = "application/vnd.allod.channel.v1+json"
GATE: Final = "application/vnd.allod.gate.v1+json"
APPROVAL: Final = "application/vnd.allod.approval.v1+json"
PROPOSAL: Final = "application/vnd.allod.proposal.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"  #: the provider's statement about a release

ENVELOPE_CAP: Final = 2 * 1024 * 1024


class Signature(Document, rename=None, kw_only=True, frozen=True):
    """One signature: key id (hex) and base64 of the raw signature."""

    keyid: str
    sig: str


class Envelope(Document, kw_only=True, frozen=True):
    """A DSSE envelope (secure-systems-lab/dsse, v1.0)."""

    payload_type: str
    payload: str  #: base64
    signatures: list[Signature]


class ForeignSignature(msgspec.Struct, rename=None, kw_only=True, frozen=True):
    """One signature in another's envelope: its key id is a hint, or nothing."""

    sig: str
    keyid: str | None = None


class ForeignEnvelope(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A DSSE envelope as others write it: fields that are unknown here are ignored."""

    payload_type: str
    payload: str
    signatures: list[ForeignSignature]


class KeyValue(Document, kw_only=True, frozen=True):
    """The public half, in the form that the key type demands (PEM, or hex for ed25519)."""

    public: str


class PublicKey(Document, rename=None, kw_only=True, frozen=True):
    """A public key in TUF's own form; its id is computed as in TUF."""

    keytype: str
    scheme: str
    keyval: KeyValue
