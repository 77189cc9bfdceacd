"""How many entries a second a log takes, beside bare fsynced appends in the same place.

    python bench/log_append.py [--seconds 4]

An entry is one of the activity log, as it is (about 380 bytes). Every batch is durable and under a
signed, served checkpoint before the next one begins. Bare appends write one entry to a file and
fsync it, one after the other: what a log would do that does not batch. Callers are
threads that each append one entry at a time and share batches. Goal: 5,000 entries a second on SQLite.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from allod.server.clock import SystemClock
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.ports import LogStorage
from allod.server.log.queue import AppendQueue
from allod.server.log.sequencer import Sequencer
from allod.server.log.sql import SqlLogStorage, open_log_database
from allod.testing.log_storage import served_log
from allod.testing.logs import note_signer
from allod.wire.log import ReportEntry, encode_activity

GOAL = 5000.0
ORIGIN = "log.example/bench"
SIGNER = note_signer(ORIGIN)
DIGEST = "sha256:" + "5" * 64


def entries() -> Iterator[bytes]:
    """Reports of one device, without end."""
    number = 0
    while True:
        number += 1
        yield encode_activity(
            ReportEntry(
                fleet="f" * 64,
                device="d" * 64,
                epoch=1,
                sequence=number,
                previous=DIGEST,
                digest=DIGEST,
            )
        )


def row(name: str, count: int, seconds: float, batches: int) -> float:
    """One line of the table."""
    rate = count / seconds
    print(f"| {name} | {rate:,.0f} | {batches / seconds:,.1f} | {seconds / batches * 1e3:.1f} |")
    return rate


def bare(place: Path, seconds: float) -> None:
    """Write, fsync, write, fsync."""
    fd = os.open(place / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source, count, begin = entries(), 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        os.write(fd, next(source))
        os.fsync(fd)
        count += 1
    row("bare fsynced appends", count, time.monotonic() - begin, count)
    os.close(fd)


def batched(name: str, storage: LogStorage, size: int, seconds: float) -> float:
    """One caller, batch after batch."""
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    sequencer.create()
    source, count, batches, begin = entries(), 0, 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        sequencer.append([next(source) for _ in range(size)])
        count, batches = count + size, batches + 1
    rate = row(f"{name}, batches of {size:,}", count, time.monotonic() - begin, batches)
    checkpoint, _ = served_log(storage, ORIGIN, SIGNER.key)
    if checkpoint.size != count:
        sys.exit(f"{count} entries were acknowledged, {checkpoint.size} are served")
    sequencer.close()
    return rate


def shared(name: str, storage: LogStorage, threads: int, seconds: float) -> None:
    """Many callers, one entry each at a time."""
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    sequencer.create()
    queue, source, adding = AppendQueue(sequencer), entries(), threading.Lock()
    counts, sizes = [0] * threads, set()
    end = time.monotonic() + seconds

    def append(number: int) -> None:
        while time.monotonic() < end:
            with adding:
                entry = next(source)
            sizes.add(queue.append([entry]).checkpoint.size)
            counts[number] += 1

    workers = [threading.Thread(target=append, args=(number,)) for number in range(threads)]
    begin = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    row(f"{name}, {threads} callers", sum(counts), time.monotonic() - begin, len(sizes))
    sequencer.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    seconds = parser.parse_args().seconds
    clock = SystemClock()
    print("| what | entries/s | batches/s | ms a batch |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory(dir=".") as name:
        place = Path(name)
        engine = open_log_database(place / "log.sqlite")

        def sqlite(log: str) -> LogStorage:
            return SqlLogStorage(engine, log, holder="bench", clock=clock)

        def directory(log: str) -> LogStorage:
            return DirectoryLogStorage(place / log / "public", place / log / "private")

        bare(place, seconds)
        kinds: dict[str, Callable[[str], LogStorage]] = {"SQLite": sqlite, "directory": directory}
        best = 0.0
        for kind, storage in kinds.items():
            for threads in (8, 64):
                shared(kind, storage(f"{kind} shared {threads}"), threads, seconds)
            for size in (1, 64, 1024, 4096):
                rate = batched(kind, storage(f"{kind} {size}"), size, seconds)
                best = max(best, rate if kind == "SQLite" else 0.0)
        engine.dispose()
    print(f"\ngoal on SQLite: {GOAL:,.0f} entries/s; reached: {best:,.0f}")
    sys.exit(best < GOAL)


if __name__ == "__main__":
    main()
