"""Many who append at once share batches: one of them carries what all the others brought."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    woken: threading.Event = field(default_factory=threading.Event)
    result: Appended | None = None
    error: BaseException | None = None


class AppendQueue:
    """Appends through a sequencer, from any number of threads.

    Whoever finds the sequencer free takes all that wait into one batch; meanwhile others gather,
    and the first of them carries the next one. Nobody waits for a clock.
    """

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._adding = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._busy = False

    def append(self, entries: Sequence[bytes]) -> Appended:
        """As `Sequencer.append`."""
        check_batch(entries)
        mine = _Waiting(entries, sum(map(len, entries)))
        with self._adding:
            self._waiting.append(mine)
            free, self._busy = not self._busy, True
        if not free:
            mine.woken.wait()
        if mine.result is None and mine.error is None:
            try:
                self._carry(self._taken())
            finally:
                self._hand_over()
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
        """Append for all of the batch, of which the caller is the first."""
        try:
            done = self._sequencer.append([entry for one in batch for entry in one.entries])
            indices = iter(done.indices)
            for one in batch:
                own = tuple(next(indices) for _ in one.entries)
                one.result = Appended(own, done.checkpoint)
        except BaseException as error:
            for one in batch:
                one.error = error
            raise
        finally:
            for one in batch:
                one.woken.set()

    def _hand_over(self) -> None:
        """Wake the one that has waited longest; it finds no answer, and so carries."""
        with self._adding:
            if self._waiting:
                self._waiting[0].woken.set()
            else:
                self._busy = False
