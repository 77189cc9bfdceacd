"""Random histories of the authority log: a device acts on exactly what counts, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.attacks.trust_world import DEVICE, KITCHEN, OWN, wants

from allod.domain.desired import DeviceRecord, StateDocument
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, key_from
from allod.trust.metadata import SNAPSHOT, open_role

ROLES = ["root", "targets", "devices", "devices-bins-0", "delegation-x", "trust", "snapshot"]
FALSE = "sha256:" + "0" * 64


class CountingMachine(RuleBasedStateMachine):
    """An owner who works and rotates, a log that holds junk besides, devices new and old."""

    @initialize(witnesses=st.integers(0, 2))
    def begin(self, witnesses: int) -> None:
        """A fleet with a log, and a device that looks now and then."""
        self.log = AuthorityLog(witnesses=witnesses, quorum=max(witnesses, 1))
        self.sim = RepositorySimulator(log=self.log)
        self.number = self.rotations = 0
        self.former = [key_from("stranger")]
        self.owner_wants()
        self.client = SimulatedClient(self.sim, device=DEVICE)

    @rule()
    def owner_wants(self) -> None:
        """Another version in the kitchen."""
        self.number += 1
        self.sim.set_state(wants(self.sim, f"{self.number}.0"))

    @rule()
    def owner_names_the_device(self) -> None:
        """A document in a bin."""
        self.number += 1
        record = DeviceRecord(1, label=str(self.number))
        self.sim.set_state(StateDocument(self.sim.fleet, OWN, device=record))

    @rule(which=st.sampled_from(["root", "targets", "online"]))
    def owner_rotates(self, which: str) -> None:
        """Other keys; the former ones are somebody's loot."""
        self.rotations += 1
        if which == "root":
            self.former += self.sim.owner.root
            self.sim.rotate_root([key_from(f"root{self.rotations}")])
        elif which == "targets":
            self.former += self.sim.owner.targets
            self.sim.rotate_targets([key_from(f"targets{self.rotations}")])
        else:
            self.sim.rotate_online()

    @rule(role=st.sampled_from(ROLES), back=st.integers(0, 9), version=st.integers(1, 2**62))
    def somebody_logs(self, role: str, back: int, version: int) -> None:
        """Any claim, under a key that never had the role or has it no longer."""
        key = self.former[-1 - back % len(self.former)]
        self.log.sign(role, version, FALSE, [key])
        self.sim.publish_log()

    @rule(junk=st.binary(max_size=40), again=st.integers(0, 1000))
    def the_log_repeats_and_babbles(self, junk: bytes, again: int) -> None:
        """An old entry once more, and bytes that are none."""
        self.log.entries += [self.log.entries[again % len(self.log.entries)], junk]
        self.sim.publish_log()

    @rule()
    def the_log_is_lost(self) -> None:
        """The root names a successor; every role is logged anew as it stands."""
        self.log.succeed()
        self.sim.log_everything()
        self.sim.add_statement()

    @rule(days=st.integers(0, 60))
    def time_passes(self, days: int) -> None:
        """The server signs anew."""
        self.sim.pass_time(timedelta(days=days) / 2)
        self.sim.renew()

    @rule(forget=st.booleans())
    def device_looks(self, forget: bool) -> None:
        """It is where the owner is."""
        if forget:
            self.client.cached.clear()
        self.agrees(self.client)

    @rule()
    def new_device_looks(self) -> None:
        """So is one that reads the whole log at once, and it counts the same."""
        late = SimulatedClient(self.sim, device=DEVICE)
        self.agrees(late)
        self.agrees(self.client)
        assert late.floors.counted == self.client.floors.counted

    def agrees(self, client: SimulatedClient) -> None:
        """What counts is what the owner published last; the view shows it."""
        view = client.accept()
        counted = client.floors.counted
        for role, data in self.sim.roles.items():
            if role != SNAPSHOT:
                file = open_role(data, role)
                assert (counted[role].version, counted[role].digest) == (file.version, file.digest)
        assert set(counted) == set(self.sim.roles) - {SNAPSHOT} | {"trust"}
        assert view.authorities[KITCHEN].version == counted["targets"].version
        assert view.authorities[KITCHEN].log_index == counted["targets"].index

    @invariant()
    def floors_never_fall(self) -> None:
        """Neither the log's size nor what counts."""
        if hasattr(self, "client"):
            sizes = [kept.log_sizes for kept in self.client.kept]
            assert sizes == sorted(sizes)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestCounting = CountingMachine.TestCase
TestCounting.settings = _settings(6)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestCountingLong(CountingMachine.TestCase):  # type: ignore[name-defined, misc]
    """The same, more often."""

    settings = _settings(40)
