"""What one device takes from the owner's repository: its documents, checked one by one.

Steps 6 to 8 of the order of acceptance, as far as they need no delegation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

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
    parse_digest,
    parse_provider,
)
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.tlog.known import KnownLog
from allod.tlog.lines import write_base64
from allod.trust.accepted import Repository, TargetFile
from allod.trust.anchor import Anchor
from allod.trust.authority_log import judged_log
from allod.trust.effects import Steps
from allod.trust.floors import Floors
from allod.trust.repository import descend
from allod.wire.codec import decode
from allod.wire.desired import STATE_CAP, decode_state
from allod.wire.report import Alarm, Authority, Refusal, SeenCheckpoint
from allod.wire.trust import (
    FleetDocument,
    ProviderDocument,
    TrustStatement,
    Withdrawal,
    WithdrawnDocument,
)

DOCUMENT_CAP: Final = 4 * 1024 * 1024
FLEET_PATH: Final = "fleet.json"
WITHDRAWN_PATH: Final = "releases/withdrawn.json"

_D = TypeVar("_D", FleetDocument, ProviderDocument, WithdrawnDocument)


def provider_path(provider: ProviderName) -> str:
    """Where the owner says what they think of a provider."""
    return f"providers/{provider}.json"


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
    providers = yield from _providers(reading)
    times = [doc.change.at for doc in reading.documents.values() if doc.change is not None]
    yield from repository.settle(owner_time=max(times, default=None), epoch=binding.epoch)
    return DeviceView(
        fleet=fleet,
        groups=groups,
        documents=reading.documents,
        authorities=reading.authorities,
        providers=providers,
        withdrawn=withdrawn,
        refusals=tuple(reading.refusals),
        alarms=(*repository.alarms, *reading.alarms),
        statement=repository.statement,
        anchor=repository.anchor,
        floors=repository.floors,
        decided=repository.decided,
        own_groups=own_groups,
    )


def fleet_document(repository: Repository) -> Steps[FleetDocument]:
    """`fleet.json`. Raises Untrusted `no-fleet-document`, `wrong-fleet`; InvalidInput."""
    found = yield from _signed_document(repository, FLEET_PATH, FleetDocument)
    if found is None:
        raise Untrusted("no-fleet-document", "cannot go on: the owner signed no fleet.json")
    return found


def provider_document(
    repository: Repository, provider: ProviderName
) -> Steps[ProviderDocument | None]:
    """What the owner thinks of a provider; None: nothing.

    Raises:
        Untrusted: `wrong-fleet`, `wrong-address`.
        InvalidInput: it cannot be read.
    """
    found = yield from _signed_document(repository, provider_path(provider), ProviderDocument)
    if found is not None and found.provider != provider:
        raise Untrusted(
            "wrong-address", f"cannot accept the provider {provider}: it says another name"
        )
    return found


def withdrawn_releases(repository: Repository) -> Steps[Mapping[Digest, Withdrawal]]:
    """The recalled releases. Raises Untrusted `wrong-fleet`; InvalidInput."""
    found = yield from _signed_document(repository, WITHDRAWN_PATH, WithdrawnDocument)
    return {} if found is None else {parse_digest(one.digest): one for one in found.releases}


def state_document(
    repository: Repository, scope: Scope
) -> Steps[tuple[StateDocument, TargetFile] | None]:
    """The owner's desired state of `scope`; None: there is none.

    Raises:
        Untrusted: `wrong-fleet`, `wrong-scope`.
        InvalidInput: it cannot be read as a whole.
    """
    # 7. The document's digest stands in a role file that step 4 accepted: `target` gives no other.
    file = yield from repository.target(scope.target_path, STATE_CAP)
    if file is None:
        return None
    # 6. Address, type, format: what is signed for one fleet or scope says nothing to another,
    #    whatever name it is served under (attack 2, 58).
    document = decode_state(file.data)
    check_fleet(document.fleet, repository.anchor.fleet, file.path)
    if document.scope != scope:
        raise Untrusted(
            "wrong-scope",
            f"cannot accept {file.path}: it is signed for {document.scope}",
            document=file.path,
            scope=str(document.scope),
        )
    return document, file


def check_fleet(said: str, fleet: FleetId, what: str) -> None:
    """A document counts only in the fleet that it was signed for (attack 58)."""
    if said != fleet:
        raise Untrusted(
            "wrong-fleet", f"cannot accept {what}: it is signed for another fleet", document=what
        )


def _signed_document(repository: Repository, path: str, type_: type[_D]) -> Steps[_D | None]:
    file = yield from repository.target(path, DOCUMENT_CAP)
    if file is None:
        return None
    document = decode(file.data, type_, cap=DOCUMENT_CAP, what=path)
    check_fleet(document.fleet, repository.anchor.fleet, path)
    return document


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
            error.code not in {"wrong-scope", "wrong-fleet", "epoch-ahead"}
            or "role" in error.details
        ):
            raise  # the metadata, not one document
        _refuse(reading, scope, error)
        return
    document, file = found
    reading.documents[scope] = document
    reading.authorities[scope] = authority_of(document, file, judged_log(reading.repository))


def authority_of(document: StateDocument, file: TargetFile, log: KnownLog | None) -> Authority:
    """Why a change that this document wants is lawful: a receipt, if the fleet has a log."""
    seen: SeenCheckpoint | None = None
    if log is not None and file.log_index is not None:
        seen = SeenCheckpoint(
            origin=log.signed.checkpoint.origin,
            size=log.signed.size,
            root=write_base64(log.signed.root),
        )
    return Authority(
        document=file.path,
        digest=file.digest,
        role=file.role,
        version=file.version,
        change=None if document.change is None else document.change.number,
        log_index=file.log_index,
        checkpoint=seen,
    )


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


def _providers(reading: _Reading) -> Steps[Mapping[ProviderName, ProviderDocument]]:
    """What the owner says of every provider that a document names; one bad document refuses one."""
    named = {
        order.provider
        for document in reading.documents.values()
        for entry in document.packages.values()
        if entry.software is not None
        for order in entry.software.releases
    }
    providers: dict[ProviderName, ProviderDocument] = {}
    for provider in sorted(named):
        path = provider_path(provider)
        try:
            found = yield from provider_document(reading.repository, parse_provider(provider))
        except InvalidInput as error:
            reading.refusals.append(Refusal(code=error.code, reasons=[error.message], subject=path))
            continue
        if found is not None:
            providers[provider] = found
    return providers
