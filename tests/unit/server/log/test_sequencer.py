"""The sequencer: every entry has one place, and is acknowledged only under a served checkpoint."""

from __future__ import annotations

import threading

import pytest

from allod.errors import AllodError, Conflict, InvalidInput, Unavailable
from allod.server.log.queue import AppendQueue
from allod.server.log.sequencer import MAX_BATCH, WINDOW, Sequencer
from allod.testing.log_storage import MemoryLog, MemoryLogStorage, served_log
from allod.testing.logs import note_signer
from allod.tlog.checkpoint import SignedCheckpoint, vouched
from allod.tlog.note import Kind
from allod.tlog.tiles import tiles_of_growth

ORIGIN = "log.example/one"
SIGNER = note_signer(ORIGIN)


def entries(begin: int, end: int) -> list[bytes]:
    return [f"entry {number}".encode() for number in range(begin, end)]


def begun(log: MemoryLog | None = None) -> tuple[MemoryLog, Sequencer]:
    log = log or MemoryLog()
    sequencer = Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER)
    sequencer.create()
    return log, sequencer


def served(log: MemoryLog) -> tuple[SignedCheckpoint, tuple[bytes, ...]]:
    return served_log(MemoryLogStorage(log), ORIGIN, SIGNER.key)


def test_entries_have_their_places() -> None:
    """In order, batch after batch, over the widths of tiles; each under its own checkpoint."""
    log, sequencer = begun()
    assert served(log)[1] == ()
    begin = 0
    for count in (1, 2, 253, 1, 255, 300, 512, 4096):
        done = sequencer.append(entries(begin, begin + count))
        assert done.indices == tuple(range(begin, begin + count))
        begin += count
        assert done.checkpoint == served(log)[0]
        assert done.checkpoint.size == begin
    assert served(log)[1] == tuple(entries(0, begin))


def test_partial_tiles_of_every_checkpoint_are_served_until_they_are_full() -> None:
    """A reader of any earlier checkpoint finds each tile, partial as it was or full."""
    log, sequencer = begun()
    for size in range(1, 300):
        sequencer.append(entries(size - 1, size))
        for old in range(1, size + 1):
            for tile in tiles_of_growth(0, old):
                assert tile.path in log.files or tile.full.path in log.files
    sequencer.append(entries(299, 300))
    assert not [path for path in log.files if path.startswith("tile/0/000.p/")]
    assert len(log.stages) == 1


def test_an_entry_is_taken_once() -> None:
    """Within a batch, in the next one, after a restart; the checkpoint stays when nothing is new."""
    log, sequencer = begun()
    first = sequencer.append([b"a", b"b", b"a"])
    assert first.indices == (0, 1, 0)
    assert sequencer.append([b"b", b"c"]).indices == (1, 2)
    sequencer.close()
    again = Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER)
    repeated = again.append([b"c", b"a"])
    assert repeated.indices == (2, 0)
    assert repeated.checkpoint.size == 3
    assert again.append([]).indices == ()


def test_the_window_is_bounded_and_whole() -> None:
    """A batch of any size can be repeated right after; what is long past is new again."""
    log, sequencer = begun()
    for batch in range(4):
        part = entries(batch * MAX_BATCH, (batch + 1) * MAX_BATCH)
        done = sequencer.append(part)
        assert sequencer.append(part) == done
        assert len(sequencer._state.recent) <= WINDOW
    sequencer.close()
    restarted = Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER)
    assert restarted.append(part) == done
    assert restarted.append(entries(0, 1)).indices == (4 * MAX_BATCH,)
    mixed = restarted.append(entries(3 * MAX_BATCH, 3 * MAX_BATCH + 5) + [b"x"] * 3)
    assert mixed.indices[:5] == tuple(range(3 * MAX_BATCH, 3 * MAX_BATCH + 5))


def test_a_log_is_begun_once_and_never_in_passing() -> None:
    """A log that is lost is not begun anew by who only wants to append."""
    log, sequencer = begun()
    with pytest.raises(Conflict) as refused:
        sequencer.create()
    assert refused.value.code == "log-exists"
    with pytest.raises(Unavailable) as missing:
        Sequencer(MemoryLogStorage(MemoryLog()), ORIGIN, SIGNER).append([b"a"])
    assert missing.value.code == "log-missing"


def test_only_one_sequencer() -> None:
    """A second one is refused while the first holds the log, and takes up where it left."""
    log, sequencer = begun()
    sequencer.append([b"a"])
    second = Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER)
    with pytest.raises(Conflict):
        second.append([b"b"])
    sequencer.close()
    assert second.append([b"b"]).indices == (1,)
    with pytest.raises(Conflict):
        sequencer.append([b"c"])


@pytest.mark.parametrize("batch", [[bytes(65536)], [b""] * 4097, [bytes(65535)] * 257])
def test_batches_are_capped(batch: list[bytes]) -> None:
    """Too many, too large, too much: refused before anything is written."""
    log, sequencer = begun()
    before = dict(log.files), log.head
    with pytest.raises(InvalidInput) as refused:
        sequencer.append(batch)
    assert refused.value.code == "too-large"
    assert (log.files, log.head) == before


