"""Every call of a log's storage, and every durable write, fails or dies before and after it.

Then the sequencer starts again on what is stored, and: what is served is a whole log that ends
with a batch, everything acknowledged is in it at its place, no checkpoint was ever signed that
this log does not continue, and the batches that were not acknowledged, repeated, are in it once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from allod import durable
from allod.errors import Conflict
from allod.server.log import sql
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.ports import LogStorage
from allod.server.log.sequencer import Sequencer
from allod.server.log.sql import SqlLogStorage, open_log_database
from allod.testing.clock import StoppedClock
from allod.testing.faults import Faults, Frail, Killed, Strike, frail_disk
from allod.testing.log_storage import MemoryLog, MemoryLogStorage, served_log
from allod.testing.logs import note_signer
from allod.tlog.checkpoint import Checkpoint, parse_checkpoint
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.note import NoteSigner

ORIGIN = "log.example/one"
SIGNER = note_signer(ORIGIN)
BATCHES = [
    [f"{batch} {number}".encode() for number in range(count)]
    for batch, count in enumerate((200, 100, 1))
]
ALL = [entry for batch in BATCHES for entry in batch]
WHOLE = [0, 200, 300, 301]


@dataclass
class Signed:
    """All that was ever signed."""

    checkpoints: list[Checkpoint] = field(default_factory=list)

    def signer(self) -> NoteSigner:
        def sign(message: bytes) -> bytes:
            self.checkpoints.append(parse_checkpoint(message.decode()))
            return SIGNER.sign(message)

        return NoteSigner(SIGNER.key, sign)


@dataclass
class Run:
    """The story up to now: what was acknowledged, what was signed."""

    storage: Callable[[], LogStorage]
    signed: Signed = field(default_factory=Signed)
    acknowledged: int = 0  #: batches

    def sequencer(self, storage: LogStorage) -> Sequencer:
        return Sequencer(storage, ORIGIN, self.signed.signer())

    def go_on(self, sequencer: Sequencer) -> None:
        """All batches that were not acknowledged yet."""
        with contextlib.suppress(Conflict):
            sequencer.create()
        for batch in BATCHES[self.acknowledged :]:
            done = sequencer.append(batch)
            first = ALL.index(batch[0])
            assert done.indices == tuple(range(first, first + len(batch)))
            assert done.checkpoint.size >= first + len(batch)
            self.acknowledged += 1
            if self.acknowledged == 1:
                sequencer.close()  # so that the next batch begins with what is stored

    def check(self, files: LogStorage) -> int:
        """What is served now is whole; how many batches it has."""
        checkpoint, entries = served_log(files, ORIGIN, SIGNER.key)
        assert list(entries) == ALL[: len(entries)]
        assert checkpoint.size in WHOLE
        batches = WHOLE.index(checkpoint.size)
        assert batches >= self.acknowledged
        for one in self.signed.checkpoints:
            assert one.size in WHOLE
            assert one.root == range_over(map(leaf_hash, ALL[: one.size])).root()
        return batches


def story(run: Run, storage: LogStorage) -> bool:
    """Whether it came to its end."""
    try:
        run.go_on(run.sequencer(storage))
    except (OSError, Killed):
        return False
    return True


def strikes(calls: list[str]) -> list[tuple[int, Strike]]:
    return [(at, strike) for at in range(1, len(calls) + 1) for strike in Strike]


def settle(run: Run, told: str) -> bool:
    """Start again without faults: whole at once, complete in the end.

    Returns whether the log has a batch that was never acknowledged.
    """
    storage = run.storage()
    before = run.check(storage) if storage.published() is not None else 0
    sequencer = run.sequencer(storage)
    more = False
    if storage.head() is not None:
        sequencer.checkpoint()
        recovered = run.check(storage)
        assert recovered >= before, told
        more = recovered > run.acknowledged
    run.go_on(sequencer)
    assert run.check(storage) == len(BATCHES), told
    sequencer.close()
    return more


def memory() -> Callable[[], LogStorage]:
    log = MemoryLog()

    def storage() -> LogStorage:
        log.holder = None  # the process that held it is dead
        return MemoryLogStorage(log)

    return storage


def test_every_call_of_the_storage() -> None:
    """Each call, reads too, in four ways; what is served meanwhile is always a whole log."""
    faults = Faults()
    assert story(Run(memory()), Frail(MemoryLogStorage(MemoryLog()), faults))
    names = {call.split(".")[1] for call in faults.calls}
    assert names == {
        "hold", "head", "stage", "commit", "staged", "write", "publish", "published", "read",
        "release", "remove_under",
    }  # fmt: skip
    seen: dict[str, set[bool]] = {}
    for at, strike in strikes(faults.calls):
        run = Run(memory())
        struck = Faults(at, strike)
        assert not story(run, Frail(run.storage(), struck))
        told = f"{at} {struck.struck} {strike}"
        seen.setdefault(struck.struck.split(".")[1], set()).add(settle(run, told))
    assert seen["stage"] == {False}, "what is only staged is not in the log"
    assert seen["commit"] == {False, True}, "a commit alone decides"


def test_every_failure_without_a_restart() -> None:
    """The same sequencer goes on after an error: it believes nothing that it had in memory."""
    faults = Faults()
    assert story(Run(memory()), Frail(MemoryLogStorage(MemoryLog()), faults))
    for at, strike in strikes(faults.calls):
        if strike in {Strike.ERROR_BEFORE, Strike.ERROR_AFTER}:
            run = Run(memory())
            storage = run.storage()
            sequencer = run.sequencer(Frail(storage, Faults(at, strike)))
            with pytest.raises(OSError, match="Input/output"):
                run.go_on(sequencer)
            run.go_on(sequencer)
            assert run.check(storage) == len(BATCHES)


@pytest.mark.slow
def test_every_call_of_a_database(swift_directory: Path) -> None:
    """The same over SQLite; the process that comes after has the name of the one before."""
    clock = StoppedClock()

    def fork(name: str) -> Callable[[], LogStorage]:
        engine = open_log_database(swift_directory / f"{name}.sqlite")
        return lambda: SqlLogStorage(engine, "f/authority", holder="server", clock=clock)

    faults = Faults()
    assert story(Run(fork("whole")), Frail(fork("whole")(), faults))
    writes = [at for at, call in enumerate(faults.calls, 1) if not call.endswith(("read", "head"))]
    for at in writes:
        for strike in Strike:
            run = Run(fork(f"{at}-{strike.name}"))
            assert not story(run, Frail(run.storage(), Faults(at, strike)))
            settle(run, f"{at} {strike}")


def test_every_call_of_a_directory(swift_directory: Path) -> None:
    """Each call that writes fails or kills, before and after: the same over files."""

    def fork(name: str) -> Callable[[], LogStorage]:
        place = swift_directory / name
        return lambda: DirectoryLogStorage(place / "public", place / "private")

    faults = Faults()
    first = fork("whole")()
    assert story(Run(fork("whole")), Frail(first, faults))
    first.release()
    writes = [at for at, call in enumerate(faults.calls, 1) if not call.endswith(("read", "head"))]
    for at in writes:
        for strike in Strike:
            run = Run(fork(f"{at}-{strike.name}"))
            dying = run.storage()
            assert not story(run, Frail(dying, Faults(at, strike)))
            dying.release()
            settle(run, f"{at} {strike}")


def test_every_statement_of_a_database(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the calls: each transaction of SQLite fails to begin, or is cut off before it ends;
    the sequencer is told of an error of the disk, and starts again on what is stored.
    """
    clock = StoppedClock()

    def fork(name: str) -> Callable[[], LogStorage]:
        engine = open_log_database(swift_directory / f"{name}.sqlite")
        return lambda: SqlLogStorage(engine, "f/authority", holder="server", clock=clock)

    begun, at, late = 0, 0, False
    real = sql.immediate

    @contextlib.contextmanager
    def frail(engine: sa.Engine) -> Iterator[sa.Connection]:
        nonlocal begun
        begun += 1
        if begun == at and not late:
            raise sa.exc.OperationalError("BEGIN", {}, sqlite3.OperationalError("disk I/O error"))
        with real(engine) as connection:
            yield connection
            if begun == at:
                raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("full"))

    ready = {name: fork(name) for name in ("whole",)}
    monkeypatch.setattr(sql, "immediate", frail)
    assert story(Run(ready["whole"]), ready["whole"]())
    transactions = begun
    assert transactions > 15
    for which in range(1, transactions + 1):
        for late in (False, True):
            at = 0
            run = Run(fork(f"{which}-{late}"))
            begun, at = 0, which
            assert not story(run, run.storage()), which
            at = 0
            settle(run, f"{which} {late}")


def test_every_durable_write_of_a_directory(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file, one after the other: a batch of many files dies between any two of them."""

    def disk(faults: Faults) -> None:
        for name, stand_in in frail_disk(faults).items():
            monkeypatch.setattr(durable, name, stand_in)

    def fork(name: str) -> Callable[[], LogStorage]:
        place = swift_directory / name
        return lambda: DirectoryLogStorage(place / "public", place / "private")

    real = {name: getattr(durable, name) for name in frail_disk(Faults())}
    faults = Faults()
    disk(faults)
    first = fork("whole")()
    assert story(Run(fork("whole")), first)
    first.release()
    for name, function in real.items():
        monkeypatch.setattr(durable, name, function)
    assert len(faults.calls) > 30
    for at in range(1, len(faults.calls) + 1):
        for strike in (Strike.KILL_BEFORE, Strike.KILL_AFTER):
            run = Run(fork(f"{at}-{strike.name}"))
            struck = Faults(at, strike)
            disk(struck)
            dying = run.storage()
            assert not story(run, dying)
            dying.release()
            for name, function in real.items():
                monkeypatch.setattr(durable, name, function)
            settle(run, f"{at} {struck.struck} {strike}")
