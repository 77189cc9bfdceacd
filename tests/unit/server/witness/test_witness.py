"""The witness: what it cosigns, what it keeps before it answers, and what it never forgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from allod.errors import Conflict, InvalidInput, Unavailable
from allod.server.witness.directory import MAX_EVIDENCE, WitnessDirectory
from allod.server.witness.service import Witness
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import Checkpoint, vouched
from allod.tlog.note import Kind, NoteSigner, VerifierKey
from allod.tlog.proofs import consistency_proof
from allod.tlog.witness import SIZE_TYPE, AddCheckpoint, origin_hash, with_cosignatures

NAME = "witness.example/1"


@pytest.fixture
def log() -> NaiveLog:
    """A log of ten entries."""
    return NaiveLog([b"%d" % number for number in range(10)])


@pytest.fixture
def place(tmp_path: Path, log: NaiveLog) -> WitnessDirectory:
    """A witness that knows it."""
    directory = WitnessDirectory(tmp_path / "witness")
    directory.create(NAME, "127.0.0.1", 8448)
    directory.add_log(log.signer.key.name, (log.signer.key,))
    return directory


def witness_on(place: WitnessDirectory) -> Witness:
    """As a process that just started."""
    return Witness(place, place.signer(), lambda: 1_800_000_000.5)


def request(log: NaiveLog, old: int, new: int) -> bytes:
    """To cosign `new` entries, of which `old` were cosigned."""
    return AddCheckpoint(old, consistency_proof(old, new, log), log.checkpoint(new).note).encode()


def test_it_cosigns_growth_and_remembers_it(place: WitnessDirectory, log: NaiveLog) -> None:
    """From nothing, on from there, and after a restart; the time is the witness's own."""
    origin, keys = log.signer.key.name, [place.signer().key]
    for old, new in ((0, 4), (4, 4), (4, 10)):
        answer = witness_on(place).add_checkpoint(request(log, old, new))
        assert answer.status == 200
        signed = with_cosignatures(log.checkpoint(new), answer.body, keys)
        assert vouched(signed, keys).as_of(1) == 1_800_000_000
        assert place.latest(origin) == log.checkpoint(new).checkpoint


def test_another_size_is_named(place: WitnessDirectory, log: NaiveLog) -> None:
    """Who is behind, or ahead, learns the size that was cosigned, and nothing changes."""
    witness = witness_on(place)
    assert witness.add_checkpoint(request(log, 0, 6)).status == 200
    answer = witness.add_checkpoint(request(log, 3, 10))
    assert (answer.status, answer.body, answer.content_type) == (409, b"6\n", SIZE_TYPE)
    assert place.latest(log.signer.key.name).size == 6


def test_strangers_and_nonsense(place: WitnessDirectory, log: NaiveLog) -> None:
    """An unknown log, a stranger's signature and bytes that say nothing get their statuses."""
    witness = witness_on(place)
    other = NaiveLog([b"x"], note_signer("other.example/log"))
    forged = NaiveLog(log.entries, note_signer(log.signer.key.name, seed=1))
    assert witness.add_checkpoint(request(other, 0, 1)).status == 404
    assert witness.add_checkpoint(request(forged, 0, 1)).status == 403
    assert witness.add_checkpoint(b"old 0\n").status == 400
    assert place.latest(log.signer.key.name).size == 0


def test_a_fork_is_refused_and_kept(place: WitnessDirectory, log: NaiveLog) -> None:
    """The contradiction is kept with what it contradicts, but never without bound."""
    witness, origin = witness_on(place), log.signer.key.name
    witness.add_checkpoint(request(log, 0, 10))
    evidence = place.root / "logs" / origin_hash(origin) / "evidence"
    for number in range(MAX_EVIDENCE + 3):
        fork = NaiveLog([*log.entries[:9], b"fork %d" % number, b"more"])
        assert witness.add_checkpoint(request(fork, 10, 11)).status == 422
    assert len(list(evidence.glob("*.latest"))) == MAX_EVIDENCE
    assert len(list(evidence.iterdir())) == 2 * MAX_EVIDENCE
    assert place.latest(origin) == log.checkpoint(10).checkpoint


@dataclass
class FullDisk:
    """The directory's state, on a disk that fails before or after it kept what it was given."""

    inner: WitnessDirectory
    persists: bool

    def keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """As it is."""
        return self.inner.keys(origin)

    def latest(self, origin: str) -> Checkpoint:
        """As it is."""
        return self.inner.latest(origin)

    def keep(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Fail."""
        if self.persists:
            self.inner.keep(checkpoint, note)
        raise OSError(28, "no space")

    def keep_evidence(self, origin: str, request: bytes) -> None:
        """As it is."""
        self.inner.keep_evidence(origin, request)


@pytest.mark.parametrize("persists", [False, True])
def test_nothing_is_cosigned_before_it_is_kept(
    place: WitnessDirectory, log: NaiveLog, persists: bool
) -> None:
    """Not persisted, or persisted and reported failed: no cosignature leaves, and a fork from
    what was kept is refused; the log gets its cosignature when it asks again.
    """
    asked: list[bytes] = []
    signer = place.signer()

    def spy(message: bytes) -> bytes:
        asked.append(message)
        return signer.sign(message)

    spied = NoteSigner(signer.key, spy)
    with pytest.raises(OSError, match="no space"):
        Witness(FullDisk(place, persists), spied, lambda: 1.0).add_checkpoint(request(log, 0, 7))
    assert asked == []
    after = witness_on(place)
    known = place.latest(log.signer.key.name).size
    assert known == (7 if persists else 0)
    if persists:
        fork = NaiveLog([b"fork", *log.entries])
        assert after.add_checkpoint(request(fork, 7, 8)).status == 422
    assert after.add_checkpoint(request(log, known, 7)).status == 200


@pytest.mark.parametrize("harm", ["lost", "cut", "flipped"])
def test_a_damaged_state_is_no_first_visit(
    place: WitnessDirectory, log: NaiveLog, harm: str
) -> None:
    """Without its memory it cosigns nothing, also after the log was added again."""
    witness_on(place).add_checkpoint(request(log, 0, 7))
    origin = log.signer.key.name
    path = place.root / "logs" / origin_hash(origin) / "latest.json"
    data = path.read_bytes()
    if harm == "lost":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if harm == "cut" else data.replace(b"\\n7\\n", b"\\n6\\n"))
    place.add_log(origin, (log.signer.key,))
    for old in (0, 7):
        with pytest.raises(Unavailable, match="make a new witness"):
            witness_on(place).add_checkpoint(request(log, old, 10))


def test_its_directory(place: WitnessDirectory, log: NaiveLog) -> None:
    """One witness a directory, one process a witness; keys that only cosign are no log's."""
    key = place.signer().key
    assert place.create(NAME, "127.0.0.1", 8449) == key
    with pytest.raises(Conflict, match="lives there"):
        place.create("other.example/1", "127.0.0.1", 8448)
    with place.hold(), pytest.raises(Conflict, match="running"), place.hold():
        pass
    with pytest.raises(InvalidInput, match="does not sign logs"):
        place.add_log("x.example/log", (note_signer("x.example/log", Kind.COSIGNATURE).key,))
    with pytest.raises(InvalidInput, match="witness init"):
        _ = WitnessDirectory(place.root / "nowhere").settings
    assert [known.origin for known in place.logs()] == [log.signer.key.name]
