"""On a stick: delegations, what delegates wrote, channels that are followed, gates that are open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from allod.cli.channel_places import ENVELOPE_CAP, FleetPlace, newest_sequence
from allod.domain.delegation import Delegation, Follow
from allod.domain.desired import OWNER, Level, PackageEntry, ReleaseOrder, StateDocument
from allod.domain.ids import Purl, Scope, is_pattern, pattern_covers
from allod.errors import AllodError
from allod.trust.channels import verify_channel
from allod.wire.channel import channel_path, checkpoint_path, latest_path
from allod.wire.delegation import delegation_path
from allod.wire.gate import GATE_CAP, gate_path

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.domain.delegation import Channel

_EARLIER: Final = 5  #: documents of a channel before its newest: the newest may not count
_CHECKPOINT_CAP: Final = 1024 * 1024


@dataclass(slots=True)
class Permission:
    """What goes onto a stick beside the owner's own documents."""

    targets: list[str] = field(default_factory=list)  #: target paths
    files: dict[str, bytes] = field(default_factory=dict)  #: by address below the fleet
    documents: list[StateDocument] = field(default_factory=list)  #: of delegates
    orders: list[tuple[Purl, ReleaseOrder]] = field(default_factory=list)  #: of channels
    providers: set[str] = field(default_factory=set)


def permission_of(picture: Picture, documents: Mapping[Scope, StateDocument]) -> Permission:
    """What devices with these documents ask for because of them."""
    found = Permission()
    for name in sorted(_managers(documents.values())):
        delegation = picture.base.delegations.get(name)
        if delegation is None:
            continue
        found.targets.append(delegation_path(name))
        for scope in sorted(delegation.scopes & documents.keys()):
            own = picture.base.delegated.get((name, scope))
            if own is not None:
                found.documents.append(own)
                found.targets.append(delegation.document_path(scope))
        if delegation.follow is not None:
            _channel(picture, delegation, delegation.follow, documents, found)
    for rollout, stages in _rollouts([*documents.values(), *found.documents]):
        for stage in range(stages):
            path = gate_path(rollout, stage)
            _file(picture, found, path, GATE_CAP)
    return found


def _managers(documents: Iterable[StateDocument]) -> set[str]:
    return {
        half.manager
        for document in documents
        for entry in document.packages.values()
        for half in (entry.software, entry.configuration)
        if half is not None and half.manager != OWNER
    }


def _rollouts(documents: Iterable[StateDocument]) -> Iterator[tuple[str, int]]:
    for document in documents:
        for entry in document.packages.values():
            if entry.rollout is not None:
                yield entry.rollout.id, len(entry.rollout.stages)


def _channel(
    picture: Picture,
    delegation: Delegation,
    follow: Follow,
    documents: Mapping[Scope, StateDocument],
    found: Permission,
) -> None:
    place = FleetPlace(picture.fleet)
    newest = newest_sequence(place, follow.provider, follow.channel)
    found.providers.add(follow.provider)
    for sequence in range(max(1, newest - _EARLIER), newest + 1):
        _file(picture, found, channel_path(follow.provider, follow.channel, sequence), ENVELOPE_CAP)
        path = checkpoint_path(follow.provider, follow.channel, sequence)
        _file(picture, found, path, _CHECKPOINT_CAP)
    path = latest_path(follow.provider, follow.channel)
    _file(picture, found, path, ENVELOPE_CAP)
    provider = picture.base.providers.get(follow.provider)
    raw = found.files.get(path)
    if provider is None or raw is None:
        return
    try:
        channel = verify_channel(raw, provider, follow).value.channel
    except AllodError:
        return  # devices refuse it just so
    found.orders.extend(_channel_orders(channel, delegation, documents.values()))


def _channel_orders(
    channel: Channel, delegation: Delegation, documents: Iterable[StateDocument]
) -> Iterator[tuple[Purl, ReleaseOrder]]:
    """The releases that the channel names for packages that the delegation decides on here."""
    keys = {
        key
        for document in documents
        for key, entry in document.packages.items()
        if entry.software is not None and entry.software.manager == delegation.id
    }
    for package, one in sorted(channel.packages.items()):
        if any(_covers(key, package) for key in keys):
            order = ReleaseOrder(channel.provider, one.version, one.digest, Level.ACTIVE)
            yield package, order


def _covers(key: str, package: Purl) -> bool:
    return key == package or (is_pattern(key) and pattern_covers(key, package))


def _file(picture: Picture, found: Permission, path: str, cap: int) -> None:
    data = picture.fleet.client.file(path, cap=cap)
    if data is not None:
        found.files[path] = data


def entry_orders(entry: PackageEntry) -> tuple[ReleaseOrder, ...]:
    """All releases that an entry names, those from before its rollout included."""
    now = () if entry.software is None else entry.software.releases
    before = None if entry.rollout is None else entry.rollout.before
    return (*now, *(() if before is None else before.releases))
