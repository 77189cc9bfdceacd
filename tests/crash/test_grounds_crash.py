"""What terms are judged by is durable before anything rests on it: no cut loosens a term.

Each scenario is run undisturbed once, to find the moments at which a kill leaves something new;
then it is killed at each of them, goes on as its supervisor would start it, and must have kept
to its term all along, and come to the same end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.crash.test_engine_crash import left_behind

from allod import durable
from allod.agent import supervisor_consent
from allod.domain.condition import Term
from allod.domain.desired import Restart
from allod.domain.terms import Consent, Rate, Soak
from allod.testing.device import FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk
from allod.testing.machine import START

DAY = 86_400


def scene(place: Path, *terms: Term) -> tuple[FakeDevice, Owner]:
    """Version 1.0 runs, and `ops` orders 1.1 under these terms."""
    device, owner = FakeDevice(place), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.grant("ops", *terms)
    owner.speak("ops", device.publish("1.1"))
    return device, owner


def struck(device: FakeDevice, owner: Owner, faults: Faults, patch: pytest.MonkeyPatch) -> None:
    """One run that is struck somewhere."""
    with patch.context() as disk:
        for name, stand_in in frail_disk(faults).items():
            disk.setattr(durable, name, stand_in)
        with contextlib.suppress(Killed, OSError):
            device.run(owner.view(), faults)


def at_every_moment(
    place: Path,
    patch: pytest.MonkeyPatch,
    begin: Callable[[Path], tuple[FakeDevice, Owner]],
    check: Callable[[FakeDevice, Owner], None],
) -> None:
    """Kill the run of `begin` at every moment, and `check` what comes of it."""
    device, owner = begin(place / "whole")
    counted = Faults(look=lambda: left_behind(device))
    struck(device, owner, counted, patch)
    check(device, owner)
    assert counted.telling
    for at in counted.telling:
        device, owner = begin(place / str(at))
        faults = Faults(at, Strike.KILL_BEFORE)
        struck(device, owner, faults, patch)
        try:
            check(device, owner)
        except BaseException as error:
            error.add_note(f"killed before call {at}, {faults.struck}")
            raise


def test_a_rate_is_kept_over_a_kill_at_every_moment(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One change a day: the one that was cut counts, once, and the next waits for its day."""

    def check(device: FakeDevice, owner: Owner) -> None:
        device.run(owner.view())
        assert device.version() == "1.1", "the change that was begun is not counted against itself"
        owner.speak("ops", device.publish("1.2"))
        device.run(owner.view())
        assert device.version() == "1.1", "a second change in one day"
        device.pass_time(days=1, minutes=1)
        device.run(owner.view())
        assert device.version() == "1.2"

    at_every_moment(swift_directory, monkeypatch, lambda place: scene(place, Rate(1, DAY)), check)


@pytest.mark.parametrize("agrees", [True, False])
def test_an_answer_is_kept_over_a_kill_at_every_moment(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch, *, agrees: bool
) -> None:
    """It is neither lost nor told twice; and what was declined does not slip through."""

    def begin(place: Path) -> tuple[FakeDevice, Owner]:
        device, owner = scene(place, Consent())
        device.run(owner.view())
        root = str(device.state.root)
        (question,) = supervisor_consent.questions(root)
        assert supervisor_consent.answer(root, str(question["id"]), agrees, "user 7") == ""
        return device, owner

    def check(device: FakeDevice, owner: Owner) -> None:
        for _ in range(2):
            device.run(owner.view())
        assert device.version() == ("1.1" if agrees else "1.0")
        told = [
            change["what"]
            for report in device.said()
            for change in report.get("changes", [])
            if change["what"] in {"agreed", "declined"}
        ]
        assert told == ["agreed" if agrees else "declined"]

    at_every_moment(swift_directory, monkeypatch, begin, check)


def test_a_soak_is_kept_over_a_kill_at_every_moment(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sight is kept or taken anew, never made earlier."""

    def check(device: FakeDevice, owner: Owner) -> None:
        device.pass_time(hours=1)
        device.run(owner.view())
        assert device.version() == "1.0"
        device.pass_time(hours=22, minutes=50)
        device.run(owner.view())
        assert device.version() == "1.0"
        device.pass_time(hours=2)
        device.run(owner.view())
        assert device.version() == "1.1"

    at_every_moment(swift_directory, monkeypatch, lambda place: scene(place, Soak(DAY)), check)


def test_a_restarts_rate_is_kept_over_a_kill_at_every_moment(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One restart a day, of two that a delegate orders: never two, wherever the power goes."""

    def begin(place: Path) -> tuple[FakeDevice, Owner]:
        device, owner = scene(place, Rate(1, DAY))
        latest = START + timedelta(hours=6)
        owner.write("ops", restarts=(Restart("a", START, latest), Restart("b", START, latest)))
        return device, owner

    def check(device: FakeDevice, owner: Owner) -> None:
        for _ in range(3):
            if device.hardware.restarter.reasons:
                device.reboot()
            device.run(owner.view())
            device.pass_time(hours=1)
        assert len(device.hardware.restarter.reasons) <= 1

    at_every_moment(swift_directory, monkeypatch, begin, check)


def test_a_disk_that_does_not_remember_lets_nothing_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where first sights and changes can't be written down, what needs them waits, and it is told."""
    device, owner = scene(tmp_path / "state", Rate(1, DAY), Soak(60))
    real = durable.write_atomic

    def full(path: Path, data: bytes, *, mode: int = 0o600) -> None:
        if path.parent == device.state.grounds:
            raise OSError(28, "No space left on device")
        real(path, data, mode=mode)

    monkeypatch.setattr(durable, "write_atomic", full)
    for _ in range(3):
        device.run(owner.view())
        device.pass_time(minutes=10)
    assert device.version() == "1.0"
    assert "disk" in {one["code"] for one in device.said()[-1]["alarms"]}
    monkeypatch.setattr(durable, "write_atomic", real)
    device.run(owner.view())
    device.pass_time(minutes=10)
    device.run(owner.view())
    assert device.version() == "1.1"
