"""A hostile delegate and the engine: nobody else's package is reached, or held up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from allod.agent import engine
from allod.agent.engine_wish import next_wish
from allod.agent.supervisor_consent import answer, questions
from allod.domain.condition import Verb
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Software,
)
from allod.domain.ids import Digest, Purl
from allod.domain.release import Release
from allod.domain.rollout import Rollout, Stage, stage_of
from allod.domain.terms import Consent
from allod.testing.device import DEVICE, TOASTER, FakeDevice, Owner
from allod.testing.machine import START
from allod.wire.report import REPORT_CAP

BUTLER = Purl("pkg:generic/acme/butler")
Made = tuple[Release, Digest]


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """An empty device."""
    return FakeDevice(tmp_path / "state")


@pytest.fixture
def owner() -> Owner:
    """Its owner."""
    return Owner()


def wants(release: Made, **fields: Any) -> PackageEntry:
    """A delegate's entry."""
    made, digest = release
    order = ReleaseOrder(made.provider, made.version, digest, Level.ACTIVE)
    change = ChangeNote(1, fields.pop("change", "theirs"), START)
    return PackageEntry(software=Software(releases=(order,)), change=change, **fields)


def test_a_delegates_rollout_makes_no_stage_of_the_owners_come(
    device: FakeDevice, owner: Owner
) -> None:
    """Neither its plan's id nor its change's is the owner's, whoever copies them."""
    first, second = device.publish("1.0"), device.publish("2.0")
    owner.deploy(first)
    device.run(owner.view())
    stages = (Stage(START, 1.0), Stage(START + timedelta(days=7), 100.0))
    name = next(f"r{n}" for n in range(100) if stage_of(Rollout(f"r{n}", stages), DEVICE) == 1)
    before = owner.document().packages[TOASTER].software
    owner.deploy(second, rollout=Rollout(name, stages, before=before))
    change = owner.document().packages[TOASTER].change
    assert change is not None
    owner.grant("evil", packages=(BUTLER,))
    mine = Rollout(name, (Stage(START, 100.0),), before=Software())
    entry = wants(device.publish("1.0", BUTLER), rollout=mine, change=change.id)
    owner.write("evil", packages={BUTLER: entry})
    for _ in range(3):
        device.run(owner.view())
    assert device.version(BUTLER) == "1.0"
    assert device.version() == "1.0", "the owner's plan has not come here"


@pytest.mark.parametrize("name", ["a" * 300, "\0", "\ud800", "a b", "../b"])
def test_what_a_delegate_calls_a_package_stops_nothing(
    device: FakeDevice, owner: Owner, name: str
) -> None:
    """A key that is no package's name, and could not be read, is nobody's package."""
    owner.deploy(device.publish("1.0"))
    owner.grant("evil", packages=("pkg:generic/evil/*",))
    owner.write("evil", unreadable={f"pkg:generic/evil/{name}": "it is no name"})
    device.run(owner.view())
    assert device.version() == "1.0"


def test_a_delegate_holds_up_no_package_but_their_own(device: FakeDevice, owner: Owner) -> None:
    """What they want to go together with the owner's package does not go; the owner's does."""
    owner.deploy(device.publish("1.0"))
    owner.grant("evil", packages=(BUTLER,))
    entry = wants(device.publish("1.0", BUTLER), together=(TOASTER,))
    owner.write("evil", packages={BUTLER: entry})
    device.run(owner.view())
    assert device.version() == "1.0"
    assert device.version(BUTLER) is None
    refused = {(one["code"], one["subject"]) for one in device.said()[-1]["refusals"]}
    assert refused == {("together-apart", BUTLER)}


def test_a_restart_at_the_end_of_time_stops_nothing(device: FakeDevice, owner: Owner) -> None:
    """The latest time that can be written is a time like any other."""
    owner.deploy(device.publish("1.0"))
    owner.grant("evil", packages=(BUTLER,), verbs=frozenset({Verb.RESTART}))
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    owner.write("evil", restarts=(Restart("r", end, end),))
    outcome = device.run(owner.view())
    assert device.version() == "1.0"
    assert next_wish(outcome, START) == end


def test_more_packages_than_rounds_end_all_the_same(
    device: FakeDevice, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run has as many rounds as there are packages to change."""
    monkeypatch.setattr(engine, "MAX_ROUNDS", 4)
    owner.deploy(device.publish("1.0"))
    owner.grant("evil", packages=("pkg:generic/evil/*",))
    names = [Purl(f"pkg:generic/evil/p{n}") for n in range(6)]
    packages = {str(name): wants(device.publish("1.0", name, service=None)) for name in names}
    owner.write("evil", packages=packages)
    device.run(owner.view())
    assert device.version() == "1.0"


def test_consent_is_not_good_for_a_second_time(device: FakeDevice, owner: Owner) -> None:
    """After something else ran, the same order under the same name is asked about again."""
    first, second = device.publish("1.0"), device.publish("2.0")
    owner.grant("evil", Consent())

    def order(release: Made) -> str | None:
        owner.write("evil", packages={TOASTER: wants(release)})
        device.run(owner.view())
        return device.version()

    def agree() -> str | None:
        (asked,) = questions(str(device.state.root))
        answer(str(device.state.root), str(asked["id"]), agrees=True, by="test")
        device.run(owner.view())
        return device.version()

    assert order(first) is None
    assert agree() == "1.0"
    assert order(second) == "1.0"
    assert agree() == "2.0"
    assert order(first) == "2.0", "nobody agreed to going back"


def test_a_delegates_refusals_do_not_crowd_out_the_report(device: FakeDevice, owner: Owner) -> None:
    """A report has room for so many, and for the owner's own first; it stays one that can be read."""
    release, digest = device.publish("1.0", access=frozenset({"camera"}))
    owner.deploy((release, digest), accepts=Accepts())
    owner.grant("evil", packages=("pkg:generic/acme/*",))
    names = [f"pkg:generic/acme/p{n}" for n in range(400)]
    owner.write("evil", unreadable=dict.fromkeys(names, "x" * 5_000))
    device.run(owner.view())
    said = device.said()[-1]
    assert len(said["refusals"]) == 256
    assert ("access-not-accepted", TOASTER) in {(o["code"], o["subject"]) for o in said["refusals"]}
    assert "refusals-left-out" in {one["code"] for one in said["alarms"]}
    assert len(json.dumps(said)) < REPORT_CAP / 2
