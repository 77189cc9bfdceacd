"""What every service manager keeps to, whether it is real, recorded or a fake."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.ports import ServiceManager, ServiceUnit
from allod.agent.services.process import ProcessServiceManager
from allod.agent.services.systemd import SystemdServiceManager
from allod.testing.agent import FakeServices, FakeSnapshots
from allod.testing.payloads import PACKAGE, payload
from allod.testing.systemd import RecordedSystemd

RELEASE = payload()
SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


@pytest.fixture
def unit(tmp_path: Path) -> ServiceUnit:
    """A service that sleeps, with a tree, data and configuration."""
    tree = tmp_path / "store" / RELEASE.digest[7:] / "tree"
    for place in (tree, tmp_path / "config", tmp_path / "data"):
        place.mkdir(parents=True)
    (tmp_path / "config/config").write_text("{}")
    return ServiceUnit(
        package=PACKAGE,
        name="toaster",
        command=SLEEP,
        environment={},
        directory=tree,
        data=tmp_path / "data",
        configuration=tmp_path / "config",
        access=frozenset({"root"}),
        stop_seconds=2,
    )


@pytest.fixture(params=["process", "systemd", "fake"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    """Each adapter in turn; systemd over a recorder of its commands."""
    if request.param == "process":
        found: ServiceManager = ProcessServiceManager(tmp_path / "services")
    elif request.param == "systemd":
        recorded = RecordedSystemd.install(tmp_path / "programs", tmp_path / "units")
        found = SystemdServiceManager(
            tmp_path,
            units=recorded.units,
            sysusers=tmp_path / "users",
            programs=str(recorded.programs),
        )
    else:
        found = FakeServices(FakeSnapshots({}), {RELEASE.digest: RELEASE.release})
    yield found
    found.stop(PACKAGE)


def test_nothing_runs_before_it_is_started(manager: ServiceManager) -> None:
    """A package that was never started does not run; stopping and reloading it are fine."""
    assert not manager.state(PACKAGE).running
    manager.stop(PACKAGE)
    assert manager.missing_access(PACKAGE) == frozenset()


def test_start_and_stop_do_what_they_say_and_can_be_repeated(
    manager: ServiceManager, unit: ServiceUnit
) -> None:
    """Twice is as once, in both directions."""
    for _ in range(2):
        manager.start(unit)
        assert manager.state(PACKAGE).running
    assert manager.state(PACKAGE).restarts == 0
    manager.reload(PACKAGE) if manager.name != "process" else None
    for _ in range(2):
        manager.stop(PACKAGE)
        assert not manager.state(PACKAGE).running


def test_another_unit_takes_the_place_of_the_first(
    manager: ServiceManager, unit: ServiceUnit
) -> None:
    """Exactly the unit that was asked for last runs."""
    manager.start(unit)
    first = manager.state(PACKAGE)
    time.sleep(0.05)
    manager.start(replace(unit, environment={"A": "b"}))
    second = manager.state(PACKAGE)
    assert second.running
    if manager.name == "process":
        assert first.detail != second.detail
