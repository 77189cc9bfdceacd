"""What the device has accepted of its owner's word: the input of resolution and plan.

A view is made by `acceptance` only, from documents that passed steps 1 to 7 of docs/explanation/acceptance.md, and it
is what stands while nothing newer can be had: expiry, silence and omission stop change, never
operation.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from allod.agent.twin import Damaged, TwinFile
from allod.domain.delegation import Delegate
from allod.domain.desired import StateDocument
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Scope,
    device_scope,
    group_scope,
    parse_device,
    parse_fleet,
    parse_group,
    parse_scope,
)
from allod.errors import InvalidInput, Untrusted
from allod.trust.approvals import approved_state
from allod.wire.channel import CHANNEL_CAP, decode_channel, encode_channel
from allod.wire.codec import instant, parse_instant
from allod.wire.delegation import decode_delegation, encode_delegation
from allod.wire.desired import decode_state
from allod.wire.report import Alarm, Authority, Refusal, TrustState
from allod.wire.trust import FleetDocument, ProviderDocument, Withdrawal

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = "view"
_CHANNEL_CAP: Final = (
    4 * CHANNEL_CAP
)  #: of one as it is kept: its provider may have left defaults out


@dataclass(frozen=True, slots=True)
class View:
    """The owner's documents that concern this device, each with the authority that it carries.

    `raw` holds the signed bytes that `documents` was read from; one without is a hold, in place
    of a document that was refused. `refusals` and `alarms` go along
    for the report. A scope without a document says nothing; what is installed there stays.
    """

    fleet_id: FleetId
    device: DeviceId
    epoch: int
    fleet: FleetDocument
    groups: tuple[GroupName, ...]
    documents: Mapping[Scope, StateDocument]
    authorities: Mapping[Scope, Authority]
    raw: Mapping[Scope, bytes]
    providers: Mapping[ProviderName, ProviderDocument]
    withdrawn: Mapping[Digest, Withdrawal]
    trust: TrustState
    accepted_at: datetime  #: by the time that the device decided by
    refusals: tuple[Refusal, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    delegates: Mapping[str, Delegate] = field(default_factory=dict)  #: id -> its proved word
    delegate_authorities: Mapping[tuple[str, Scope], Authority] = field(default_factory=dict)
    delegate_raw: Mapping[tuple[str, Scope], bytes] = field(default_factory=dict)  #: of documents
    gates: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: rollout -> open stages
    witnessed: datetime | None = None  #: time of the newest evidence of freshness

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The device, then its groups in order: the order in which resolution reads."""
        return (device_scope(self.device), *(group_scope(group) for group in self.groups))

    @property
    def retired(self) -> bool:
        """Whether the owner's document says that the device is out of service."""
        own = self.documents.get(device_scope(self.device))
        return own is not None and own.device is not None and own.device.status == "retired"

    def with_findings(self, refusals: tuple[Refusal, ...], alarms: tuple[Alarm, ...]) -> View:
        """The same word of the owner, with what was refused and noticed since."""
        return replace(self, refusals=refusals, alarms=alarms)


class _Entry(msgspec.Struct, frozen=True):
    raw: str
    authority: Authority


class _Said(msgspec.Struct, frozen=True):
    """What a delegate says of one scope; without `raw` it says it by its channel."""

    authority: Authority
    raw: str | None = None