def damaged(log: MemoryLog, how: str) -> None:
    match how:
        case "tile":
            log.files["tile/0/000.p/3"] = bytes(96)
        case "entries":
            log.files["tile/entries/000.p/3"] = log.files["tile/entries/000.p/1"] * 3
        case "missing":
            del log.files["tile/0/000.p/3"]
        case "short":
            log.files["tile/0/000.p/3"] = bytes(5)
        case "head":
            log.head = log.head.replace("\n3\n", "\n2\n")
        case "older head":
            log.head = f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        case "stage":
            name = next(iter(log.stages))
            log.stages[name] = b"x"


@pytest.mark.parametrize(
    "how", ["tile", "entries", "missing", "short", "head", "older head", "stage"]
)
def test_a_damaged_log_is_not_continued(how: str) -> None:
    """Bit flips, missing files, a head from a backup: an error that says so, and no new signature."""
    log, sequencer = begun()
    sequencer.append([b"a"])
    sequencer.append([b"b", b"c"])
    sequencer.close()
    damaged(log, how)
    published = log.published
    with pytest.raises(AllodError) as refused:
        Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER).append([b"d"])
    assert refused.value.code == "log-damaged"
    assert log.published == published


def test_another_logs_key_or_name_does_not_go_on() -> None:
    """A sequencer that was started with the wrong key or origin signs nothing."""
    log, sequencer = begun()
    sequencer.append([b"a"])
    sequencer.close()
    for origin, signer in ((ORIGIN, note_signer(ORIGIN, seed=1)), ("other", note_signer("other"))):
        storage = MemoryLogStorage(log)
        with pytest.raises(AllodError):
            Sequencer(storage, origin, signer).append([b"b"])
        storage.release()
    assert served(log)[0].size == 1


def test_cosignatures_are_served_until_the_log_grows() -> None:
    """They stay over a restart, add up, and do not come onto another checkpoint."""
    log, sequencer = begun()
    done = sequencer.append([b"a"])
    witnesses = [note_signer(f"w{number}", Kind.COSIGNATURE) for number in range(2)]
    for witness in witnesses:
        line = witness.cosignature(done.checkpoint.note.text, 50)
        note = done.checkpoint.note.with_signatures([line])
        sequencer.publish(SignedCheckpoint(done.checkpoint.checkpoint, note))
    sequencer.close()
    again = Sequencer(MemoryLogStorage(log), ORIGIN, SIGNER)
    keys = [witness.key for witness in witnesses]
    assert vouched(again.checkpoint(), keys).as_of(2) == 50
    assert vouched(served(log)[0], keys).as_of(2) == 50
    again.append([b"b"])
    with pytest.raises(Conflict) as refused:
        again.publish(done.checkpoint)
    assert refused.value.code == "log-grew"


class SlowStorage(MemoryLogStorage):
    """Counts batches, and holds the first one up until the others wait."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.commits = 0
        self.go = threading.Event()

    def commit(self, old: str | None, new: str) -> None:
        if old is not None:
            self.commits += 1
            self.go.wait(10)
        super().commit(old, new)


def test_who_appends_at_once_shares_batches() -> None:
    """Fifty threads, each with its own indices, in far fewer batches."""
    log = MemoryLog()
    storage = SlowStorage(log)
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    sequencer.create()
    queue = AppendQueue(sequencer)
    done: dict[int, tuple[int, ...]] = {}

    def append(number: int) -> None:
        done[number] = queue.append([f"{number} a".encode(), f"{number} b".encode()]).indices

    threads = [threading.Thread(target=append, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    while len(queue._waiting) < 49:
        pass
    storage.go.set()
    for thread in threads:
        thread.join()
    stored = served(log)[1]
    for number, (one, two) in done.items():
        assert (stored[one], stored[two]) == (f"{number} a".encode(), f"{number} b".encode())
    assert len(stored) == 100
    assert storage.commits == 2


def test_a_failure_reaches_everybody_of_the_batch_and_nobody_else() -> None:
    """The next append succeeds."""
    log = MemoryLog()
    storage = MemoryLogStorage(log)
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    queue = AppendQueue(sequencer)
    with pytest.raises(Unavailable):
        queue.append([b"a"])
    sequencer.create()
    assert queue.append([b"a"]).indices == (0,)
    with pytest.raises(InvalidInput):
        queue.append([bytes(70_000)])


class FailingStorage(SlowStorage):
    """Its first batch fails when all have gathered."""

    def commit(self, old: str | None, new: str) -> None:
        super().commit(old, new)
        if self.commits == 1:
            raise OSError(28, "No space left on device")


def test_a_batch_that_fails_fails_for_its_own() -> None:
    """Those who gathered meanwhile are carried by one of them; repeating gives each its place."""
    log = MemoryLog()
    storage = FailingStorage(log)
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    sequencer.create()
    queue = AppendQueue(sequencer)
    failed, done = [], []

    def append(number: int) -> None:
        try:
            done.extend(queue.append([b"%d" % number]).indices)
        except OSError:
            failed.append(number)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    while len(queue._waiting) < 8:
        pass
    storage.go.set()
    for thread in threads:
        thread.join()
    assert len(failed) == 1
    assert sorted(done) == list(range(1, 9))
    assert queue.append([b"%d" % failed[0]]).indices == (0,)
    assert served(log)[0].size == 9


def test_batches_of_the_queue_keep_the_caps() -> None:
    """What does not fit into one batch goes into the next; nothing is refused for its company."""
    log, sequencer = begun()
    queue = AppendQueue(sequencer)
    parts = [entries(number * 3000, (number + 1) * 3000) for number in range(3)]
    threads = [threading.Thread(target=queue.append, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served(log)[0].size == 9000
