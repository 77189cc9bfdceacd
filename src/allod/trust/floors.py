"""What must never be gone below: root, trust statements, role versions, time, epoch (docs/explanation/acceptance.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from allod.domain.ids import FleetId, parse_fleet
from allod.errors import InvalidInput
from allod.tlog.checkpoint import SignedCheckpoint
from allod.tlog.known import KnownLog, parse_known
from allod.tlog.lines import write_base64
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.floors import CountedFile, FloorsFile, PassedFile

UNLOGGED: Final = -2  #: index of what stands in no log
BEFORE: Final = -1  #: index of what stood in the log that the log succeeds
FLOORS_CAP: Final = 4 * 1024 * 1024


def channel_role(channel: str) -> str:
    """The name under which a channel stands among roles: in receipts and in repairs."""
    return f"channel:{channel}"


@dataclass(frozen=True, slots=True)
class Counted:
    """The newest entry of the authority log that counts for a role (docs/spec/log.md)."""

    index: int  #: in the log; -1: in the one that the log succeeds
    version: int
    digest: str
    by: frozenset[str] = frozenset()  #: public keys whose signatures were good


@dataclass(frozen=True, slots=True)
class Passed:
    """Entries of a role that were read and not judged, because they did not concern the reader."""

    first: int  #: index of the first of them
    under: str = ""  #: what they were judged under in vain: a digest; empty: nothing yet


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
    logs: Mapping[str, str] = field(default_factory=dict)  #: log origin -> `tlog.known.KnownLog`
    counted: Mapping[str, Counted] = field(default_factory=dict)  #: role -> entry, up to:
    counted_log: str = ""  #: a `tlog.known.KnownLog`
    channels: Mapping[str, Counted] = field(default_factory=dict)  #: channel -> newest that counts
    seen: Mapping[str, str] = field(default_factory=dict)  #: channel -> since when that is known
    passed: Mapping[str, Passed] = field(default_factory=dict)  #: role of a delegate or channel

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

    def with_log(self, known: KnownLog) -> Floors:
        """A log was verified up to here: it never forgets what it had."""
        origin = known.signed.checkpoint.origin
        return replace(self, logs={**self.logs, origin: known.encode().decode()})

    def with_counted(self, known: KnownLog, counted: Mapping[str, Counted]) -> Floors:
        """The entries of the authority log were judged up to here."""
        return replace(self, counted=dict(counted), counted_log=known.encode().decode())

    def with_channel(self, channel: str, newest: Counted | None, seen: str | None = None) -> Floors:
        """This document of a channel is the newest that counts; None: there is none."""
        channels = {name: entry for name, entry in self.channels.items() if name != channel}
        known = {name: since for name, since in self.seen.items() if name != channel}
        if newest is not None:
            channels[channel] = newest
            if seen is not None:
                known[channel] = seen
        return replace(self, channels=channels, seen=known)

    def with_passed(self, passed: Mapping[str, Passed]) -> Floors:
        """These entries of the authority log wait for being judged."""
        return replace(self, passed=dict(passed))

    def log_floor(self, origin: str) -> SignedCheckpoint | None:
        """The newest checkpoint that was verified, here or by the owner's machine.

        Raises:
            InvalidInput: what is kept is damaged.
        """
        text = self.logs.get(origin)
        return None if text is None else parse_known(text.encode()).signed

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Log origin -> size and root (base64), as a device reports them.

        Raises:
            InvalidInput: what is kept is damaged.
        """
        known = {origin: parse_known(text.encode()).signed for origin, text in self.logs.items()}
        return {origin: f"{at.size} {write_base64(at.root)}" for origin, at in known.items()}

    @property
    def notes(self) -> Mapping[str, str]:
        """Log origin -> the checkpoint with the log's own signature: its word, in its own hand.

        Raises:
            InvalidInput: what is kept is damaged.
        """
        known = {origin: parse_known(text.encode()).signed for origin, text in self.logs.items()}
        return {origin: at.own.encode().decode() for origin, at in known.items()}

    def judged_log(self, origin: str) -> KnownLog | None:
        """Up to where the entries of this log were judged; None: not at all.

        Raises:
            InvalidInput: what is kept is damaged.
        """
        known = parse_known(self.counted_log.encode()) if self.counted_log else None
        same = known is not None and known.signed.checkpoint.origin == origin
        return known if same else None

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
            counted={
                role: entry
                for role, entry in self.counted.items()
                if entry.version <= roles.get(role, entry.version)
            },
            channels={
                name: entry
                for name, entry in self.channels.items()
                if entry.version <= roles.get(channel_role(name), entry.version)
            },
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
        longer = max((self, other), key=lambda floors: floors.log_sizes)
        return replace(
            self,
            logs=longer.logs,
            counted=longer.counted,
            counted_log=longer.counted_log,
            channels=longer.channels,
            seen=longer.seen,
            passed=longer.passed,
            roles={**self.roles, **higher},
            digests={**kept, **digests},
            time=max(self.time, other.time),
            epoch=max(self.epoch, other.epoch),
        )

    @property
    def log_sizes(self) -> int:
        """Entries of all logs that were read."""
        return sum(parse_known(text.encode()).signed.size for text in self.logs.values())

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
            counted_log=floors.counted_log,
            counted=_written(floors.counted),
            channels=_written(floors.channels),
            seen=dict(floors.seen),
            passed={
                name: PassedFile(first=one.first, under=one.under)
                for name, one in floors.passed.items()
            },
        )
    )


def _written(counted: Mapping[str, Counted]) -> dict[str, CountedFile]:
    return {
        name: CountedFile(
            index=entry.index, version=entry.version, digest=entry.digest, by=sorted(entry.by)
        )
        for name, entry in counted.items()
    }


def _read(wire: Mapping[str, CountedFile]) -> dict[str, Counted]:
    return {
        name: Counted(entry.index, entry.version, entry.digest, frozenset(entry.by))
        for name, entry in wire.items()
    }


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
        counted_log=wire.counted_log,
        counted=_read(wire.counted),
        channels=_read(wire.channels),
        seen=wire.seen,
        passed={name: Passed(one.first, one.under) for name, one in wire.passed.items()},
    )
