"""Reading a part of a log: hashes, tiles, entries, signatures. Parts are independent of each other.

Nothing here depends on the order of the log, so parts can be read side by side; who held which
role at which place is judged afterwards, in order (`allod.audit.authority`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from securesystemslib.signer import Key

from allod.domain.ids import FleetId
from allod.errors import AllodError, InvalidInput
from allod.tlog.merkle import HASH_SIZE, CompactRange, leaf_hash
from allod.tlog.tiles import WIDTH, Tile, split_bundle
from allod.trust.channels import read_channel
from allod.trust.dsse import good_signatures
from allod.trust.floors import channel_role
from allod.trust.holding import Holders, delegator_of
from allod.trust.metadata import ROOT
from allod.wire.envelope import Envelope
from allod.wire.log import (
    ActivityEntry,
    decode_activity,
    decode_authority,
)


class Bundle(NamedTuple):
    """An entry bundle as it was served, and the tile of hashes above it."""

    at: int  #: which bundle
    width: int
    data: bytes
    hashes: bytes | None  #: None: the tile is not served


class RoleEntry(NamedTuple):
    """An entry about a role of this fleet, and whose signatures of it are good."""

    at: int  #: index in the log
    role: str
    version: int
    digest: str
    good: frozenset[tuple[str, str]]  #: key id and public key
    raw: bytes | None  #: the entry, if keys signed it that the reader did not know

    def signed(self, holders: Holders) -> frozenset[str]:
        """See `allod.trust.holding.SignedBy`."""
        if self.raw is not None:
            entry = decode_authority(self.raw)
            return holders.enough(
                frozenset(good_signatures(entry.envelope, entry.payload, holders.keys))
            )
        public = (
            key.keyval["public"]
            for key in holders.keys
            if (key.keyid, key.keyval["public"]) in self.good
        )
        return holders.enough(frozenset(public))


class ChannelEntry(NamedTuple):
    """An entry that holds a channel's document; who signed it is judged in order."""

    at: int  #: index in the log
    role: str  #: `channel:<provider>/<channel>`
    version: int  #: its sequence
    digest: str
    raw: bytes

    def signed(self, holders: Holders) -> frozenset[str]:
        """See `allod.trust.holding.SignedBy`."""
        entry = decode_authority(self.raw)
        good = good_signatures(entry.envelope, entry.payload, holders.keys)
        return holders.enough(frozenset(good))


class Ignored(NamedTuple):
    """An entry that does not count, whoever holds which role."""

    at: int  #: index in the log
    says: str


class ActivityRead(NamedTuple):
    """An entry of the activity log."""

    at: int  #: index in the log
    entry: ActivityEntry


Entry = RoleEntry | ChannelEntry | ActivityRead | Ignored


@dataclass(slots=True)
class Part:
    """What was read of a part of a log.

    Attributes:
        range: of its new entries.
        entries: in order.
        channels: how many of them hold a channel's document.
        nodes: index in level 8 and hash of each bundle that is full.
        wrong: indices of hash tiles of the lowest level that are not what the entries make.
        missing: indices of those that are not served.
    """

    range: CompactRange
    entries: list[Entry] = field(default_factory=list)
    channels: int = 0
    nodes: list[tuple[int, bytes]] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


