"""A server whose fleet names witnesses: publications, idle logs, and witnesses that fail or lie."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from allod.errors import Unavailable
from allod.server.keys import load_log_key
from allod.server.services import witnesses
from allod.server.services.witnesses import add_witness
from allod.server.witness.directory import WitnessDirectory
from allod.server.witness.service import Witness
from allod.testing.logs import NaiveLog
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, entries_in, named, naming
from allod.tlog.asking import Heard
from allod.tlog.checkpoint import open_checkpoint, vouched
from allod.tlog.note import NoteSigner, VerifierKey, parse_key
from allod.tlog.witness import AddCheckpoint
from allod.wire.log import AlarmEntry, decode_activity
from allod.wire.trust import Witnesses

AGE = 600


@dataclass
class Witnessed:
    """A server, and two witnesses that answer as a test wants."""

    rig: ServerRig
    place: Path
    keys: dict[str, VerifierKey] = field(default_factory=dict)
    services: dict[str, Witness] = field(default_factory=dict)
    stuck: threading.Event | None = None  #: none answers before it is set
    down: bool = False
    calls: int = 0

    def post(self, url: str, body: bytes) -> Heard:
        """See `WitnessCalls`."""
        self.calls += 1
        if self.stuck is not None:
            self.stuck.wait(20)
        if self.down:
            raise Unavailable("witness-unavailable", "cannot reach it")
        answer = self.services[url].add_checkpoint(body)
        return Heard(answer.status, answer.body)

    def begin(self) -> None:
        """The fleet's owner names logs and witnesses, which know the logs."""
        for number in range(2):
            directory = WitnessDirectory(self.place / f"w{number}")
            directory.create(f"w{number}.example", "127.0.0.1", 8448)
            for log in named(self.rig):
                directory.add_log(log.origin, (parse_key(log.key),))
            url = f"https://w{number}"
            signer = directory.signer()
            self.keys[url] = signer.key
            self.services[url] = Witness(directory, signer, self.rig.clock.seconds)
            add_witness(self.rig.settings.layout, str(signer.key), url)
        self.rig.restart(witness_calls=self)
        keys = [str(key) for key in self.keys.values()]
        terms = Witnesses(keys=keys, quorum=2, max_age_seconds=AGE)
        self.rig.server.publish(self.rig.fleet, naming(self.rig, witnesses=terms))

    def age(self, name: str = "authority") -> float | None:
        """Of what a quorum says of a log, as it is served."""
        log = next(one for one in named(self.rig) if one.name == name)
        raw = self.rig.server.publications.logs.files(self.rig.fleet, name).published()
        assert raw is not None
        signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
        at = vouched(signed, self.keys.values()).as_of(2)
        return None if at is None else self.rig.clock.seconds() - at

    def round(self) -> None:
        """A round of the server's, and all that comes of it."""
        self.rig.server.gather()
        until(lambda: not any("witness " in one.name for one in threading.enumerate()))


def until(true: Callable[[], bool]) -> None:
    """Other threads are at it."""
    for _ in range(4000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it never came true")


@pytest.fixture
def witnessed(rig: ServerRig, tmp_path: Path) -> Iterator[Witnessed]:
    """All in order."""
    made = Witnessed(rig, tmp_path / "witnesses")
    made.begin()
    made.round()
    yield made
    if made.stuck is not None:
        made.stuck.set()


def test_a_change_is_vouched_for_when_it_is_published(witnessed: Witnessed) -> None:
    """Whoever hears of it finds the quorum at once, and not with the next round; a round has the
    other log cosigned too.
    """
    assert (witnessed.age(), witnessed.age("activity")) == (0, 0)
    witnessed.rig.clock.pass_time(seconds=100)
    witnessed.rig.server.publish(witnessed.rig.fleet, change(witnessed.rig))
    assert witnessed.age() == 0


def test_witnesses_that_do_not_answer_stop_no_publication(
    witnessed: Witnessed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a bounded time, once: while they are being asked nobody waits for them again; what
    they say in the end is served.
    """
    monkeypatch.setattr(witnesses, "QUORUM_SECONDS", 0.3)
    rig, witnessed.stuck = witnessed.rig, threading.Event()
    begin = time.monotonic()
    first = rig.server.publish(rig.fleet, change(rig))
    assert time.monotonic() - begin > 0.3
    assert witnessed.age() is None
    calls = witnessed.calls
    second = rig.server.publish(rig.fleet, change(rig, public=True))
    assert (second.news, witnessed.calls) == (first.news + 1, calls)
    witnessed.stuck.set()
    witnessed.round()
    witnessed.round()
    assert witnessed.age() == 0


def test_an_idle_log_stays_vouched_for_and_recovers_from_an_outage(witnessed: Witnessed) -> None:
    """For an hour without an entry its age stays below the greatest age; after an hour without witnesses
    it is below it again within that time.
    """
    rig = witnessed.rig

    def minute() -> float:
        rig.clock.pass_time(seconds=60)
        witnessed.round()
        return max(witnessed.age() or 0, witnessed.age("activity") or 0)

    assert max(minute() for _ in range(60)) < AGE
    witnessed.down = True
    calls = witnessed.calls
    assert [minute() for _ in range(60)][-1] > AGE
    assert witnessed.calls - calls <= 4 * 60
    witnessed.down = False
    assert min(minute() for _ in range(AGE // 60)) < 60
    assert max(minute() for _ in range(30)) < AGE


def test_a_witness_that_saw_another_history_is_a_logged_alarm(witnessed: Witnessed) -> None:
    """The owner is told, once a witness, and it stands in the activity log; changes go on."""
    rig = witnessed.rig
    log = next(one for one in named(rig) if one.name == "authority")
    own = load_log_key(rig.settings.layout)
    assert own is not None
    signer = NoteSigner(parse_key(log.key), own.sign)
    elsewhere = WitnessDirectory(witnessed.place / "other")
    elsewhere.create("w0.example", "127.0.0.1", 8448)
    elsewhere.add_log(log.origin, (signer.key,))
    witness = Witness(elsewhere, elsewhere.signer(), rig.clock.seconds)
    shown = NaiveLog([b"fork"], signer).checkpoint().note
    assert witness.add_checkpoint(AddCheckpoint(0, (), shown).encode()).status == 200
    witnessed.services["https://w0"] = witness
    for number in range(3):
        rig.server.publish(rig.fleet, change(rig, public=bool(number % 2)))
        witnessed.round()
        rig.clock.pass_time(hours=1)
    [alarm] = rig.server.stores.database.alarms(rig.fleet)
    assert (alarm.code, alarm.subject) == ("witness-refused", "w0.example")
    found = [decode_activity(entry) for entry in entries_in(rig, "activity")]
    assert [one.code for one in found if isinstance(one, AlarmEntry)] == ["witness-refused"]
