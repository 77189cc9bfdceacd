"""Evidence of a fork, made by a reader who was shown a log that does not go on from the one before.

Both checkpoints are signed, so they are kept whatever else can be had (attack 36, 52). The proof
that they contradict is made of what is served; it is verified, so it can accuse nobody falsely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from allod.errors import AllodError, InvalidInput
from allod.tlog.checkpoint import SignedCheckpoint
from allod.tlog.fork import Fork, fork_between, parse_fork, unproven
from allod.tlog.merkle import HASH_SIZE, leaf_hash
from allod.tlog.tiles import ENTRIES, Tile, TileReader, split_bundle
from allod.trust.effects import Need, Steps
from allod.wire.report import Alarm

EVIDENCE: Final = "fork-authority.evidence"  #: in the cache: a `tlog.fork.Fork`


@dataclass
class _LacksError(Exception):
    tile: Tile


def contradiction(
    prefix: str, one: SignedCheckpoint, other: SignedCheckpoint
) -> Steps[Fork | None]:
    """What two checkpoints of one log show against it; None: the one goes on from the other.

    Args:
        prefix: of the log, relative to /f/<fleet>/.
        one: a checkpoint that the log's key signed.
        other: another one of the same log.
    """
    tiles: dict[Tile, bytes] = {}

    def read(tile: Tile) -> bytes:
        if tile not in tiles:
            raise _LacksError(tile)
        return tiles[tile]

    size = max(one.size, other.size)
    while True:
        try:
            return fork_between(one, other, TileReader(size, read))
        except _LacksError as lacks:
            tile = lacks.tile
        except AllodError:
            return unproven(one, other)  # what is served is of a third log, or of none
        try:
            data = yield from tile_hashes(prefix, tile)
        except AllodError:
            data = None
        if data is None:
            return unproven(one, other)
        tiles[tile] = data


def tile_hashes(prefix: str, tile: Tile) -> Steps[bytes | None]:
    """A tile of hashes; at the lowest level, where it is not served, from the entries themselves."""
    for at in dict.fromkeys((tile, tile.full)):
        data = yield Need(f"{prefix}/{at.path}", at.cap)
        if data is not None:
            return data[: tile.width * HASH_SIZE]
    if tile.level != 0:
        return None
    for at in dict.fromkeys((tile, tile.full)):
        bundle = Tile(ENTRIES, at.index, at.width)
        data = yield Need(f"{prefix}/{bundle.path}", bundle.cap)
        if data is not None:
            entries = split_bundle(data, bundle.width)[: tile.width]
            return b"".join(map(leaf_hash, entries))
    return None


def worth_keeping(fork: Fork, cached: Mapping[str, bytes], origin: str) -> bool:
    """Whether it says more than what is kept: a proof stays, and else the first of its log."""
    known = read_evidence(cached.get(EVIDENCE), origin)
    return known is None or (fork.proven and not known.proven)


def read_evidence(raw: bytes | None, origin: str | None = None) -> Fork | None:
    """What was kept, if it can be read and is about the log that is meant."""
    if raw is None:
        return None
    try:
        fork = parse_fork(raw)
    except InvalidInput:
        return None
    return fork if origin in {None, fork.origin} else None


def alarm_of(raw: bytes | None) -> tuple[Alarm, ...]:
    """The alarm that carries the evidence to the owner, whoever brings the report; or none."""
    fork = read_evidence(raw)
    if fork is None or raw is None:
        return ()
    says, evidence = f"the log {fork.origin} showed this device two histories", raw.decode()
    if fork.proven:
        return (Alarm(code="log-fork", says=says, evidence=evidence),)
    says += "; what would prove it was not served"
    return (Alarm(code="log-fork-unproven", says=says, evidence=evidence),)
