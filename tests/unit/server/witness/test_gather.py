"""Cosignatures are gathered from any number of witnesses; none that fails stops the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from allod.errors import Unavailable
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.sequencer import Sequencer
from allod.server.services.gather import FIRST_PAUSE, RENEW, Gather, KnownWitness
from allod.server.witness.directory import WitnessDirectory
from allod.server.witness.service import Witness
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.asking import Heard
from allod.tlog.checkpoint import vouched
from allod.tlog.witness import AddCheckpoint

ORIGIN = "log.example/one"


@dataclass
class Town:
    """Witnesses by address; some cannot be reached."""

    root: Path
    now: float = 1_800_000_000.0
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
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
    done = gather(sequencer, storage, known)
    assert vouched(done.checkpoint, keys).as_of(2) == int(town.now)
    assert [*done.failed] == ["w1.example"]
    served = storage.published()
    assert served == done.checkpoint.encode()
    town.calls.clear()
    gather(sequencer, storage, known)
    assert town.calls == []
    town.now += FIRST_PAUSE
    gather(sequencer, storage, known)
    assert town.calls == [known[1].url]
    town.now += FIRST_PAUSE
    gather(sequencer, storage, known)
    assert town.calls == [known[1].url]
    town.now += FIRST_PAUSE
    town.down = set()
    assert vouched(gather(sequencer, storage, known).checkpoint, keys).as_of(3) is not None
    town.now += RENEW
    assert vouched(gather(sequencer, storage, known).checkpoint, keys).as_of(3) == int(town.now)


def test_growth_and_restarts(town: Town, log: tuple[Sequencer, DirectoryLogStorage]) -> None:
    """A gatherer that forgot what a witness saw learns it from the witness; growth is proved."""
    sequencer, storage = log
    known = [town.witness("w.example")]
    town.gather()(sequencer, storage, known)
    sequencer.append([b"more %d" % number for number in range(700)])
    after = town.gather()(sequencer, storage, known)
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
    done = town.gather()(sequencer, storage, [witness])
    assert done.failed["w.example"].code == "witness-refused"
    assert [(origin, name) for origin, name, _ in town.refused] == [(ORIGIN, "w.example")]
    assert vouched(done.checkpoint, [witness.key]).as_of(1) is None
