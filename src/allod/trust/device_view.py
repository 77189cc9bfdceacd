"""What one device takes from the owner's repository: its documents, checked one by one.

Steps 6 to 8 of the order of acceptance; what delegates say is read in `delegates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.delegation import Delegate
from allod.domain.desired import StateDocument
from allod.domain.ids import (
    DeviceId,
    Digest,
    GroupName,
    ProviderName,
    Scope,
    device_scope,
    group_scope,
)
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.trust.accepted import Repository
from allod.trust.anchor import Anchor
from allod.trust.approvals import approved_state
from allod.trust.authority_log import judged_log
from allod.trust.delegates import Words, read_delegates
from allod.trust.documents import (
    DOCUMENT_CAP,
    FLEET_PATH,
    WITHDRAWN_PATH,
    authority_of,
    fleet_document,
    provider_document,
    provider_path,
    state_document,
    withdrawn_releases,
)
from allod.trust.effects import Steps
from allod.trust.floors import Floors
from allod.trust.open_stages import read_gates
from allod.trust.repository import descend
from allod.wire.report import Alarm, Authority, Refusal
from allod.wire.trust import FleetDocument, ProviderDocument, TrustStatement, Withdrawal

__all__ = [
    "DOCUMENT_CAP",
    "FLEET_PATH",
    "WITHDRAWN_PATH",
    "DeviceBinding",
    "DeviceView",
    "accept_for_device",
    "fleet_document",
    "provider_document",
    "provider_path",
    "state_document",
    "withdrawn_releases",
]


@dataclass(frozen=True, slots=True)
class DeviceBinding:
    """What the device knows of its binding, from its own durable store."""

    device: DeviceId
    epoch: int
    groups: tuple[GroupName, ...]  #: of its own invite
    accepted_groups: tuple[GroupName, ...] | None = None  #: last accepted from its own document


@dataclass(frozen=True, slots=True)
class DeviceView:
    """Everything that the owner says to this device now.

    A scope whose document was refused is in `documents` with nothing but a hold, so that no
    other scope decides in its place; the reason is in `refusals`.
    """

    fleet: FleetDocument
    groups: tuple[GroupName, ...]
    documents: Mapping[Scope, StateDocument]  #: the device's own, then its groups', in order
    authorities: Mapping[Scope, Authority]
    providers: Mapping[ProviderName, ProviderDocument]
    withdrawn: Mapping[Digest, Withdrawal]
    refusals: tuple[Refusal, ...]
    alarms: tuple[Alarm, ...]
    statement: TrustStatement | None
    anchor: Anchor
    floors: Floors
    decided: datetime
    own_groups: tuple[GroupName, ...] | None = None  #: of the device's document; None: it has none
    delegates: Mapping[str, Delegate] = field(default_factory=dict)  #: id -> its proved word
    delegate_authorities: Mapping[tuple[str, Scope], Authority] = field(default_factory=dict)
    gates: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: rollout -> open stages
    witnessed: datetime | None = None  #: time of the quorum on the newest checkpoint

    @property
    def retired(self) -> bool:
        """Whether the owner retired this device."""
        own = next((d.device for s, d in self.documents.items() if s.kind == "devices"), None)
        return own is not None and own.status == "retired"


@dataclass(slots=True)
class _Reading:
    repository: Repository
    binding: DeviceBinding
    documents: dict[Scope, StateDocument]
    authorities: dict[Scope, Authority]
    refusals: list[Refusal]
    alarms: list[Alarm]


def accept_for_device(
    anchor: Anchor,
    floors: Floors,
    cached: Mapping[str, bytes],
    binding: DeviceBinding,
    now: datetime,
) -> Steps[DeviceView]:
    """Descend, then read every document that concerns this device.

    A document that is refused does not stop the others. What the signed metadata does not
    prove absent is never taken as absent (attack 8, 61).

    Raises:
        Untrusted, Unavailable: as `descend`; also `no-fleet-document`.
        InvalidInput: a document that holds for the whole fleet cannot be read.
    """
    repository = yield from descend(anchor, floors, cached, now, device=binding.device)
    fleet = yield from fleet_document(repository)
    withdrawn = yield from withdrawn_releases(repository)
    reading = _Reading(repository, binding, {}, {}, [], [])
    yield from _read_scope(reading, device_scope(binding.device))
    groups, own_groups = _groups(reading)
    for group in groups:
        yield from _read_scope(reading, group_scope(group))
    documents = {s: approved_state(one, fleet) for s, one in reading.documents.items()}
    # 8. Who else may decide here, and what they say; a fault of one word refuses this one alone.
    words = Words(repository, fleet, documents)
    yield from read_delegates(words)
    gates = yield from read_gates(
        repository, fleet, documents, words.delegates, binding.device, words.refusals
    )
    times = [doc.change.at for doc in reading.documents.values() if doc.change is not None]
    yield from repository.settle(owner_time=max(times, default=None), epoch=binding.epoch)
    return DeviceView(
        fleet=fleet,
        groups=groups,
        documents=documents,
        authorities=reading.authorities,
        providers=words.providers,
        withdrawn=withdrawn,
        refusals=(*reading.refusals, *words.refusals),
        alarms=(*repository.alarms, *reading.alarms, *words.alarms),
        statement=repository.statement,
        anchor=repository.anchor,
        floors=repository.floors,
        decided=repository.decided,
        own_groups=own_groups,
        delegates=words.delegates,
        delegate_authorities=words.authorities,
        gates=gates,
        witnessed=repository.witnessed,
    )


def _read_scope(reading: _Reading, scope: Scope) -> Steps[None]:
    """One document; a refusal of it becomes a hold, everything else about it stays unknown."""
    try:
        found = yield from state_document(reading.repository, scope)
        if found is None or _of_another_epoch(reading, found[0]):
            return
    except InvalidInput as error:
        _refuse(reading, scope, error)
        return
    except Untrusted as error:
        if (
            error.code not in {"wrong-scope", "wrong-fleet", "wrong-role", "epoch-ahead"}
            or "role" in error.details
        ):
            raise  # the metadata, not one document
        _refuse(reading, scope, error)
        return
    document, file = found
    reading.documents[scope] = document
    reading.authorities[scope] = authority_of(document, file, judged_log(reading.repository))


def _of_another_epoch(reading: _Reading, document: StateDocument) -> bool:
    """6. Epoch: what was signed for an earlier binding of the device is past (attack 53).

    Raises:
        Untrusted: `epoch-ahead`: the owner knows of a later binding than this device does.
    """
    if document.device is None or document.device.epoch == reading.binding.epoch:
        return False
    if document.device.epoch < reading.binding.epoch:
        return True
    says = f"cannot accept the device's document: it is for binding {document.device.epoch}"
    reading.alarms.append(Alarm(code="epoch-ahead", says=says))
    raise Untrusted("epoch-ahead", says)


def _refuse(reading: _Reading, scope: Scope, error: AllodError) -> None:
    reading.refusals.append(
        Refusal(code=error.code, reasons=[error.message], subject=scope.target_path)
    )
    reading.documents[scope] = StateDocument(
        fleet=reading.repository.anchor.fleet, scope=scope, hold=error.message
    )


def _groups(
    reading: _Reading,
) -> tuple[tuple[GroupName, ...], tuple[GroupName, ...] | None]:
    """The groups, in order, and those that the device's own document names."""
    # 8. Who manages begins with the groups: from the owner's document of this device or from
    #    its own invite, from nowhere else; once accepted they stay (attack 56, 61).
    binding = reading.binding
    own = reading.documents.get(device_scope(binding.device))
    if own is None or own.device is None:
        kept = binding.accepted_groups
        return (binding.groups if kept is None else kept), kept
    groups = binding.groups if own.device.groups is None else own.device.groups
    return groups, groups
