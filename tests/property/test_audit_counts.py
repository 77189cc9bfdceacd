"""Random histories of the authority log: an auditor counts what devices count, at once or in steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, rule
from tests.attacks.trust_world import DEVICE
from tests.property.test_counting import CountingMachine

from allod.audit.activity import Place
from allod.cli.audit.run import Audit
from allod.cli.audit.state import AuditDirectory, State
from allod.testing.client import SimulatedClient
from allod.wire.api import BindingEntry


class AuditMachine(CountingMachine):
    """The same owner, thieves and devices, and somebody who audits."""

    name = "the server"

    def __init__(self) -> None:
        super().__init__()
        self.memory = tempfile.TemporaryDirectory()

    @initialize()
    def begin_audits(self) -> None:
        """Nothing was audited yet."""
        self.seen = 0

    def file(self, path: str, cap: int) -> bytes | None:
        return self.sim.files.get(path)

    def bindings(self) -> Iterator[BindingEntry]:
        return iter(())

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        return iter(())

    @rule()
    def auditor_looks(self) -> None:
        """Since the last time."""
        self.check(Path(self.memory.name) / "kept")

    @rule()
    def another_auditor_looks(self) -> None:
        """From scratch; it comes to the same."""
        with tempfile.TemporaryDirectory() as name:
            self.check(Path(name))

    def check(self, directory: Path) -> None:
        """What counts is what a new device says; what does not is said, and nothing else is."""
        place = AuditDirectory(directory, self.sim.fleet)
        now = self.sim.now + timedelta(minutes=1)
        result = Audit(self, self.sim.fleet, place, place.load(), None, now, lambda _: None).run()
        assert {one.code for one in result.findings} <= {"log-entry-ignored"}
        assert result.unchecked == []
        late = SimulatedClient(self.sim, device=DEVICE)
        late.accept()
        state: State = place.load()
        assert state.roles[self.log.origin].newest == late.floors.counted

    def teardown(self) -> None:
        """Forget it."""
        self.memory.cleanup()


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestAuditCounts = AuditMachine.TestCase
TestAuditCounts.settings = _settings(4)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestAuditCountsLong(AuditMachine.TestCase):  # type: ignore[name-defined, misc]
    """The same, more often."""

    settings = _settings(40)
