"""Many who append at once share batches: one of them carries what all the others brought."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from allod.server.log.sequencer import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    Appended,
    Sequencer,
    check_batch,
)


@dataclass(eq=False, slots=True)
class _Waiting:
    entries: Sequence[bytes]
    size: int
    result: Appended | None = None
    error: BaseException | None = None


class AppendQueue:
    """Appends through a sequencer, from any number of threads.

    Whoever finds the sequencer free takes all that wait into one batch; the others find their
    answer when it is done. Nobody waits for a clock.
    """

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._waiting: list[_Waiting] = []
        self._adding = threading.Lock()
        self._turn = threading.Lock()

    def append(self, entries: Sequence[bytes]) -> Appended:
        """As `Sequencer.append`."""
        check_batch(entries)
        mine = _Waiting(entries, sum(map(len, entries)))
        with self._adding:
            self._waiting.append(mine)
        with self._turn:
            while mine.result is None and mine.error is None:
                self._carry(self._taken())
        if mine.error is not None:
            raise mine.error
        if mine.result is None:
            raise RuntimeError("an append ended without an answer")
        return mine.result

    def _taken(self) -> list[_Waiting]:
        """The longest run of those that wait, oldest first, that makes one batch."""
        with self._adding:
            count, size, taken = 0, 0, 0
            for one in self._waiting:
                count, size = count + len(one.entries), size + one.size
                if taken and (count > MAX_BATCH or size > MAX_BATCH_BYTES):
                    break
                taken += 1
            batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    def _carry(self, batch: list[_Waiting]) -> None:
        try:
            done = self._sequencer.append([entry for one in batch for entry in one.entries])
        except BaseException as error:
            for one in batch:
                one.error = error
            if not isinstance(error, Exception):
                raise
            return
        indices = iter(done.indices)
        for one in batch:
            own = tuple(next(indices) for _ in one.entries)
            one.result = Appended(own, done.checkpoint)
