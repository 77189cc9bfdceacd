"""What every storage of a log promises: one writer, a head that is compared, files as written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from allod.domain.ids import FleetId
from allod.errors import Conflict
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.ports import LogStorage
from allod.server.log.sql import (
    SqlLogs,
    SqlLogStorage,
    copy_logs,
    logs_in,
    open_log_database,
)
from allod.testing.clock import StoppedClock
from allod.testing.log_storage import MemoryLog, MemoryLogStorage

Open = Callable[[str], LogStorage]


@pytest.fixture(params=["memory", "directory", "sqlite"])
def opened(request, tmp_path: Path):
    """Opens a storage of one log, as a process of the given name."""
    log, clock = MemoryLog(), StoppedClock()
    engine = open_log_database(tmp_path / "log.sqlite") if request.param == "sqlite" else None
    made: list[LogStorage] = []

    def storage(name: str) -> LogStorage:
        if engine is not None:
            made.append(SqlLogStorage(engine, "f/authority", holder=name, clock=clock))
        elif request.param == "directory":
            made.append(DirectoryLogStorage(tmp_path / "public", tmp_path / "private"))
        else:
            made.append(MemoryLogStorage(log))
        return made[-1]

    yield storage
    for one in made:
        one.release()
    if engine is not None:
        engine.dispose()


def test_nothing_is_there_at_first(opened: Open) -> None:
    """An empty place has no head, no checkpoint, no files, no stages; reading needs no hold."""
    storage = opened("a")
    assert (storage.head(), storage.published()) == (None, None)
    assert (storage.read("tile/0/000"), storage.staged("x")) == (None, None)


def test_what_is_written_is_read(opened: Open) -> None:
    """By the writer, and by another one that only reads; twice the same is fine."""
    storage = opened("a")
    storage.hold()
    storage.hold()
    files = {f"tile/0/{number:03d}": bytes([number % 256]) * 32 for number in range(1, 600)}
    for again in (files, dict(list(files.items())[:9])):
        storage.commit(storage.head(), "origin\n1\n")
        storage.stage("name", b"\0stage")
        storage.write(again)
        storage.publish(b"checkpoint")
    for reader in (storage, opened("b")):
        assert reader.head() == "origin\n1\n"
        assert reader.staged("name") == b"\0stage"
        assert all(reader.read(path) == data for path, data in files.items())
        assert reader.published() == b"checkpoint"
    storage.stage("name", b"other")
    assert storage.staged("name") == b"other"
    storage.stage("second", b"")
    assert (storage.staged("name"), storage.staged("second")) == (None, b"")


def test_only_the_expected_head_is_replaced(opened: Open) -> None:
    """Who has another head in mind is refused, and changes nothing."""
    storage = opened("a")
    storage.hold()
    with pytest.raises(Conflict):
        storage.commit("x", "y")
    storage.commit(None, "one")
    for old in (None, "zero"):
        with pytest.raises(Conflict) as refused:
            storage.commit(old, "two")
        assert refused.value.code == "log-in-use"
    assert storage.head() == "one"


WRITES = [
    lambda storage: storage.commit("head", "new"),
    lambda storage: storage.stage("name", b""),
    lambda storage: storage.write({"tile/0/000": b""}),
    lambda storage: storage.remove_under(["tile/0/000.p"]),
    lambda storage: storage.publish(b"new"),
]


def test_only_one_writes(opened: Open) -> None:
    """While one holds the log another cannot, nor write without; released, it can."""
    first, second = opened("a"), opened("b")
    first.hold()
    first.commit(None, "head")
    with pytest.raises(Conflict) as refused:
        second.hold()
    assert refused.value.code == "log-in-use"
    for write in WRITES:
        with pytest.raises(Conflict):
            write(second)
    assert (second.head(), second.published(), second.read("tile/0/000")) == ("head", None, None)
    first.release()
    first.release()
    for write in WRITES:
        with pytest.raises(Conflict):
            write(first)
    second.hold()
    second.commit("head", "more")
    assert first.head() == "more"


def test_only_the_named_directories_are_removed(opened: Open) -> None:
    """Neighbours with like names stay; what is not there is fine."""
    storage = opened("a")
    storage.hold()
    gone = {"tile/0/000.p/1": b"1", "tile/0/000.p/200": b"2", "tile/entries/001.p/9": b"3"}
    kept = {"tile/0/000": b"4", "tile/0/001.p/1": b"5", "tile/0/x001/000.p/1": b"6"}
    storage.write({**gone, **kept})
    for _ in range(2):
        storage.remove_under(["tile/0/000.p", "tile/entries/001.p", "tile/1/000.p"])
        assert all(storage.read(path) is None for path in gone)
        assert all(storage.read(path) == data for path, data in kept.items())


def test_a_lease_ends(tmp_path: Path) -> None:
    """A database log that was left behind can be had once its lease is over, or at once by its
    own process; who comes back finds that it may not write any more.
    """
    engine, clock = open_log_database(tmp_path / "log.sqlite"), StoppedClock()

    def storage(name: str, log: str = "f/authority") -> SqlLogStorage:
        return SqlLogStorage(engine, log, holder=name, clock=clock, lease=30)

    paused, next_ = storage("a"), storage("b")
    paused.hold()
    paused.commit(None, "one")
    storage("b", "f/activity").hold()
    clock.sleep(20)
    paused.publish(b"prolongs the lease")
    clock.sleep(20)
    with pytest.raises(Conflict, match="a holds it"):
        next_.hold()
    clock.sleep(20)
    next_.hold()
    next_.commit("one", "two")
    next_.publish(b"two")
    for write in WRITES:
        with pytest.raises(Conflict):
            write(paused)
    assert (paused.head(), paused.published()) == ("two", b"two")
    again = storage("b")
    again.hold()
    with pytest.raises(Conflict):
        next_.publish(b"late")
    again.publish(b"three")
    engine.dispose()


def test_what_a_crash_left_of_a_directory_is_removed(tmp_path: Path) -> None:
    """Half of its files gone, or all of them and the directory still there."""
    storage = DirectoryLogStorage(tmp_path / "public", tmp_path / "private")
    storage.hold()
    storage.write({f"tile/0/000.p/{width}": b"" for width in range(1, 9)})
    place = tmp_path / "public" / "tile" / "0" / "000.p"
    (place / "3").unlink()
    storage.remove_under(["tile/0/000.p"])
    assert not place.exists()
    place.mkdir()
    storage.remove_under(["tile/0/000.p"])
    assert not place.exists()
    storage.release()


def test_what_a_database_cannot_do_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """Reading, writing and holding: none of them lets an error of the library out."""
    path = tmp_path / "log.sqlite"
    storage = SqlLogStorage(
        open_log_database(path), "f/authority", holder="a", clock=StoppedClock()
    )
    storage.hold()
    with closing(sqlite3.connect(path)) as connection:
        for table in ("log_files", "log_stages", "logs"):
            connection.execute(f"DROP TABLE {table}")
    for act in (*WRITES, lambda one: one.read("x"), lambda one: one.head(), lambda one: one.hold()):
        with pytest.raises(OSError, match="database"):
            act(storage)


def test_logs_are_copied_as_of_one_moment(tmp_path: Path) -> None:
    """While they are written: the copy has every log, whole, and names them."""
    logs = SqlLogs(tmp_path / "logs.sqlite", holder="a", clock=StoppedClock())
    for place in ("authority", "activity/2"):
        storage = logs(FleetId("f" * 64), place)
        storage.hold()
        storage.commit(None, place)
        storage.write({"tile/0/000.p/1": place.encode()})
    copy_logs(tmp_path / "logs.sqlite", tmp_path / "copy.sqlite")
    assert logs_in(tmp_path / "nothing") == ()
    fleet = "f" * 64
    assert logs_in(tmp_path / "copy.sqlite") == (f"{fleet}/activity/2", f"{fleet}/authority")
    copied = SqlLogs(tmp_path / "copy.sqlite", holder="b", clock=StoppedClock())
    assert copied(FleetId(fleet), "authority").head() == "authority"
    assert copied(FleetId(fleet), "activity/2").read("tile/0/000.p/1") == b"activity/2"
    logs.close()
    copied.close()
