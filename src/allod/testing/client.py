"""Whoever asks a simulated fleet: floors and a cache in memory, and the real rules of `trust`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from allod.domain.ids import DeviceId, GroupName
from allod.testing.owner import key_from
from allod.testing.repository import BUILD_TIME, RepositorySimulator
from allod.trust import effects
from allod.trust.anchor import Anchor, first_floors
from allod.trust.device_view import DeviceBinding, DeviceView, accept_for_device
from allod.trust.floors import Floors
from allod.trust.keys import device_id, from_key
from allod.trust.repository import Repository, descend

_T = TypeVar("_T")


@dataclass(slots=True)
class SimulatedClient:
    """Somebody with floors and a cache in memory, who asks the simulator (or what replaces it)."""

    source: RepositorySimulator
    device: DeviceId | None = None
    groups: tuple[str, ...] = ("kitchen",)
    epoch: int = 1
    accepted_groups: tuple[GroupName, ...] | None = None
    anchor: Anchor = field(init=False)
    floors: Floors = field(init=False)
    cached: dict[str, bytes] = field(default_factory=dict)
    kept: list[Floors] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start from the fleet's first root."""
        self.anchor = self.source.anchor
        self.floors = first_floors(self.anchor, BUILD_TIME)

    def keep(self, keep: effects.Keep) -> None:
        """Store floors, then files."""
        self.floors = keep.floors
        self.kept.append(keep.floors)
        for name in keep.forget:
            self.cached.pop(name, None)
        self.cached.update(keep.files)

    def drive(self, steps: effects.Steps[_T]) -> _T:
        """Answer every effect from the source and this client's memory."""
        return effects.drive(steps, self.source.get, self.keep)

    def descend(self, now: datetime | None = None) -> Repository:
        """Walk to the newest proved state."""
        return self.drive(
            descend(
                self.anchor, self.floors, self.cached, now or self.source.now, device=self.device
            )
        )

    def accept(self, now: datetime | None = None) -> DeviceView:
        """Take over what the owner says to this device."""
        binding = DeviceBinding(
            self.device or device_id(from_key(key_from("device").public_key)),
            self.epoch,
            tuple(GroupName(group) for group in self.groups),
            self.accepted_groups,
        )
        view = self.drive(
            accept_for_device(
                self.anchor, self.floors, self.cached, binding, now or self.source.now
            )
        )
        self.accepted_groups = view.own_groups
        return view


def drive(steps: effects.Steps[_T], source: RepositorySimulator) -> _T:
    """Answer every effect from a simulator; what is to be kept is forgotten."""
    return effects.drive(steps, source.get, lambda _keep: None)
