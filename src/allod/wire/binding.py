"""Invites and binding records (docs/spec/invite.md, docs/spec/binding.md)."""

from __future__ import annotations

from typing import Literal

from allod.wire.codec import Document
from allod.wire.envelope import Envelope, PublicKey
from allod.wire.proposed import ProposedDelegation
from allod.wire.trust import Location


class InviteRoot(Document, kw_only=True, frozen=True):
    """The root that the device starts from."""

    version: int
    sha256: str  #: hex, of the whole root metadata file


class InviteTrust(Document, kw_only=True, frozen=True):
    """The newest trust statement when the invite was made."""

    number: int
    digest: str  #: of its payload


class InviteFloors(Document, kw_only=True, frozen=True):
    """What the device must not go below from its first minute."""

    roles: dict[str, int]
    snapshot: str | None = None  #: digest of the signed part of the snapshot that the CLI verified
    time: str
    log: dict[str, str] = {}  #: log origin -> checkpoint, once the fleet has logs


class Invite(Document, kw_only=True, frozen=True):
    """The signed part (DSSE `INVITE`, threshold of `targets`)."""

    type: Literal["allod.invite"] = "allod.invite"
    format: Literal[1] = 1
    fleet: str
    id: str
    name: str  #: the fleet's name, to show
    root: InviteRoot
    trust: InviteTrust
    locations: list[Location]
    floors: InviteFloors
    groups: list[str]
    expires: str
    uses: int
    key: PublicKey  #: its private half is the invite's secret


class InviteFile(Document, kw_only=True, frozen=True):
    """The file form: everything that `bind --offline` needs. The secret stands outside the signed part."""

    invite: Envelope
    secret: str  #: base64 of the Ed25519 seed
    root: str | None = None  #: base64 of the root metadata file; absent in the URL form
    trust: list[Envelope] = []  #: the statements 1 … newest; absent in the URL form


class BindingRecord(Document, kw_only=True, frozen=True):
    """DSSE `BINDING`, signed by the invite's key and by the device's."""

    type: Literal["allod.binding"] = "allod.binding"
    format: Literal[1] = 1
    fleet: str
    invite: str
    device: str
    epoch: int
    key: PublicKey
    at: str  #: as the device claims
    facts: dict[str, str]
    agent: str
    proposes: ProposedDelegation | None = None  #: a wish of the device's maker; nobody's word


class BindingFile(Document, kw_only=True, frozen=True):
    """What a device hands in, and what is carried on a stick; anyone can check it."""

    invite: Envelope
    record: Envelope


class TokenRequest(Document, kw_only=True, frozen=True):
    """DSSE `TOKEN_REQUEST`: a device answers the server's challenge."""

    type: Literal["allod.token-request"] = "allod.token-request"
    format: Literal[1] = 1
    fleet: str
    device: str
    epoch: int
    challenge: str


class ReadToken(Document, kw_only=True, frozen=True):
    """The server's answer: a bearer token for reads."""

    token: str
    expires: str
