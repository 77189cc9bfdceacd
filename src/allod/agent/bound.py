"""Who owns the device: the record that stands when binding is done, and what follows from it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from allod import durable
from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import DeviceId, FleetId, GroupName, parse_device, parse_fleet, parse_group
from allod.errors import AllodError, Untrusted
from allod.trust.anchor import Anchor
from allod.wire.trust import Location

if TYPE_CHECKING:
    from allod.agent.state_dir import StateDir

_FILE: Final = "bound"


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding that stands."""

    fleet: FleetId
    name: str  #: the fleet's, to show
    device: DeviceId
    epoch: int
    invite: str
    groups: tuple[GroupName, ...]  #: of the invite
    anchor: Anchor
    locations: tuple[Location, ...]  #: of the invite
    at: str
    accepted_groups: tuple[GroupName, ...] | None = None  #: of the owner's document of this device
    anchors: tuple[Location, ...] = ()  #: of the newest trust statement
    further: tuple[Location, ...] = ()  #: of fleet.json
    handed_in: bool = False  #: the server, or a stick's outbox, has the binding record

    @property
    def places(self) -> tuple[Location, ...]:
        """Where the fleet may be reached: its anchors first, then what else the owner named."""
        first = self.anchors or self.locations
        return (*first, *self.further, *self.locations)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The durable form; it may only grow, and unknown fields are left alone."""

    fleet: str
    name: str
    device: str
    epoch: int
    invite: str
    groups: list[str]
    root: str
    trust: str | None
    locations: list[Location]
    at: str
    accepted_groups: list[str] | None = None
    anchors: list[Location] = []
    further: list[Location] = []
    handed_in: bool = False


def load_bound(state: StateDir) -> Bound | None:
    """The binding that stands, or None: the device belongs to nobody yet.

    Raises:
        Untrusted: `binding-damaged`; what runs goes on, and nothing changes.
    """
    try:
        content = TwinFile(state.binding, _FILE).load()
        return None if content is None else _bound(msgspec.json.decode(content.data, type=_Stored))
    except (Damaged, msgspec.DecodeError, AllodError, ValueError) as error:
        raise Untrusted(
            "binding-damaged",
            f"cannot read whom the device belongs to: both copies in {state.binding} are damaged; "
            "'allod-agent unbind' and a new binding mend it",
        ) from error


def save_bound(state: StateDir, bound: Bound) -> None:
    """Make `bound` stand; durable when it returns."""
    stored = _Stored(
        fleet=bound.fleet,
        name=bound.name,
        device=bound.device,
        epoch=bound.epoch,
        invite=bound.invite,
        groups=list(bound.groups),
        root=base64.b64encode(bound.anchor.root).decode(),
        trust=None if bound.anchor.trust is None else base64.b64encode(bound.anchor.trust).decode(),
        locations=list(bound.locations),
        at=bound.at,
        accepted_groups=None if bound.accepted_groups is None else list(bound.accepted_groups),
        anchors=list(bound.anchors),
        further=list(bound.further),
        handed_in=bound.handed_in,
    )
    data = msgspec.json.encode(stored, order="sorted")
    twin = TwinFile(state.binding, _FILE)
    try:
        known = twin.load()
    except Damaged:
        known = None
    if known is None or known.data != data:
        twin.save(data)


def clear_bound(state: StateDir) -> None:
    """The device belongs to nobody any more."""
    TwinFile(state.binding, _FILE).remove()


def tell_supervisor(state: StateDir, bound: Bound | None) -> None:
    """Leave the supervisor, which reads plain JSON only, where to ask for news (`agent/poll`)."""
    said: dict[str, Any] = {"locations": []}
    if bound is not None:
        from allod.agent.transport import merged

        said = {
            "fleet": bound.fleet,
            "locations": [{"url": u, "pins": p} for u, p in merged(bound.places).items()],
        }
    data = json.dumps(said, sort_keys=True).encode()
    file = state.agent / "poll"
    if not file.exists() or file.read_bytes() != data:
        durable.write_atomic(file, data)


def with_owner_word(
    bound: Bound,
    *,
    groups: tuple[GroupName, ...] | None,
    anchors: tuple[Location, ...],
    further: tuple[Location, ...],
) -> Bound:
    """The binding, with what the owner's newest documents say of groups and locations."""
    return replace(bound, accepted_groups=groups, anchors=anchors, further=further)


def _bound(stored: _Stored) -> Bound:
    fleet = parse_fleet(stored.fleet)
    root = base64.b64decode(stored.root)
    trust = None if stored.trust is None else base64.b64decode(stored.trust)
    return Bound(
        fleet=fleet,
        name=stored.name,
        device=parse_device(stored.device),
        epoch=stored.epoch,
        invite=stored.invite,
        groups=_groups(stored.groups),
        anchor=Anchor(fleet, root, trust),
        locations=tuple(stored.locations),
        at=stored.at,
        accepted_groups=None if stored.accepted_groups is None else _groups(stored.accepted_groups),
        anchors=tuple(stored.anchors),
        further=tuple(stored.further),
        handed_in=stored.handed_in,
    )


def _groups(names: list[str]) -> tuple[GroupName, ...]:
    return tuple(parse_group(name) for name in names)
