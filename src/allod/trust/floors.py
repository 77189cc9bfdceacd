"""What must never be gone below: root, trust statements, role versions, time, epoch (docs/explanation/acceptance.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from allod.domain.ids import FleetId, parse_fleet
from allod.errors import InvalidInput
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.floors import FloorsFile

FLOORS_CAP: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Floors:
    """Floors only rise, by what was verified; a trust statement alone lowers what it names.

    Digests are of canonical `signed` parts (roles, root) and of payloads (trust).
    """

    fleet: FleetId
    root_version: int
    root_digest: str
    time: datetime  #: build time, or the latest time that the owner signed
    trust_number: int = 0
    trust_digest: str | None = None
    roles: Mapping[str, int] = field(default_factory=dict)  #: role -> version that was verified
    digests: Mapping[str, str] = field(default_factory=dict)  #: role -> digest at that version
    epoch: int = 0
    logs: Mapping[str, str] = field(default_factory=dict)  #: log origin -> checkpoint

    def with_root(self, version: int, digest: str) -> Floors:
        """The root chain reached this version."""
        if version < self.root_version:
            raise RuntimeError("a root floor never falls")
        return replace(self, root_version=version, root_digest=digest)

    def with_trust(self, number: int, digest: str) -> Floors:
        """The chain of trust statements reached this number."""
        if number < self.trust_number:
            raise RuntimeError("a trust floor never falls")
        return replace(self, trust_number=number, trust_digest=digest)

    def raised(self, role: str, version: int, digest: str) -> Floors:
        """`role` was verified at `version`."""
        if version < self.roles.get(role, 0):
            raise RuntimeError(f"the floor of {role} never falls")
        return replace(
            self,
            roles={**self.roles, role: version},
            digests={**self.digests, role: digest},
        )

    def raised_time(self, moment: datetime) -> Floors:
        """The owner signed this time, so it has been reached."""
        return replace(self, time=max(self.time, moment))

    def raised_epoch(self, epoch: int) -> Floors:
        """The device was bound for the `epoch`-th time."""
        return replace(self, epoch=max(self.epoch, epoch))

    def repaired(self, roles: Mapping[str, int], time: datetime | None) -> Floors:
        """Take the named floors down; those that are lower already stay."""
        lowered = {
            role: min(version, roles.get(role, version)) for role, version in self.roles.items()
        }
        digests = {
            role: digest
            for role, digest in self.digests.items()
            if lowered.get(role) == self.roles.get(role)
        }
        return replace(
            self,
            roles={role: version for role, version in lowered.items() if version > 0},
            digests=digests,
            time=self.time if time is None else min(self.time, time),
        )

    def joined(self, other: Floors) -> Floors:
        """What two walks side by side have verified together.

        A walk that came to a newer root or trust statement speaks alone: those may have taken
        floors down. Walks of equal footing each raise what the other has.
        """
        if self.fleet != other.fleet:
            raise RuntimeError("floors of two fleets have nothing in common")
        mine = (self.root_version, self.trust_number)
        theirs = (other.root_version, other.trust_number)
        if mine != theirs:
            ahead, behind = (self, other) if mine > theirs else (other, self)
            return replace(ahead, epoch=max(ahead.epoch, behind.epoch))
        higher = {
            role: version
            for role, version in other.roles.items()
            if version > self.roles.get(role, 0)
        }
        digests = {role: other.digests[role] for role in higher if role in other.digests}
        kept = {role: digest for role, digest in self.digests.items() if role not in higher}
        return replace(
            self,
            roles={**self.roles, **higher},
            digests={**kept, **digests},
            time=max(self.time, other.time),
            epoch=max(self.epoch, other.epoch),
        )

    def without_roles(self) -> Floors:
        """Forget all role versions (plain TUF after a rotation of online keys, 5.3.11)."""
        return replace(self, roles={}, digests={})


def encode_floors(floors: Floors) -> bytes:
    """Write the floors."""
    return encode(
        FloorsFile(
            fleet=floors.fleet,
            root_version=floors.root_version,
            root_digest=floors.root_digest,
            trust_number=floors.trust_number,
            trust_digest=floors.trust_digest,
            roles=dict(floors.roles),
            digests=dict(floors.digests),
            time=instant(floors.time),
            epoch=floors.epoch,
            logs=dict(floors.logs),
        )
    )


def decode_floors(data: bytes) -> Floors:
    """Read floors. Raises InvalidInput; damaged floors are an alarm and never a first run."""
    wire = decode(data, FloorsFile, cap=FLOORS_CAP, what="the floors")
    numbers = [wire.root_version - 1, wire.trust_number, wire.epoch, *wire.roles.values()]
    if any(number < 0 for number in numbers):
        raise InvalidInput("bad-document", "cannot read the floors: a number is negative")
    return Floors(
        fleet=parse_fleet(wire.fleet),
        root_version=wire.root_version,
        root_digest=wire.root_digest,
        trust_number=wire.trust_number,
        trust_digest=wire.trust_digest,
        roles=wire.roles,
        digests=wire.digests,
        time=parse_instant(wire.time, what="the time floor"),
        epoch=wire.epoch,
        logs=wire.logs,
    )
