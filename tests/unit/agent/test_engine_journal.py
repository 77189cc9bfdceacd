"""Journal first, then act: at every effect, the disk already says what is being done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from allod.agent.engine_ports import World
from allod.agent.journal import JournalStore
from allod.domain.desired import Level, Software
from allod.domain.release import Data
from allod.testing.device import TOASTER, FakeDevice, Owner


class Watcher:
    """A port, at each call of which the journal is read afresh from the disk."""

    def __init__(self, port: Any, device: FakeDevice, seen: list[tuple[str, str, int]]) -> None:
        self._port, self._device, self._seen = port, device, seen

    def __getattr__(self, name: str) -> Any:
        """The port's own, after a look at the journal."""
        found = getattr(self._port, name)
        if name not in {"fetch", "stage", "unstage", "start", "stop", "attempt", "take", "restore"}:
            return found

        def watched(*args: Any, **kwargs: Any) -> Any:
            work = JournalStore(self._device.state).load(TOASTER).work
            state = ("rest", 0) if work is None else (str(work.state), work.step)
            self._seen.append((name, *state))
            return found(*args, **kwargs)

        return watched


def test_the_journal_is_ahead_of_every_effect(tmp_path: Path) -> None:
    """State and step stand on the disk before fetch, stage, stop, copy, start, probe, undo, delete."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0", data=Data(1, (1,))))
    device.run(owner.view())
    seen: list[tuple[str, str, int]] = []
    real = device.world

    def world(faults: Any = None) -> World:
        made = real(faults)
        fields = {name: getattr(made, name) for name in World.__slots__}
        watched = {"source", "installer", "services", "probe", "snapshots"}
        return World(
            **{
                name: Watcher(port, device, seen) if name in watched else port
                for name, port in fields.items()
            }
        )

    device.world = world  # type: ignore[method-assign]
    sick = device.publish("2.0", data=Data(2, (1, 2)))
    device.hardware.probe.sick.add(sick[1])
    owner.deploy(sick)
    device.run(owner.view())
    distinct = list(dict.fromkeys(seen))
    assert distinct == [
        ("fetch", "transferring", 0),
        ("stage", "installing", 0),
        ("stop", "activating", 1),
        ("take", "activating", 2),
        ("start", "activating", 4),
        ("attempt", "probation", 4),
        ("stop", "reverting", 4),
        ("restore", "reverting", 2),
        ("start", "reverting", 1),
    ]
    seen.clear()
    owner.sign(software=Software())
    device.run(owner.view())
    assert ("stop", "activating", 1) in seen
    assert {entry for entry in seen if entry[0] == "unstage"} == {("unstage", "deleting", 0)}


def test_what_waits_for_the_restart_stands_in_the_journal(tmp_path: Path) -> None:
    """Levels below active leave nothing behind in it."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0"), level=Level.INSTALLED)
    device.run(owner.view())
    assert JournalStore(device.state).load(TOASTER).work is None