class KeyRing:
    """Keys that may have signed; a key id may stand for several in a hostile file."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._layers: list[dict[str, Key]] = []
        for key in keys:
            self._add(key)

    def _add(self, key: Key) -> None:
        for layer in self._layers:
            known = layer.setdefault(key.keyid, key)
            if known.keyval == key.keyval:
                return
        self._layers.append({key.keyid: key})

    @property
    def keys(self) -> tuple[Key, ...]:
        """All of them."""
        return tuple(key for layer in self._layers for key in layer.values())

    def read(self, index: int, data: bytes, fleet: FleetId) -> RoleEntry | ChannelEntry | Ignored:
        """Read an entry of the authority log."""
        try:
            entry = decode_authority(data)
        except InvalidInput as error:
            return Ignored(index, error.message)
        statement = entry.role
        if statement is None:
            return _channel(index, entry.envelope, data)
        if statement.fleet != fleet:
            return Ignored(index, "it is of another fleet")
        if statement.role != ROOT and delegator_of(statement.role) is None:
            return Ignored(index, f"there is no role {statement.role[:80]!r}")
        good: set[tuple[str, str]] = set()
        for layer in self._layers:
            found = good_signatures(entry.envelope, entry.payload, layer.values())
            good.update((keyid, public) for public, keyid in found.items())
        known = all(
            any(signature.keyid in layer for layer in self._layers)
            for signature in entry.envelope.signatures
        )
        return RoleEntry(
            index,
            statement.role,
            statement.version,
            statement.digest,
            frozenset(good),
            None if known else data,
        )


def _channel(index: int, envelope: Envelope, data: bytes) -> ChannelEntry | Ignored:
    try:
        signed = read_channel(envelope)
    except AllodError as error:
        return Ignored(index, error.message)
    channel = signed.channel
    role = channel_role(f"{channel.provider}/{channel.channel}")
    return ChannelEntry(index, role, channel.sequence, signed.digest, data)


def read_authority(bundles: Sequence[Bundle], begin: int, ring: KeyRing, fleet: FleetId) -> Part:
    """Read neighbouring bundles of the authority log, from entry `begin` on.

    Raises:
        InvalidInput: `bad-tile`: a bundle is not one.
    """

    def read(index: int, data: bytes) -> Entry:
        return ring.read(index, data, fleet)

    return _read(bundles, begin, read)


def read_activity(bundles: Sequence[Bundle], begin: int, fleet: FleetId) -> Part:
    """Read neighbouring bundles of the activity log, from entry `begin` on.

    Raises:
        InvalidInput: `bad-tile`: a bundle is not one.
    """

    def read(index: int, data: bytes) -> Entry:
        try:
            entry = decode_activity(data)
        except InvalidInput as error:
            return Ignored(index, error.message)
        if entry.fleet != fleet:
            return Ignored(index, "it is of another fleet")
        return ActivityRead(index, entry)

    return _read(bundles, begin, read)


def _read(bundles: Sequence[Bundle], begin: int, read: Callable[[int, bytes], Entry]) -> Part:
    part = Part(CompactRange(begin, begin))
    for bundle in bundles:
        first = bundle.at * WIDTH
        entries = split_bundle(bundle.data, bundle.width)
        leaves = [leaf_hash(entry) for entry in entries]
        if bundle.hashes is None:
            part.missing.append(bundle.at)
        elif bundle.hashes != b"".join(leaves):
            part.wrong.append(bundle.at)
        if bundle.width == WIDTH:
            part.nodes.append((bundle.at, CompactRange().extended(leaves).root()))
        fresh = part.range.end - first
        part.range = part.range.extended(leaves[fresh:])
        for index, data in enumerate(entries[fresh:], first + fresh):
            found = read(index, data)
            part.channels += isinstance(found, ChannelEntry)
            part.entries.append(found)
    return part


class Expected(NamedTuple):
    """What a tile above the lowest level has to hold, as far as it is new."""

    tile: Tile
    hashes: dict[int, bytes]  #: place in the tile -> hash

    def agrees(self, data: bytes) -> bool:
        """Whether this is the tile."""
        return len(data) == self.tile.width * HASH_SIZE and all(
            data[at * HASH_SIZE : (at + 1) * HASH_SIZE] == node for at, node in self.hashes.items()
        )


class TileCheck:
    """Says what the tiles above the lowest level have to hold, as far as they are new.

    It keeps what belongs to one tile of each level, whatever the size of the log.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[int, dict[int, bytes]]] = []

    def take(self, nodes: Iterable[tuple[int, bytes]], level: int = 1) -> list[Expected]:
        """Take hashes of a level, in order; returns the tiles that they complete."""
        complete: list[Expected] = []
        while len(self._levels) < level:
            self._levels.append((-1, {}))
        for index, node in nodes:
            tile, place = divmod(index, WIDTH)
            last, known = self._levels[level - 1]
            if tile != last:
                known = {}
                self._levels[level - 1] = (tile, known)
            known[place] = node
            if place == WIDTH - 1:
                complete.append(Expected(Tile(level, tile), known))
                if len(known) == WIDTH:
                    above = CompactRange().extended(known.values()).root()
                    complete += self.take([(tile, above)], level + 1)
        return complete

    def edge(self) -> list[Expected]:
        """The tiles at the right edge, as far as it is new."""
        return [
            Expected(Tile(level, tile, max(known) + 1), known)
            for level, (tile, known) in enumerate(self._levels, start=1)
            if known and max(known) < WIDTH - 1
        ]
