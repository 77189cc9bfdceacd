"""Rule-based state machine of the owner's repository: owner, server and attacker in any order.

Whatever they do, a device's view is something that the owner signed for it, whole, and the
device's floors never fall unless the owner's root took them down by name.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.attacks.trust_world import CELLAR, DEVICE, KITCHEN, OWN, wants
from tuf.api.metadata import SuccinctRoles

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import GroupName
from allod.errors import AllodError
from allod.testing.attacker import OnlineAttacker
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, key_from
from allod.trust.floors import Floors
from allod.trust.metadata import BINS
from allod.trust.role_keys import HOME
from allod.wire.trust import Repair

GROUPS = st.sampled_from(["kitchen", "cellar"])
_BINS = SuccinctRoles([], 1, HOME.bin_bits, BINS)
MINE = _BINS.get_role_for_target(OWN.target_path)
OTHER = next(role for role in _BINS.get_roles() if role != MINE)


class RepositoryMachine(RuleBasedStateMachine):
    """One fleet, one device that looks now and then, one attacker with every online key."""

    @initialize()
    def begin(self) -> None:
        """The owner wants something of two groups."""
        self.sim = RepositorySimulator()
        self.number = 1
        self.rotations = 0
        self.signed: dict[str, set[str]] = {str(KITCHEN): set(), str(CELLAR): set()}
        self.owner_wants("kitchen")
        self.owner_wants("cellar")
        self.client = SimulatedClient(self.sim, device=DEVICE)
        self.attacker = OnlineAttacker(self.sim)
        self.honest = self.sim.snapshot_state()
        self.past: list[dict[str, bytes]] = [dict(self.sim.roles)]
        self.seen: list[Floors] = []
        self.repaired = False
        self.memberships: set[tuple[str, ...]] = {("kitchen",)}

    def published(self) -> None:
        """The owner and the honest server agree again; the attacker has read along."""
        self.sim.tamper.clear()
        self.past.append(dict(self.sim.roles))
        self.honest = self.sim.snapshot_state()

    # The owner

    def on_honest_base(self) -> None:
        """The owner's machine has floors of its own, so an owner only ever edits the newest."""
        for role, data in self.honest.roles.items():
            if role != "snapshot":
                self.sim.roles[role] = data
        for path, data in self.honest.files.items():
            if path != "tuf/timestamp.json":
                self.sim.files[path] = data

    @rule(group=GROUPS)
    def owner_wants(self, group: str) -> None:
        """Another version in a group."""
        scope = KITCHEN if group == "kitchen" else CELLAR
        if hasattr(self, "honest"):
            self.on_honest_base()
        self.number += 1
        version = f"{self.number}.0"
        self.sim.set_state(wants(self.sim, version, scope))
        self.signed[str(scope)].add(version)
        if hasattr(self, "past"):
            self.published()

    @rule(group=GROUPS)
    def owner_moves(self, group: str) -> None:
        """The device belongs to another group."""
        self.on_honest_base()
        record = DeviceRecord(1, groups=(GroupName(group),))
        self.sim.set_state(StateDocument(self.sim.fleet, OWN, device=record))
        self.memberships.add((group,))
        self.published()

    @rule(role=st.sampled_from(["root", "targets", "online"]))
    def owner_rotates(self, role: str) -> None:
        """Other keys."""
        self.on_honest_base()
        self.rotations += 1
        if role == "root":
            self.sim.rotate_root([key_from(f"root{self.rotations}")])
        elif role == "targets":
            self.sim.rotate_targets([key_from(f"targets{self.rotations}")])
        else:
            self.sim.rotate_online()
        self.published()

    @rule()
    def owner_repairs(self) -> None:
        """The owner takes down the floors of what the online keys may have run up."""
        self.on_honest_base()
        self.sim.add_statement(repairs=[Repair(roles={"snapshot": 1, "timestamp": 1})])
        self.sim.refresh({r: d for r, d in self.sim.roles.items() if r not in {"root", "snapshot"}})
        self.published()

    # The server, honest or not

    @rule(hours=st.integers(1, 200))
    def time_passes(self, hours: int) -> None:
        """An hour to a week; an honest server signs anew."""
        self.sim.pass_time(timedelta(hours=hours))
        self.sim.refresh(
            {r: d for r, d in self.honest.roles.items() if r not in {"root", "snapshot"}}
        )

    def strike(self, forget: bool) -> None:
        """The device looks at what the attacker made, maybe without its cache."""
        if forget:
            self.client.cached.clear()
        self.device_looks()

    @rule(
        back=st.integers(1, 20),
        only=st.sampled_from(["targets", "devices", "all", "bin"]),
        forget=st.booleans(),
    )
    def attacker_replays(self, back: int, only: str, forget: bool) -> None:
        """Old roles under new online signatures: one of them, or all."""
        self.sim.tamper.clear()
        old = self.past[-1 - back % len(self.past)]
        roles = {
            role: data
            for role, data in old.items()
            if role not in {"root", "snapshot"}
            and (only in {role, "all"} or (only == "bin" and role.startswith("devices-bins")))
        }
        self.attacker.show(roles)
        self.strike(forget)

    @rule(back=st.integers(0, 20), forget=st.booleans())
    def attacker_exchanges(self, back: int, forget: bool) -> None:
        """A bin's file under the name of the bin that could hold the device's document."""
        self.sim.tamper.clear()
        old = self.past[-1 - back % len(self.past)]
        self.attacker.show({MINE: old[OTHER]})
        self.strike(forget)

    @rule(index=st.integers(0, 500), how=st.sampled_from(["gone", "cut", "flip"]))
    def attacker_tampers(self, index: int, how: str) -> None:
        """Any file: withheld, cut short, a bit turned over."""
        paths = sorted(self.sim.files)
        change = {
            "gone": lambda data: None,
            "cut": lambda data: data and data[: len(data) // 2],
            "flip": lambda data: data and data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        }[how]
        self.sim.tamper[paths[index % len(paths)]] = change
        self.strike(forget=False)

    @rule(number=st.sampled_from([2**40, 2**62]), forget=st.booleans())
    def attacker_runs_ahead(self, number: int, forget: bool) -> None:
        """Versions far ahead: at most a lock-out, never another state."""
        self.attacker.show({}, snapshot_version=number, timestamp_version=number)
        self.strike(forget)

    @rule()
    def cache_is_lost(self) -> None:
        """The device's cache is gone; its floors are not."""
        self.client.cached.clear()

    @rule(name=st.integers(0, 50))
    def cache_is_damaged(self, name: int) -> None:
        """A byte of the cache changes."""
        if self.client.cached:
            names = sorted(self.client.cached)
            key = names[name % len(names)]
            self.client.cached[key] = self.client.cached[key][:-3] + b"???"

    # The device

    @rule()
    def device_looks(self) -> None:
        """What it accepts, the owner signed: for this group, in a membership that the owner named."""
        try:
            view = self.client.accept()
        except AllodError:
            return
        assert view.groups in self.memberships
        for scope, document in view.documents.items():
            if scope == OWN:
                continue
            assert scope.name in view.groups
            for entry in document.packages.values():
                assert entry.software is not None
                assert entry.software.active is not None
                assert entry.software.active.version in self.signed[str(scope)]

    @rule()
    def the_owner_always_gets_through(self) -> None:
        """After a repair, new online keys and an honest server the newest state arrives."""
        self.on_honest_base()
        self.rotations += 1
        self.sim.tamper.clear()
        self.sim.add_statement(repairs=[Repair(roles={"snapshot": 1, "timestamp": 1})])
        self.sim.rotate_online()
        self.sim.refresh({r: d for r, d in self.sim.roles.items() if r not in {"root", "snapshot"}})
        self.published()
        view = self.client.accept()
        group = view.groups[0]
        document = view.documents[KITCHEN if group == "kitchen" else CELLAR]
        software = next(iter(document.packages.values())).software
        assert software is not None
        assert software.active is not None
        newest = max(self.signed[f"groups/{group}"], key=float)
        assert software.active.version == newest

    @invariant()
    def floors_never_fall(self) -> None:
        """But snapshot and timestamp, where the root named them."""
        for floors in self.client.kept:
            if self.seen:
                before = self.seen[-1]
                assert floors.root_version >= before.root_version
                assert floors.trust_number >= before.trust_number
                assert floors.time >= before.time
                assert floors.epoch >= before.epoch
                repaired = floors.trust_number > before.trust_number
                for role, version in before.roles.items():
                    if not (repaired and role in {"snapshot", "timestamp"}):
                        assert floors.roles[role] >= version
            self.seen.append(floors)
        self.client.kept.clear()


TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
