"""What the server needs of the world, by role, and the rows of its projection.

Every port may be called from several threads at once. When a call that writes returns, what it
wrote is durable, unless its docstring says otherwise; when it raises, it may or may not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from allod.domain.ids import DeviceId, Digest, FleetId
from allod.server.events import (
    AlarmRaised,
    ChannelTaken,
    DeviceDocumented,
    Event,
    FleetRead,
    ProposalKept,
    Published,
    Reported,
    TokenIssued,
)


class Clock(Protocol):
    """The time of the machine."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def seconds(self) -> float:
        """The same, as seconds since 1970."""
        ...


class BlobStore(Protocol):
    """Content-addressed bytes of one fleet: releases and configuration documents.

    A blob is there whole, under the digest of its bytes, or not at all.
    """

    def size(self, digest: Digest) -> int | None:
        """Bytes of the blob; None if it is not there."""
        ...

    def read(
        self, digest: Digest, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes from `offset` on, in pieces of at most 256 KiB.

        Raises:
            InvalidInput: `not-found`.
        """
        ...

    def put(self, digest: Digest, pieces: Iterable[bytes]) -> int:
        """Store a blob, verified while it streams, and return its size. Idempotent.

        Raises:
            InvalidInput: `digest-mismatch`; nothing is stored.
        """
        ...

    def remove(self, digest: Digest) -> None:
        """Remove a blob; one that is not there is fine."""
        ...

    def digests(self) -> Iterator[Digest]:
        """All blobs, in no order."""
        ...

    def begin(self) -> str:
        """Begin an upload in pieces and return its id (32 hex digits). Not durable."""
        ...

    def received(self, upload: str) -> int:
        """How many bytes of the upload are there. Raises InvalidInput `not-found`."""
        ...

    def append(self, upload: str, piece: bytes, *, offset: int) -> int:
        """Add a piece at `offset`, which must be what was received; not durable before `finish`.

        Returns:
            The bytes received now.

        Raises:
            InvalidInput: `not-found`.
            Conflict: `wrong-offset`.
        """
        ...

    def finish(self, upload: str, digest: Digest) -> int:
        """Verify the upload, make it a blob and return its size.

        Raises:
            InvalidInput: `not-found`, or `digest-mismatch`; the upload is gone then.
        """
        ...

    def abort(self, upload: str) -> None:
        """Forget an upload; one that is not there is fine."""
        ...


class Files(Protocol):
    """Small files, whole or not at all."""

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file; missing directories are made."""
        ...

    def write_new(self, path: Path, data: bytes) -> None:
        """Write a file that never changes; the same bytes again are fine.

        Raises:
            Conflict: `published-already`: it is there with other bytes.
        """
        ...

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is fine."""
        ...


class News(Protocol):
    """The counter of publications of every fleet, and who waits for it. Not durable."""

    def current(self, fleet: str) -> int | None:
        """The counter; None for a fleet that this server does not have."""
        ...

    def announce(self, fleet: str, news: int) -> None:
        """Set the counter and wake who waits. May be called from any thread."""
        ...

    async def wait(self, fleet: str, after: int, seconds: float) -> int | None:
        """The counter once it differs from `after`, or None after `seconds` or when it closes."""
        ...

    def close(self) -> None:
        """Wake who waits; from now on nobody waits. May be called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device as the projection has it."""

    device: DeviceId
    epoch: int
    invite: str
    key: str
    groups: tuple[str, ...]
    surplus: bool
    facts: Mapping[str, str]
    agent: str
    label: str = ""
    status: str = "active"
    documented_epoch: int = 0
    quarantined: bool = False
    sequence: int = 0
    reported: datetime | None = None
    bound: datetime | None = None


class Database(Protocol):
    """The projection: written by events alone, read by name.

    Applying an event twice changes nothing. Times keep whole microseconds.
    """

    def apply(self, *events: Event) -> None:
        """Apply all events in one transaction, or none."""
        ...

    def forget(self, fleet: FleetId) -> None:
        """Remove everything about a fleet."""
        ...

    def fleets(self) -> tuple[FleetRead, ...]:
        """All fleets by id."""
        ...

    def fleet(self, fleet: FleetId) -> FleetRead | None:
        """One fleet."""
        ...

    def publications(self, fleet: FleetId, *, after: int, limit: int) -> tuple[Published, ...]:
        """Publications with a higher counter than `after`, oldest first."""
        ...

    def devices(self, fleet: FleetId, *, after: str, limit: int) -> tuple[DeviceRow, ...]:
        """Devices whose id is greater than `after`, by id."""
        ...

    def device(self, fleet: FleetId, device: DeviceId) -> DeviceRow | None:
        """One device, with its newest binding."""
        ...

    def retired(self, fleet: FleetId) -> frozenset[DeviceId]:
        """The devices that the owner retired."""
        ...

    def recorded(self, fleet: FleetId, *, after: str, limit: int) -> tuple[DeviceDocumented, ...]:
        """The devices that are only on record whose id is greater than `after`, by id."""
        ...

    def device_count(self, fleet: FleetId) -> int:
        """How many devices are bound."""
        ...

    def uses(self, fleet: FleetId, invite: str) -> frozenset[DeviceId]:
        """The devices admitted with an invite, surplus ones left out."""
        ...

    def surplus(self, fleet: FleetId, invite: str) -> int:
        """How many devices came with an invite beyond its uses."""
        ...

    def reports(
        self, fleet: FleetId, device: DeviceId, *, after: int, limit: int, epoch: int | None = None
    ) -> tuple[Reported, ...]:
        """Reports with a higher sequence than `after`, by epoch and sequence; perhaps of one epoch."""
        ...

    def report(
        self, fleet: FleetId, device: DeviceId, epoch: int, sequence: int
    ) -> tuple[Reported, ...]:
        """The reports that carry this epoch and sequence: none, one, or more if they fork."""
        ...

    def newest_report(self, fleet: FleetId, device: DeviceId, epoch: int) -> Reported | None:
        """The report with the highest sequence of an epoch."""
        ...

    def has_report(self, fleet: FleetId, device: DeviceId, epoch: int, digest: str) -> bool:
        """Whether a report with this digest was received."""
        ...

    def old_heartbeats(
        self, fleet: FleetId, device: DeviceId, *, keep: int
    ) -> tuple[Reported, ...]:
        """The heartbeats beyond the newest `keep`."""
        ...

    def alarms(self, fleet: FleetId) -> tuple[AlarmRaised, ...]:
        """Alarms, oldest first; one code and subject stands once."""
        ...

    def proposals(
        self, fleet: FleetId, *, state: str | None = None, after: str = "", limit: int
    ) -> tuple[ProposalKept, ...]:
        """Proposals whose id is greater than `after`, by id; perhaps of one state."""
        ...

    def channels(self, fleet: FleetId) -> tuple[ChannelTaken, ...]:
        """The newest document of every channel, by provider and channel."""
        ...

    def tokens(self, fleet: FleetId) -> tuple[TokenIssued, ...]:
        """Tokens by name."""
        ...

    def token(self, hash_: str) -> TokenIssued | None:
        """The token with this hash."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...
