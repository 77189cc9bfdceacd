"""Random histories of a device under a delegate's terms, against a naive clock of our own.

Orders, answers, power cuts in the middle of runs, restarts, revocations and clocks that are set
forward come in any order. The oracle knows only what really runs and how much time really
passed: no change comes before the release was known for so long, more often than so often, or
without an answer to just this order.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from allod import durable
from allod.agent import supervisor_consent
from allod.domain.ids import Digest
from allod.domain.terms import Consent, Rate, Soak
from allod.testing.device import FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk

SOAK, DAY, CHANGES = 3600, 86_400, 2
SLACK = 120  #: seconds that health checks take, and by which clocks may part unnoticed


@pytest.fixture
def swift_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh directory in memory; fsync costs nothing there and is left out."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made below it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


class History:
    """One device, one delegate, and what happens to them."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311 - it is to be repeated
        self.patch = patch
        self.device, self.owner = FakeDevice(place / "state"), Owner()
        self.passed = 0.0  #: seconds that really passed
        self.known: dict[Digest, float] = {}  #: release -> when the device first worked with it
        self.changed: list[float] = []
        self.order = 0
        self.agreed: set[int] = set()
        self.wanted: Digest | None = None
        self.granted = True
        self.trace: list[str] = []
        self.made = [self.device.publish(f"{n}.0") for n in range(4)]
        self.owner.deploy(self.made[0])
        self.device.run(self.owner.view())
        self.owner.grant("ops", Soak(SOAK), Rate(CHANGES, DAY), Consent())

    def goes_on(self) -> None:
        """One thing happens."""
        moves: dict[Callable[[], None], int] = {
            self.all_in_turn: 6,
            self.orders: 2,
            self.answers: 2,
            self.answers_late: 1,
            self.time_passes: 4,
            self.clock_is_set: 2,
            self.runs: 3,
            self.runs_and_is_struck: 4,
            self.reboots: 1,
            self.revoked if self.granted else self.granted_again: 1 if self.granted else 8,
        }
        (move,) = self.chance.choices(list(moves), list(moves.values()))
        self.trace.append(move.__name__)
        move()

    def orders(self) -> None:
        """The delegate wants one of its releases."""
        number = self.chance.randint(1, 3)
        if self.granted:
            self.owner.speak("ops", self.made[number])
            self.order += 1
            self.wanted = self.made[number][1]

    def answers(self) -> None:
        """Somebody at the device answers what is shown."""
        agrees = self.chance.random() < 0.8  # noqa: PLR2004
        root = str(self.device.state.root)
        for question in supervisor_consent.questions(root):
            if question["digest"] != self.wanted or f"change-{self.owner.changes}" not in str(
                question["attempt"]
            ):
                continue  # an older question; its answer may not count for the newer order
            assert supervisor_consent.answer(root, str(question["id"]), agrees, "somebody") == ""
            (self.agreed.add if agrees else self.agreed.discard)(self.order)

    def answers_late(self) -> None:
        """Somebody agrees to whatever is shown, be it out of date."""
        root = str(self.device.state.root)
        for question in supervisor_consent.questions(root):
            supervisor_consent.answer(root, str(question["id"]), True, "somebody")
            if f"change-{self.owner.changes}" in str(question["attempt"]):
                self.agreed.add(self.order)

    def all_in_turn(self) -> None:
        """An order, a look, an answer, a while or what looks like one, and another look."""
        self.orders()
        self.runs()
        self.answers()
        self.chance.choice([self.time_passes, self.time_passes, self.clock_is_set])()
        self.chance.choice([self.runs, self.runs_and_is_struck])()

    def time_passes(self) -> None:
        """Really."""
        minutes = self.chance.choice([5, 30, 61, 61, 61, 400, 1441])
        self.device.pass_time(minutes=minutes)
        self.passed += minutes * 60

    def clock_is_set(self) -> None:
        """No time passes, and the device looks before it restarts."""
        ticks = self.device.hardware.clock.ticks
        self.device.pass_time(hours=self.chance.choice([2, 30]))
        self.device.hardware.clock.ticks = ticks
        self.runs()

    def revoked(self) -> None:
        """The owner takes the word back."""
        self.gone = self.owner.delegates.pop("ops")
        self.granted = False

    def granted_again(self) -> None:
        """The owner lets them go on."""
        self.owner.delegates["ops"] = self.gone
        self.granted = True

    def runs(self) -> None:
        """A run of the agent."""
        self._run(None)

    def runs_and_is_struck(self) -> None:
        """A run that is cut, or whose disk fails, somewhere; then the next one."""
        with self.patch.context() as disk:
            faults = Faults(self.chance.randint(1, 120), self.chance.choice(list(Strike)))
            for name, stand_in in frail_disk(faults).items():
                disk.setattr(durable, name, stand_in)
            with contextlib.suppress(Killed, OSError):
                self._run(faults)
        self._run(None)

    def reboots(self) -> None:
        """The machine restarts, and looks."""
        self.device.reboot()
        self.device.hardware.clock.ticks = 1.0
        self._run(None)

    def _run(self, faults: Faults | None) -> None:
        if self.wanted is not None and self.granted:
            self.known.setdefault(self.wanted, self.passed)
        before = self.device.runs()
        try:
            self.device.run(self.owner.view(), faults)
        finally:
            self._judge(before)

    def _judge(self, before: tuple[Digest, str] | None) -> None:
        """What the oracle says of what runs now."""
        after = self.device.runs()
        if after is None or before is None or after == before:
            return
        if after[0] == self.made[0][1]:
            return  # it went back to what the owner ordered
        assert self.granted, "a change by a word that was taken back"
        assert after[0] == self.wanted, "a change that is not ordered"
        assert self.passed - self.known[after[0]] >= SOAK - SLACK, "it was not known for so long"
        recent = [at for at in self.changed if at > self.passed - DAY + SLACK]
        assert len(recent) < CHANGES, "more changes than so many"
        assert self.order in self.agreed, "nobody agreed to this order"
        self.changed.append(self.passed)


@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 30, 10)], ids=str)
def test_no_history_leads_out_of_the_terms(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    """Thirty histories of fifty moves; a seed that fails fails again, and its moves are named."""
    changes = 0
    for seed in seeds:
        history = History(swift_directory / str(seed), monkeypatch, seed)
        try:
            for _ in range(50):
                history.goes_on()
        except BaseException as error:
            error.add_note(f"seed {seed}: {', '.join(history.trace)}")
            raise
        changes += len(history.changed)
    assert changes > len(seeds), "histories in which nothing happens prove nothing"
