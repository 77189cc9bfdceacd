"""Every write of the controller fails or dies once, before and after it took effect.

Then the server starts again and looks again: the gate opens, exactly one; devices are told of it; a
halt stays a halt, with its alarm; and nothing opens that must not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.server.rollout_rig import OLD, RolloutRig

from allod.domain.rollout import Needs
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.testing.faults import Faults, Frail, Killed, Strike
from allod.testing.server import ServerRig

pytestmark = pytest.mark.slow
READS = frozenset({"devices", "device", "reports", "report", "retired", "fleets", "fleet", "close"})


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the order of effects matters here."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(scope="module", params=["opens", "halts"])
def past(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RolloutRig:
    """A rollout whose canary was well, or went back, and about which nobody looked yet."""
    made = RolloutRig(ServerRig.make(tmp_path_factory.mktemp("past") / "server"))
    made.name_gate_key()
    made.bind("one", "two")
    made.order(
        made.plan(made.stage(canaries=["one"]), made.stage(100, after=1, needs=Needs.SUCCESS))
    )
    made.look()
    if request.param == "opens":
        made.says("one", changed=True)
    else:
        made.says("one", OLD, reverted=True)
    made.rig.clock.moment += timedelta(hours=2)
    made.rig.server.close()
    return made


def fork(past: RolloutRig, place: Path, faults: Faults | None) -> RolloutRig:
    """The same past on another directory, with ports that may be struck."""
    rig = past.rig.fork(place)
    made = RolloutRig(rig, dict(past.devices))
    if faults is not None:
        layout = rig.settings.layout
        rig.restart(
            files=Frail(DurableFiles(), faults),
            database=Frail(SqliteDatabase(layout.database), faults, READS),
        )
        faults.calls.clear()
    return made


def look(fleet: RolloutRig) -> None:
    fleet.rig.server.rollouts.look(fleet.rig.fleet)


def stands(fleet: RolloutRig) -> tuple[object, ...]:
    """What a device, an owner, and the log see."""
    shown = fleet.rig.server.rollouts.show(fleet.rig.fleet, "r1")
    alarms = fleet.rig.server.listings.alarms(fleet.rig.fleet).alarms
    opened = fleet.gate(1) is not None
    assert opened == (shown.stages[1].opened is not None)
    return shown.state, opened, [(one.code, one.subject) for one in alarms]


def each_strike(act: Callable[[Faults | None], RolloutRig]) -> Iterator[Faults]:
    counted = Faults()
    look(act(counted))
    for at in range(1, len(counted.calls) + 1):
        for strike in Strike:
            yield Faults(at=at, strike=strike)


def test_the_controller_forgets_and_repeats_nothing(past: RolloutRig, tmp_path: Path) -> None:
    """Whatever was cut off: one more look after a restart comes to what an undisturbed one does."""
    calm = fork(past, tmp_path / "calm", None)
    before = calm.rig.server.fleets.need(calm.rig.fleet).news
    look(calm)
    wanted, opened = stands(calm), calm.gate(1) is not None
    calm.rig.server.close()
    number = 0

    def begin(faults: Faults | None) -> RolloutRig:
        nonlocal number
        number += 1
        return fork(past, tmp_path / str(number), faults)

    for faults in each_strike(begin):
        fleet = begin(faults)
        with contextlib.suppress(OSError, Killed):
            look(fleet)
        first = fleet.gate(1)
        fleet.rig.restart()
        look(fleet)
        assert stands(fleet) == wanted, (faults.struck, faults.strike)
        assert first is None or fleet.gate(1) == first, "an open gate is not signed anew"
        news = fleet.rig.server.fleets.need(fleet.rig.fleet).news
        assert (news > before) == opened, "devices are told, if there is anything to tell"
        look(fleet)
        assert fleet.rig.server.fleets.need(fleet.rig.fleet).news == news, "and told no more"
        fleet.rig.server.close()
