"""Gates: a stage opens by the gate key, and where success is needed by the canaries' own word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.trust.reports import report
from tests.unit.trust.test_delegates import KITCHEN, LAMP, ONE, wanted

from allod.domain.desired import PackageEntry, Software
from allod.domain.ids import DeviceId, Purl
from allod.domain.rollout import Needs, Rollout, Stage
from allod.errors import Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating
from allod.testing.owner import key_from
from allod.testing.repository import START, RepositorySimulator
from allod.trust.dsse import make_envelope
from allod.trust.gates import make_gate, open_gate
from allod.trust.keys import device_id, from_key
from allod.trust.open_stages import MAX_DELEGATED
from allod.wire.codec import encode, instant
from allod.wire.envelope import REPORT
from allod.wire.gate import CanaryReport, gate_path
from allod.wire.report import (
    ChangeReport,
    ConfigurationOnDevice,
    PackageReport,
    ReleaseOnDevice,
)
from allod.wire.trust import FleetDocument

CANARY = key_from("canary")
CANARY_ID = device_id(from_key(CANARY.public_key))
HOUR = timedelta(hours=1)


def plan(needs: Needs = Needs.TIME, *, bake: int = 0) -> PackageEntry:
    """A lamp that comes to the canary at once, and to all others an hour later."""
    stages = (
        Stage(START, canaries=frozenset({CANARY_ID})),
        Stage(START + HOUR, percent=100.0, needs=needs, bake_seconds=bake),
    )
    return replace(wanted(), rollout=Rollout("r1", stages, before=Software()))


@pytest.fixture
def world() -> Delegating:
    """A fleet with a gate key, and the rollout in the kitchen."""
    made = Delegating(RepositorySimulator())
    made.set_people()
    return made


def fleet(world: Delegating) -> FleetDocument:
    """`fleet.json` as devices accept it."""
    return SimulatedClient(world.fleet).accept().fleet


def canary(
    world: Delegating, at: int, *, sequence: int = 0, digest: str = ONE, **fields: Any
) -> CanaryReport:
    """What the canary reports so many seconds after the start."""
    package = PackageReport(
        package=LAMP,
        state="active",
        releases=[ReleaseOnDevice(provider="me", version="1.0", digest=digest, level="active")],
        configuration=ConfigurationOnDevice(digest=None),
        healthy=fields.pop("healthy", None),
    )
    made = report(
        sequence or at + 1,
        fleet=fields.pop("of", world.fleet.fleet),
        device=fields.pop("device", CANARY_ID),
        at=instant(START + timedelta(seconds=at)),
        packages=[package],
        **fields,
    )
    envelope = make_envelope(encode(made), REPORT, [CANARY])
    return CanaryReport(key=from_key(CANARY.public_key), report=envelope)


def refused(world: Delegating, entry: PackageEntry, reports: list[CanaryReport]) -> str:
    """Why a gate with these reports does not hold; empty: it does."""
    sim = world.fleet
    raw = make_gate(sim.fleet, "r1", 1, sim.now, [sim.owner.gate], reports)
    try:
        open_gate(raw, fleet(world), "r1", 1, [(LAMP, entry)])
    except Untrusted as error:
        return error.code
    return ""


def test_a_device_takes_the_gate_of_its_stage_once_the_plan_allows_it(world: Delegating) -> None:
    """Not asked for before its time; then fetched, kept, and open whoever withholds it."""
    world.fleet.set_packages(KITCHEN, {LAMP: plan()})
    client = SimulatedClient(world.fleet)
    world.open_gate("r1", 1)
    assert client.accept().gates == {}
    assert gate_path("r1", 1) not in world.fleet.asked
    world.fleet.pass_time(HOUR)
    assert client.accept().gates == {"r1": frozenset({1})}
    del world.fleet.files[gate_path("r1", 1)]
    assert client.accept().gates == {"r1": frozenset({1})}
    world.fleet.set_fleet(gate_key=from_key(key_from("other/gate").public_key))
    assert client.accept().gates == {"r1": frozenset({1})}
    assert SimulatedClient(world.fleet).accept().gates == {}
    world.fleet.set_packages(KITCHEN, {LAMP: wanted()})
    assert client.accept().gates == {}
    assert not [name for name in client.cached if name.startswith("gate-")]


def test_the_canary_asks_for_no_gate(world: Delegating) -> None:
    """The first stage needs none."""
    world.fleet.set_packages(KITCHEN, {LAMP: plan()})
    client = SimulatedClient(world.fleet, device=DeviceId(CANARY_ID))
    world.fleet.pass_time(HOUR)
    assert client.accept().gates == {}
    assert gate_path("r1", 1) not in world.fleet.asked


def test_gates_of_others_are_refused_and_stop_nothing(world: Delegating) -> None:
    """Another key, stage, rollout or fleet; and a fleet that named no gate key."""
    sim = world.fleet
    sim.set_packages(KITCHEN, {LAMP: plan()})
    sim.pass_time(HOUR)
    good = [sim.owner.gate]
    for raw, code in (
        (make_gate(sim.fleet, "r1", 1, sim.now, [key_from("thief")]), "auth"),
        (make_gate(sim.fleet, "r1", 2, sim.now, good), "wrong-gate"),
        (make_gate(sim.fleet, "r2", 1, sim.now, good), "wrong-gate"),
        (make_gate("e" * 64, "r1", 1, sim.now, good), "wrong-fleet"),  # type: ignore[arg-type]
        (b"{", "bad-json"),
    ):
        sim.files[gate_path("r1", 1)] = raw
        view = SimulatedClient(sim).accept()
        assert view.gates == {}
        assert [(one.code, one.subject) for one in view.refusals] == [(code, gate_path("r1", 1))]
    sim.set_fleet()
    sim.files[gate_path("r1", 1)] = make_gate(sim.fleet, "r1", 1, sim.now, good)
    assert [one.code for one in SimulatedClient(sim).accept().refusals] == ["no-gate-key"]


def test_success_is_the_canarys_own_signed_word(world: Delegating) -> None:
    """The new release runs there, not unhealthy; other devices, fleets and releases do not help."""
    entry = plan(Needs.SUCCESS)
    assert refused(world, entry, [canary(world, 60)]) == ""
    assert refused(world, entry, [canary(world, 60, healthy=True)]) == ""
    stranger = CanaryReport(key=from_key(key_from("x").public_key), report=canary(world, 60).report)
    for reports in (
        [],
        [canary(world, 60, healthy=False)],
        [canary(world, 60, digest="sha256:" + "9" * 64)],
        [canary(world, 60, of="e" * 64)],
        [canary(world, 60, device="d" * 64)],
        [stranger],
        [canary(world, 60), canary(world, 90, healthy=False)],
    ):
        assert refused(world, entry, reports) == "canary-unproved"


def test_it_has_to_run_well_for_as_long_as_the_plan_says(world: Delegating) -> None:
    """From the activation, or the first report, to the last; an ill one in between begins anew."""
    entry = plan(Needs.SUCCESS, bake=600)
    change = ChangeReport(at=instant(START), package=LAMP, what="activated", after=ONE)
    assert refused(world, entry, [canary(world, 599, changes=[change])]) == "canary-unproved"
    assert refused(world, entry, [canary(world, 600, changes=[change])]) == ""
    assert refused(world, entry, [canary(world, 600)]) == "canary-unproved"
    assert refused(world, entry, [canary(world, 10), canary(world, 610)]) == ""
    ill = canary(world, 300, healthy=False)
    assert refused(world, entry, [canary(world, 10), ill, canary(world, 610)]) == "canary-unproved"
    assert refused(world, entry, [canary(world, 610), canary(world, 10)]) == ""


def test_what_ran_before_the_rollout_proves_nothing_about_it(world: Delegating) -> None:
    """The same release once ran on the canary: those reports are no word about this rollout."""
    entry = plan(Needs.SUCCESS, bake=600)
    long_ago = [canary(world, -90_000, sequence=1), canary(world, -86_400, sequence=2)]
    assert refused(world, entry, long_ago) == "canary-unproved"
    assert refused(world, plan(Needs.SUCCESS), long_ago) == "canary-unproved"
    late = canary(world, 599, sequence=3)
    assert refused(world, entry, [*long_ago, late]) == "canary-unproved"
    before = ChangeReport(at=instant(START - HOUR), package=LAMP, what="activated", after=ONE)
    told = canary(world, 60, sequence=3, changes=[before])
    assert refused(world, entry, [told]) == "canary-unproved"
    assert refused(world, entry, [told, canary(world, 600, sequence=4)]) == ""


def test_a_plan_without_canaries_never_succeeds(world: Delegating) -> None:
    """Nobody to prove it is no proof."""
    bare = plan(Needs.SUCCESS)
    assert bare.rollout is not None
    stages = (replace(bare.rollout.stages[0], canaries=frozenset()), bare.rollout.stages[1])
    entry = replace(bare, rollout=replace(bare.rollout, stages=stages))
    assert refused(world, entry, [canary(world, 60)]) == "canary-unproved"


def test_a_delegates_flood_of_rollouts_is_not_asked_for(world: Delegating) -> None:
    """Each gate is a question to the source at every look; of a delegate's the first few are put."""
    world.grant("ops", [KITCHEN], ["pkg:generic/acme/*"])
    world.set_manager(KITCHEN, "pkg:generic/acme/*", "ops")
    open_plan = plan().rollout
    assert open_plan is not None
    flood = {
        Purl(f"pkg:generic/acme/x{n:03d}"): replace(
            wanted(), rollout=replace(open_plan, id=f"r{n:03d}")
        )
        for n in range(MAX_DELEGATED + 30)
    }
    world.order("ops", KITCHEN, flood)
    world.open_gate("r000", 1)
    world.fleet.pass_time(HOUR)
    assert SimulatedClient(world.fleet).accept().gates == {"r000": frozenset({1})}
    asked = [path for path in world.fleet.asked if path.startswith("gates/")]
    assert len(asked) == MAX_DELEGATED


def test_a_delegates_rollout_does_not_open_the_owners(world: Delegating) -> None:
    """A delegate who uses the id of the owner's rollout changes nothing about it."""
    other = wanted("sha256:" + "8" * 64)
    lax = replace(other, rollout=plan().rollout)
    world.grant("ops", [KITCHEN])
    strict = plan(Needs.SUCCESS)
    fan = PackageEntry(software=Software("ops"))
    world.fleet.set_packages(KITCHEN, {LAMP: strict, "pkg:generic/acme/fan": fan})
    world.order("ops", KITCHEN, {"pkg:generic/acme/fan": lax})
    world.open_gate("r1", 1)
    world.fleet.pass_time(HOUR)
    view = SimulatedClient(world.fleet).accept()
    assert view.gates == {}
    assert [one.code for one in view.refusals] == ["canary-unproved"]
