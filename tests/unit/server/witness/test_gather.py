"""Cosignatures are gathered from any number of witnesses; none that fails stops the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from allod.errors import Conflict, Unavailable, Untrusted
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.sequencer import Sequencer
from allod.server.services.gather import FIRST_PAUSE, RENEW, Gather, KnownWitness, Pace
from allod.server.witness.directory import WitnessDirectory
from allod.server.witness.service import Witness
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.asking import Heard
from allod.tlog.checkpoint import SignedCheckpoint, parse_checkpoint, vouched
from allod.tlog.note import Kind, Note, Signature
from allod.tlog.witness import AddCheckpoint, cosign

ORIGIN = "log.example/one"


@dataclass
class Town:
    """Witnesses by address; some cannot be reached."""

    root: Path
    now: float = 1_800_000_000.0
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    slow: dict[str, threading.Event] = field(default_factory=dict)  #: answers when it is set
    says: dict[str, Heard] = field(default_factory=dict)  #: whatever it is asked
    witnesses: dict[str, Witness] = field(default_factory=dict)

    def witness(self, name: str) -> KnownWitness:
        """Another witness that knows the log."""
        place = WitnessDirectory(self.root / name)
        place.create(name, "127.0.0.1", 8448)
        place.add_log(ORIGIN, (note_signer(ORIGIN).key,))
        url = f"https://{name}"
        self.witnesses[url] = Witness(place, place.signer(), lambda: self.now)
        return KnownWitness(place.signer().key, url)

    def post(self, url: str, body: bytes) -> Heard:
        """See `WitnessCalls`."""
        self.calls.append(url)
        if url in self.down:
            raise Unavailable("witness-unavailable", "cannot reach it")
        if url in self.slow:
            assert self.slow[url].wait(20)
        if url in self.says:
            return self.says[url]
        answer = self.witnesses[url].add_checkpoint(body)
        return Heard(answer.status, answer.body)

    def gather(self) -> Gather:
        """As of a server that just started."""
        return Gather(self, lambda: self.now, lambda *what: self.refused.append(what))


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """No witness yet."""
    return Town(tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> tuple[Sequencer, DirectoryLogStorage]:
    """A log with 300 entries."""
    storage = DirectoryLogStorage(tmp_path / "public", tmp_path / "private")
    sequencer = Sequencer(storage, ORIGIN, note_signer(ORIGIN))
    sequencer.create()
    sequencer.append([b"%d" % number for number in range(300)])
    return sequencer, storage


def test_all_that_answer_cosign_what_is_served(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """Two of three answer: the checkpoint that is served has both; the third is asked later, and
    less often, and an unchanged log is not shown again before the cosignature grows old.
    """
    sequencer, storage = log
    known = [town.witness(f"w{number}.example") for number in range(3)]
    keys = [witness.key for witness in known]
    gather = town.gather()
    town.down = {known[1].url}
    done = gather(sequencer, storage, known, wait=20)
    assert vouched(done.checkpoint, keys).as_of(2) == int(town.now)
    assert [*done.failed] == ["w1.example"]
    served = storage.published()
    assert served == done.checkpoint.encode()
    town.calls.clear()
    gather(sequencer, storage, known, wait=20)
    assert town.calls == []
    town.now += FIRST_PAUSE
    gather(sequencer, storage, known, wait=20)
    assert town.calls == [known[1].url]
    town.now += FIRST_PAUSE
    gather(sequencer, storage, known, wait=20)
    assert town.calls == [known[1].url]
    town.now += FIRST_PAUSE
    town.down = set()
    assert vouched(gather(sequencer, storage, known, wait=20).checkpoint, keys).as_of(3) is not None
    town.now += RENEW
    assert vouched(gather(sequencer, storage, known, wait=20).checkpoint, keys).as_of(3) == int(
        town.now
    )


def test_growth_and_restarts(town: Town, log: tuple[Sequencer, DirectoryLogStorage]) -> None:
    """A gatherer that forgot what a witness saw learns it from the witness; growth is proved."""
    sequencer, storage = log
    known = [town.witness("w.example")]
    town.gather()(sequencer, storage, known, wait=20)
    sequencer.append([b"more %d" % number for number in range(700)])
    after = town.gather()(sequencer, storage, known, wait=20)
    assert after.failed == {}
    assert (after.checkpoint.size, len(town.calls)) == (1000, 3)
    assert vouched(after.checkpoint, [known[0].key]).as_of(1) == int(town.now)


def test_a_refusal_is_told(town: Town, log: tuple[Sequencer, DirectoryLogStorage]) -> None:
    """A witness that saw another history of the log is an alarm, and gives no cosignature."""
    sequencer, storage = log
    witness = town.witness("w.example")
    other = NaiveLog([b"other"] * 5, note_signer(ORIGIN))
    shown = AddCheckpoint(0, (), other.checkpoint().note).encode()
    assert town.post(witness.url, shown).status == 200
    done = town.gather()(sequencer, storage, [witness], wait=20)
    assert done.failed["w.example"].code == "witness-refused"
    assert [(origin, name) for origin, name, _ in town.refused] == [(ORIGIN, "w.example")]
    assert vouched(done.checkpoint, [witness.key]).as_of(1) is None


def until(true: Callable[[], bool]) -> None:
    """Another thread is at it."""
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it never came true")


def test_a_slow_witness_holds_nobody_up(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """Whoever waits goes on with the quorum; the slow one is not asked a second time meanwhile, and
    what it says in the end is served too, unless the log has grown or the server has stopped.
    """
    sequencer, storage = log
    known = [town.witness(f"w{number}.example") for number in range(3)]
    keys = [witness.key for witness in known]
    town.slow[known[0].url] = threading.Event()
    gather = town.gather()
    begin = time.monotonic()
    done = gather(sequencer, storage, known, wait=20, quorum=2)
    assert time.monotonic() - begin < 10
    assert vouched(done.checkpoint, keys).as_of(2) is not None
    for _ in range(3):
        gather(sequencer, storage, known)
    assert town.calls.count(known[0].url) == 1
    town.slow[known[0].url].set()
    until(lambda: vouched(sequencer.checkpoint(), keys).as_of(3) is not None)
    town.slow[known[0].url].clear()
    sequencer.append([b"more"])
    gather(sequencer, storage, known, wait=20, quorum=2)
    sequencer.append([b"still more"])
    town.slow[known[0].url].set()
    gather(sequencer, storage, known, wait=20, quorum=2)
    until(lambda: vouched(sequencer.checkpoint(), keys).as_of(2) is not None)
    town.now += RENEW
    before = storage.published()
    gather.close()
    gather(sequencer, storage, known, wait=20)
    assert storage.published() == before


@pytest.mark.parametrize(
    "heard",
    [
        Heard(200, b""),
        Heard(200, b"x" * 70_000),
        Heard(200, b"\xff\xfe"),
        Heard(200, b"\xe2\x80\x94 w0.example AAAAAA==\n"),
        Heard(200, b"\xe2\x80\x94 w0.example " + b"A" * 100 + b"\n"),
        Heard(409, b"0\n"),
        Heard(409, b"17\n"),
        Heard(409, b"99999999999999999999999\n"),
        Heard(409, b"400\n"),
        Heard(302, b""),
        Heard(500, b"<html>"),
    ],
)
def test_whatever_a_witness_says_the_others_are_served(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage], heard: Heard
) -> None:
    """Nothing, too much, another's signature, sizes that are not there: it counts for nothing."""
    sequencer, storage = log
    known = [town.witness(f"w{number}.example") for number in range(2)]
    town.says[known[0].url] = heard
    done = town.gather()(sequencer, storage, known, wait=20)
    votes = vouched(done.checkpoint, [witness.key for witness in known])
    assert [key.name for key, _ in votes.times] == ["w1.example"]
    assert [*done.failed] == ["w0.example"]
    assert len(town.calls) <= 4


