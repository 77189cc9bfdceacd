"""Gives entries their places in a log; the order of its writes is the design.

1. *stage* all files of the batch, in one piece;
2. *commit* to the text of the new checkpoint, if the old one still stands: from here on the batch
   is in the log, whatever happens;
3. *write* the tiles and bundles of the stage;
4. *sign* the checkpoint, so that no signature ever exists for what was not committed, and
   *publish* it;
5. acknowledge.

After a failure anywhere, nothing that is in memory is believed: the next append begins as a start
does, with what is stored. A head that is not published yet is finished by steps 3 and 4 from its
stage, the way that every batch takes. What a batch leaves to tidy up is tidied before the next.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from allod.errors import AllodError, Conflict, InvalidInput, Unavailable
from allod.server.log.ports import LogStorage
from allod.server.log.staging import Stage, pack, stage_name, unpack
from allod.tlog.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from allod.tlog.growth import Edge, read_edge
from allod.tlog.merkle import EMPTY_ROOT, MAX_SIZE, leaf_hash
from allod.tlog.note import NoteSigner
from allod.tlog.tiles import MAX_ENTRY, WIDTH, Tile, split_hashes, superseded, tile_at

MAX_BATCH: Final = 4096  #: entries
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
WINDOW: Final = 2 * MAX_BATCH  #: of the newest entries, at least, none is taken a second time


@dataclass(frozen=True, slots=True)
class Appended:
    """Entries are in the log: their indices, and a served checkpoint that holds them."""

    indices: tuple[int, ...]
    checkpoint: SignedCheckpoint


@dataclass(slots=True)
class _State:
    """What is stored, as far as it is needed to go on."""

    checkpoint: SignedCheckpoint
    edge: Edge
    recent: dict[bytes, int]  #: leaf hash -> index, oldest first
    stage: Stage | None  #: the one that led here, until it is tidied up after


class Sequencer:
    """The one writer of a log. Its methods may be called from several threads.

    Args:
        storage: where the log lies.
        origin: of the log.
        signer: of its checkpoints.
    """

    def __init__(self, storage: LogStorage, origin: str, signer: NoteSigner) -> None:
        self._storage = storage
        self._origin = origin
        self._signer = signer
        self._turn = threading.Lock()
        self._state: _State | None = None

    def create(self) -> SignedCheckpoint:
        """Begin the log, empty. Never done in passing: a log that is lost is not begun again.

        Raises:
            Conflict: `log-exists`, `log-in-use`.
        """
        with self._turn:
            self._storage.hold()
            if self._storage.head() is not None:
                raise Conflict("log-exists", f"cannot begin the log {self._origin}: it is there")
            text = Checkpoint(self._origin, 0, EMPTY_ROOT).text
            self._commit(Stage(None, text, 0, {}))
            return self._recovered().checkpoint

    def checkpoint(self) -> SignedCheckpoint:
        """The newest checkpoint that is served, after finishing what a crash left.

        Raises:
            Conflict: `log-in-use`.
            Unavailable: `log-missing`, `log-damaged`.
        """
        with self._turn:
            return self._current().checkpoint

    def append(self, entries: Sequence[bytes]) -> Appended:
        """Append entries, all or none; returns once they are in a checkpoint that is served.

        An entry that is among the newest `WINDOW` ones keeps its place, so that a batch can be
        repeated when its acknowledgement was lost.

        Raises:
            InvalidInput: `too-large`.
            Conflict: `log-in-use`; nothing was appended.
            Unavailable: `log-missing`, `log-damaged`; nothing was appended.
            Exception: of the storage; the batch may be in the log or not, repeat it.
        """
        check_batch(entries)
        with self._turn:
            state = self._current()
            leaves = [leaf_hash(entry) for entry in entries]
            indices = {leaf: state.recent[leaf] for leaf in leaves if leaf in state.recent}
            fresh = {
                leaf: entry
                for leaf, entry in zip(leaves, entries, strict=True)
                if leaf not in indices
            }
            if fresh:
                self._state = None
                indices.update(zip(fresh, range(state.edge.size, MAX_SIZE), strict=False))
                state = self._state = self._extended(state, fresh)
            return Appended(tuple(indices[leaf] for leaf in leaves), state.checkpoint)

    def publish(self, cosigned: SignedCheckpoint) -> None:
        """Serve the newest checkpoint with further signatures, which were verified.

        Raises:
            Conflict: `log-grew`: it is not the newest one any more; `log-in-use`.
        """
        with self._turn:
            state = self._current()
            if cosigned.note.text != state.checkpoint.note.text:
                raise Conflict("log-grew", "cannot serve a checkpoint: it is not the newest one")
            merged = SignedCheckpoint(
                state.checkpoint.checkpoint,
                state.checkpoint.note.with_signatures(cosigned.note.signatures),
            )
            self._state = None
            self._storage.publish(merged.encode())
            state.checkpoint = merged
            self._state = state

    def close(self) -> None:
        """Let go of the log."""
        with self._turn:
            self._state = None
            self._storage.release()

    def _current(self) -> _State:
        if self._state is None:
            self._storage.hold()
            self._state = self._recovered()
        return self._state

    def _extended(self, state: _State, fresh: dict[bytes, bytes]) -> _State:
        self._tidy(state)
        edge, files = state.edge.grown(tuple(fresh.values()))
        text = Checkpoint(self._origin, edge.size, edge.range.root()).text
        before = state.checkpoint.note.text
        stage = Stage(
            before, text, state.edge.size, {tile.path: data for tile, data in files.items()}
        )
        self._commit(stage)
        self._storage.write(stage.files)
        signed = self._sign_and_publish(text)
        recent = {
            **state.recent,
            **dict(zip(fresh, range(state.edge.size, edge.size), strict=True)),
        }
        for leaf in list(recent)[: max(0, len(recent) - WINDOW)]:
            del recent[leaf]
        return _State(signed, edge, recent, stage)

    def _tidy(self, state: _State) -> None:
        """Remove the partial tiles that the last batch made full."""
        if state.stage is not None:
            grown = superseded(state.stage.size_before, state.edge.size)
            if grown:
                self._storage.remove_under([tile.partials for tile in grown])
            state.stage = None

    def _commit(self, stage: Stage) -> None:
        self._storage.stage(stage_name(stage.after), pack(stage))
        self._storage.commit(stage.before, stage.after)

    def _sign_and_publish(self, text: str) -> SignedCheckpoint:
        signed = sign_checkpoint(parse_checkpoint(text), self._signer)
        self._storage.publish(signed.encode())
        return signed

    def _recovered(self) -> _State:
        text = self._storage.head()
        if text is None:
            raise Unavailable(
                "log-missing",
                f"cannot find the log {self._origin}: restore it from a backup, or let a "
                "successor log follow it",
            )
        head = parse_checkpoint(text)
        data = self._storage.staged(stage_name(text))
        stage = None if data is None else unpack(data, text)
        served = self._served(head)
        if served is None and stage is not None:
            self._storage.write(stage.files)
        edge = self._edge(head)
        if served is None:
            served = self._sign_and_publish(text)
        return _State(served, edge, self._newest(head.size), stage)

    def _served(self, head: Checkpoint) -> SignedCheckpoint | None:
        """The checkpoint that is served, if it is that of the head."""
        raw = self._storage.published()
        if raw is None:
            return None
        served = open_checkpoint(raw, self._origin, [self._signer.key])
        if served.checkpoint == head:
            return served
        if served.size >= head.size:
            raise self._damaged("what was served is newer than what is stored")
        return None

    def _edge(self, head: Checkpoint) -> Edge:
        try:
            edge = read_edge(head.size, self._read)
        except InvalidInput as error:
            raise self._damaged(error.message) from error
        if head.origin != self._origin or edge.range.root() != head.root:
            raise self._damaged("its tiles are not those of its checkpoint")
        return edge

    def _newest(self, size: int) -> dict[bytes, int]:
        first = max(0, size - WINDOW) // WIDTH
        recent: dict[bytes, int] = {}
        for index in range(first, -(-size // WIDTH)):
            tile = tile_at(0, index, size)
            for at, leaf in enumerate(split_hashes(self._read(tile), tile.width), index * WIDTH):
                recent.setdefault(leaf, at)
        return recent

    def _read(self, tile: Tile) -> bytes:
        data = self._storage.read(tile.path)
        if data is None:
            raise self._damaged(f"{tile.path} is missing")
        return data

    def _damaged(self, why: str) -> AllodError:
        return Unavailable(
            "log-damaged",
            f"cannot go on with the log {self._origin}: {why}; restore it from a backup, or let a "
            "successor log follow it",
        )


def check_batch(entries: Sequence[bytes]) -> None:
    """Whether these can be one batch. Raises InvalidInput `too-large`."""
    if len(entries) > MAX_BATCH or sum(map(len, entries)) > MAX_BATCH_BYTES:
        raise InvalidInput(
            "too-large",
            f"cannot append {len(entries)} entries at once: at most {MAX_BATCH}, and "
            f"{MAX_BATCH_BYTES} bytes",
        )
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise InvalidInput(
                "too-large",
                f"cannot log an entry of {len(entry)} bytes: at most {MAX_ENTRY} are allowed",
            )
