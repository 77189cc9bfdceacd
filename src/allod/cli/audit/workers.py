"""What does not depend on the order of a log is done by two processes beside this one.

What comes back is in order, and no more is under way than fits in memory.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, TypeVar

from securesystemslib.signer import Key

from allod.audit.activity import Place, Said, check_report
from allod.audit.authority import Checked, check_file
from allod.audit.reading import Bundle, KeyRing, Part, read_activity, read_authority
from allod.domain.ids import FleetId
from allod.wire.envelope import PublicKey

PROCESSES: Final = 2
AHEAD: Final = 2 * PROCESSES  #: jobs that wait or are under way
_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


class Stretch(NamedTuple):
    """Neighbouring bundles, and from which entry on they are new."""

    bundles: Sequence[Bundle]
    begin: int


class Report(NamedTuple):
    """A report to be verified."""

    raw: bytes
    key: PublicKey
    place: Place


@dataclass(frozen=True, slots=True)
class Reader:
    """What every process knows."""

    fleet: FleetId
    ring: KeyRing

    def authority(self, job: Stretch) -> Part:
        """See `allod.audit.reading.read_authority`."""
        return read_authority(job.bundles, job.begin, self.ring, self.fleet)

    def activity(self, job: Stretch) -> Part:
        """See `allod.audit.reading.read_activity`."""
        return read_activity(job.bundles, job.begin, self.fleet)

    def files(self, job: Sequence[tuple[str, bytes | None]]) -> list[Checked]:
        """See `allod.audit.authority.check_file`."""
        return [check_file(role, data) for role, data in job]

    def reports(self, job: Sequence[Report]) -> list[Said | tuple[str, str]]:
        """See `allod.audit.activity.check_report`."""
        return [check_report(one.raw, one.key, self.fleet, one.place) for one in job]


_READERS: Final[list[Reader]] = []  #: in a process of the pool: its own


def _begin(fleet: FleetId, keys: list[tuple[str, dict[str, Any]]]) -> None:
    _READERS[:] = [Reader(fleet, KeyRing(Key.from_dict(keyid, dict(key)) for keyid, key in keys))]


def _call(method: str, job: object) -> Any:
    return getattr(_READERS[0], method)(job)


class Workers:
    """Applies the methods of a `Reader` to jobs; with little to do, in this process alone.

    Use it as a context manager: what it started ends with it.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """There is much to do: it is worth the second that it takes to start others."""
        if self._pool is None:
            keys = [(key.keyid, key.to_dict()) for key in self._reader.ring.keys]
            self._pool = ProcessPoolExecutor(
                PROCESSES,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._reader.fleet, keys),
            )

    def ordered(
        self, method: Callable[[Reader, _Job], _Done], jobs: Iterable[_Job]
    ) -> Iterator[_Done]:
        """What the method makes of each job, in the order of the jobs."""
        if self._pool is None:
            for job in jobs:
                yield method(self._reader, job)
            return
        waiting: deque[Future[_Done]] = deque()
        for job in jobs:
            waiting.append(self._pool.submit(_call, method.__name__, job))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