def test_another_logs_cosignature_is_not_served(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """A witness that signs something else than what it was shown has not vouched for it."""
    sequencer, storage = log
    witness = town.witness("w.example")
    signer = WitnessDirectory(town.root / "w.example").signer()
    other = NaiveLog([b"1"], note_signer(ORIGIN)).checkpoint()
    town.says[witness.url] = Heard(200, cosign(other.checkpoint, signer, int(town.now)))
    done = town.gather()(sequencer, storage, [witness], wait=20)
    assert done.failed["w.example"].code == "note-signature"
    assert vouched(done.checkpoint, [witness.key]).as_of(1) is None


def test_cosignatures_stay_younger_than_the_greatest_age(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """A log that does not grow for a day, under an age of ten minutes: at no minute is the quorum's
    time older; after an outage of hours it is young again before the age is over once more.
    """
    sequencer, storage = log
    known = [town.witness(f"w{number}.example") for number in range(2)]
    keys = [witness.key for witness in known]
    gather, pace = town.gather(), Pace.within(600)

    def minute() -> float:
        town.now += 60
        done = gather(sequencer, storage, known, wait=20, pace=pace)
        return town.now - (vouched(done.checkpoint, keys).as_of(2) or 0)

    minute()
    assert max(minute() for _ in range(300)) < 600
    town.calls.clear()
    town.down = {witness.url for witness in known}
    ages = [minute() for _ in range(300)]
    assert ages[-1] > 600
    assert len(town.calls) < 2 * 300
    town.down = set()
    assert any(minute() == 0 for _ in range(9))
    assert max(minute() for _ in range(60)) < 600


def test_what_others_bring_is_served_if_it_is_newer(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """An older cosignature takes no newer one's place; lines of nobody are dropped; one that is
    wrong, or under another checkpoint, is refused.
    """
    sequencer, storage = log
    witness = town.witness("w.example")
    signer = WitnessDirectory(town.root / "w.example").signer()
    stranger = note_signer("x.example", Kind.COSIGNATURE)
    gather, keys = town.gather(), [witness.key]
    served = sequencer.checkpoint()

    def brought(*lines: Signature, text: str = served.note.text) -> SignedCheckpoint:
        note = Note(text, (*served.note.signatures, *lines))
        return SignedCheckpoint(parse_checkpoint(text), note)

    text = served.note.text
    for at, expected in ((50, 50), (40, 50), (60, 60), (60, 60)):
        lines = (stranger.cosignature(text, 70), signer.cosignature(text, at))
        after = gather.merge(sequencer, keys, brought(*lines))
        assert vouched(after, keys).as_of(1) == expected
        assert len(after.note.signatures) == 2
        assert storage.published() == after.encode()
    wrong = replace(signer.cosignature(text, 80), signature=bytes(72))
    with pytest.raises(Untrusted):
        gather.merge(sequencer, keys, brought(wrong))
    sequencer.append([b"more"])
    with pytest.raises(Conflict) as refused:
        gather.merge(sequencer, keys, brought(signer.cosignature(text, 90)))
    assert refused.value.code == "log-grew"


def test_a_witness_that_saw_more_than_there_is_is_told(
    town: Town, log: tuple[Sequencer, DirectoryLogStorage]
) -> None:
    """The log went back, or was forked elsewhere: the owner has to look, and it is asked less often."""
    sequencer, storage = log
    witness = town.witness("w.example")
    longer = NaiveLog([b"%d" % number for number in range(400)], note_signer(ORIGIN))
    shown = AddCheckpoint(0, (), longer.checkpoint().note).encode()
    assert town.post(witness.url, shown).status == 200
    gather = town.gather()
    done = gather(sequencer, storage, [witness], wait=20)
    assert done.failed["w.example"].code == "witness-ahead"
    assert [(origin, name) for origin, name, _ in town.refused] == [(ORIGIN, "w.example")]
    calls = len(town.calls)
    gather(sequencer, storage, [witness], wait=20)
    assert len(town.calls) == calls