class _Delegate(msgspec.Struct, frozen=True):
    delegation: str  #: its document, base64
    scopes: dict[str, _Said] = {}
    channel: str | None = None  #: its payload, base64
    seen_since: str | None = None


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The durable form; it may only grow, and unknown fields are left alone."""

    fleet_id: str
    device: str
    epoch: int
    fleet: FleetDocument
    groups: list[str]
    documents: dict[str, _Entry]
    providers: list[ProviderDocument]
    withdrawn: list[Withdrawal]
    trust: TrustState
    accepted_at: str
    holds: dict[str, str] = {}  #: scopes whose document was refused, and why
    delegates: dict[str, _Delegate] = {}
    gates: dict[str, list[int]] = {}
    witnessed: str | None = None


def save_view(directory: Path, view: View) -> None:
    """Make `view` the one that stands; durable when it returns. Findings are not kept."""
    stored = _Stored(
        fleet_id=view.fleet_id,
        device=view.device,
        epoch=view.epoch,
        fleet=view.fleet,
        groups=list(view.groups),
        documents={
            str(scope): _Entry(base64.b64encode(raw).decode(), view.authorities[scope])
            for scope, raw in view.raw.items()
        },
        providers=list(view.providers.values()),
        withdrawn=list(view.withdrawn.values()),
        trust=view.trust,
        accepted_at=instant(view.accepted_at),
        holds={
            str(scope): document.hold or ""
            for scope, document in view.documents.items()
            if scope not in view.raw
        },
        delegates={name: _delegate_out(view, one) for name, one in view.delegates.items()},
        gates={rollout: sorted(stages) for rollout, stages in view.gates.items()},
        witnessed=None if view.witnessed is None else instant(view.witnessed),
    )
    data = msgspec.json.encode(stored, order="sorted")
    twin = TwinFile(directory, _FILE)
    try:
        known = twin.load()
    except Damaged:
        known = None
    if known is None or known.data != data:
        twin.save(data)


def _delegate_out(view: View, delegate: Delegate) -> _Delegate:
    name, channel = delegate.delegation.id, delegate.channel
    said = {
        str(scope): _Said(authority, _base64(view.delegate_raw.get((name, scope))))
        for (manager, scope), authority in view.delegate_authorities.items()
        if manager == name
    }
    since = None if channel is None else channel.seen_since
    return _Delegate(
        delegation=base64.b64encode(encode_delegation(view.fleet_id, delegate.delegation)).decode(),
        scopes=said,
        channel=_base64(None if channel is None else encode_channel(channel, cap=_CHANNEL_CAP)),
        seen_since=None if since is None else instant(since),
    )


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _delegate_in(stored: _Delegate, fleet: FleetDocument) -> Delegate:
    delegation = decode_delegation(base64.b64decode(stored.delegation))[1]
    documents = {
        parse_scope(name): approved_state(decode_state(base64.b64decode(said.raw)), fleet)
        for name, said in stored.scopes.items()
        if said.raw is not None
    }
    channel = None
    if stored.channel is not None:
        since = None if stored.seen_since is None else parse_instant(stored.seen_since)
        payload = base64.b64decode(stored.channel)
        channel = replace(decode_channel(payload, cap=_CHANNEL_CAP), seen_since=since)
    return Delegate(delegation, documents, channel)


def load_view(directory: Path) -> View | None:
    """The view that stands, or None if there never was one.

    Raises:
        Untrusted: `view-damaged`; what runs goes on, and the next acceptance makes a new one.
    """
    try:
        content = TwinFile(directory, _FILE).load()
        return None if content is None else _view(content.data, content.healed)
    except (Damaged, InvalidInput, msgspec.DecodeError, ValueError) as error:
        raise Untrusted(
            "view-damaged",
            f"cannot read the accepted state in {directory}; the next contact with the fleet mends it",
        ) from error


def _view(data: bytes, healed: str) -> View:
    stored = msgspec.json.decode(data, type=_Stored)
    raw = {
        parse_scope(name): base64.b64decode(entry.raw) for name, entry in stored.documents.items()
    }
    fleet = parse_fleet(stored.fleet_id)
    documents = {
        scope: approved_state(decode_state(document), stored.fleet)
        for scope, document in raw.items()
    }
    said = {
        (name, parse_scope(scope)): one
        for name, delegate in stored.delegates.items()
        for scope, one in delegate.scopes.items()
    }
    for name, why in stored.holds.items():
        documents[parse_scope(name)] = StateDocument(fleet, parse_scope(name), hold=why)
    alarms = (Alarm(code="view-healed", says=f"the copy {healed} was damaged"),) if healed else ()
    return View(
        fleet_id=fleet,
        device=parse_device(stored.device),
        epoch=stored.epoch,
        fleet=stored.fleet,
        groups=tuple(parse_group(name) for name in stored.groups),
        documents=documents,
        authorities={
            parse_scope(name): entry.authority for name, entry in stored.documents.items()
        },
        raw=raw,
        providers={ProviderName(entry.provider): entry for entry in stored.providers},
        withdrawn={Digest(entry.digest): entry for entry in stored.withdrawn},
        trust=stored.trust,
        accepted_at=parse_instant(stored.accepted_at),
        alarms=alarms,
        delegates={
            name: _delegate_in(delegate, stored.fleet)
            for name, delegate in stored.delegates.items()
        },
        delegate_authorities={place: one.authority for place, one in said.items()},
        delegate_raw={
            place: base64.b64decode(one.raw) for place, one in said.items() if one.raw is not None
        },
        gates={rollout: frozenset(stages) for rollout, stages in stored.gates.items()},
        witnessed=None if stored.witnessed is None else parse_instant(stored.witnessed),
    )
