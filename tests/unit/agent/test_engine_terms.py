"""The engine under delegations and terms: what waits, what is refused, what is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from allod.agent.engine_restart import MAX_DELEGATED, RestartBook
from allod.agent.engine_wish import next_wish
from allod.agent.supervisor_consent import questions
from allod.domain.approval import Approval
from allod.domain.condition import Verb
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.desired import (
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Software,
    When,
    Window,
)
from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.domain.rollout import Rollout, Stage, stage_of
from allod.domain.terms import Approvals, Consent, Lease, Rate, Soak, Windows
from allod.testing.device import ACME, DEVICE, TOASTER, FakeDevice, Owner
from allod.testing.machine import START
from allod.wire.codec import instant

Made = tuple[Release, Digest]


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """An empty device."""
    return FakeDevice(tmp_path / "state")


@pytest.fixture
def owner() -> Owner:
    """Its owner."""
    return Owner()


def first(device: FakeDevice, owner: Owner, **fields: Any) -> Made:
    """Make version 1 run by the owner's word."""
    release = device.publish("1.0", **fields)
    owner.deploy(release)
    device.run(owner.view())
    assert device.version() == "1.0"
    return release


def refused(device: FakeDevice) -> set[str]:
    """The codes of what the newest report refuses."""
    return {one["code"] for one in device.said()[-1].get("refusals", [])}


def pending(device: FakeDevice) -> list[dict[str, Any]]:
    """What the newest report says that the toaster waits for."""
    entries = device.said()[-1]["packages"]
    return next(one.get("pending", []) for one in entries if one["package"] == TOASTER)


def changes(device: FakeDevice, what: str) -> list[dict[str, Any]]:
    """All changes of a kind that were ever told."""
    return [
        change
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] == what
    ]


def test_a_delegates_order_is_done_and_told_as_theirs(device: FakeDevice, owner: Owner) -> None:
    """The receipt names delegation, role, what each term said, and who approved."""
    first(device, owner)
    owner.grant("ops", Approvals((("qa", 1),)))
    release = device.publish("1.1")
    owner.speak("ops", release)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert refused(device) == {"approvals-missing"}
    (document,) = owner.delegates["ops"].documents.values()
    entry = document.packages[TOASTER]
    approval = Approval("qa", "ann", START, "T-1")
    owner.write(
        "ops",
        packages={
            TOASTER: PackageEntry(
                software=entry.software, change=entry.change, approved=(approval,)
            )
        },
    )
    device.run(owner.view())
    assert device.version() == "1.1"
    authority = changes(device, "activated")[-1]["authority"]
    assert authority["delegation"] == "ops"
    assert authority["role"] == "delegation-ops"
    assert "approvals: approved by 1 of qa: approved by ann" in authority["reasons"]
    assert authority["approvals"] == [
        {"kind": "qa", "person": "ann", "ticket": "T-1", "at": "2026-01-05T12:00:00Z"}
    ]
    assert device.said()[-1]["packages"][0]["manager"] == "ops"


def test_soak_counts_from_the_first_sight_over_restarts(device: FakeDevice, owner: Owner) -> None:
    """A release that was seen a day ago by a process that is gone may run; it is there by then."""
    first(device, owner)
    owner.grant("ops", Soak(86_400))
    second = device.publish("1.1")
    owner.speak("ops", second)
    outcome = device.run(owner.view())
    assert device.version() == "1.0"
    until = device.hardware.clock.wall + timedelta(days=1)
    assert pending(device)[0]["until"] == instant(until)
    assert next_wish(outcome, START) == until
    assert second[1] in device.hardware.source.payloads, "only what disturbs is held up"
    device.pass_time(hours=23)
    device.run(owner.view())
    assert device.version() == "1.0"
    device.pass_time(hours=1)
    device.run(owner.view())
    assert device.version() == "1.1"


def set_forward(device: FakeDevice, **span: float) -> None:
    """The clock is set, and no time passes."""
    device.hardware.clock.wall += timedelta(**span)


@pytest.mark.parametrize("reboots", [False, True])
def test_a_clock_set_forward_makes_nothing_older(
    device: FakeDevice, owner: Owner, *, reboots: bool
) -> None:
    """A machine whose clock is set after its start, or by an attacker, still waits the whole soak."""
    first(device, owner)
    owner.grant("ops", Soak(86_400), Rate(1, 86_400))
    owner.speak("ops", device.publish("1.1"))
    device.run(owner.view())
    set_forward(device, days=30)
    device.run(owner.view())
    assert device.version() == "1.0"
    if reboots:
        device.reboot()
        device.hardware.clock.ticks = 5.0  # the jump was written down before
    device.pass_time(hours=23)
    device.run(owner.view())
    assert device.version() == "1.0"
    device.pass_time(hours=1)
    device.run(owner.view())
    assert device.version() == "1.1"
    owner.grant("ops", Rate(1, 86_400))
    owner.speak("ops", device.publish("1.2"))
    set_forward(device, days=2)
    device.run(owner.view())
    assert device.version() == "1.1", "nor is there more than one change in a day"


def test_soak_does_not_begin_before_the_release_is_to_be_seen(
    device: FakeDevice, owner: Owner
) -> None:
    """A digest without a description could not have been looked at by anybody: it is not known."""
    first(device, owner)
    owner.grant("ops", Soak(3600))
    second = device.publish("1.1")
    kept = device.hardware.source.remote.pop(second[1])
    owner.speak("ops", second)
    device.run(owner.view())
    device.pass_time(hours=2)
    device.hardware.source.remote[second[1]] = kept
    device.run(owner.view())
    assert device.version() == "1.0"
    device.pass_time(hours=1)
    device.run(owner.view())
    assert device.version() == "1.1"


def test_a_channels_proved_time_counts_before_the_own_sight(
    device: FakeDevice, owner: Owner
) -> None:
    """Where a witnessed checkpoint proves since when it is known, the device need not wait."""
    first(device, owner)
    known = replace(channel(1, device.publish("1.1")), seen_since=START - timedelta(days=2))
    owner.grant("security", Soak(86_400), channel=known)
    device.run(owner.view())
    assert device.version() == "1.1"
    assert changes(device, "activated")[-1]["authority"]["delegation"] == "security"


def channel(sequence: int, release: Made) -> Channel:
    """A document of `acme/stable` that names one release."""
    said = ChannelRelease(release[0].version, release[1])
    end = START + timedelta(days=30)
    return Channel(ACME, "stable", sequence, START, end, {TOASTER: said})


def test_a_channel_that_goes_on_orders_nothing_anew(device: FakeDevice, owner: Owner) -> None:
    """A newer document with the same release is no newer order of it: what failed is not tried
    again, and nobody is asked again.
    """
    first(device, owner)
    sick, good = device.publish("1.1"), device.publish("1.2")
    device.hardware.probe.sick.add(sick[1])
    for sequence in (1, 2, 3):
        owner.grant("security", channel=channel(sequence, sick))
        device.run(owner.view())
    assert len(changes(device, "reverted")) == 1
    asked = set()
    for sequence in (4, 5):
        owner.grant("security", Consent(), channel=channel(sequence, good))
        device.run(owner.view())
        asked |= {str(one["id"]) for one in questions(str(device.state.root))}
    assert len(asked) == 1


def test_rate_counts_what_was_begun_over_restarts(device: FakeDevice, owner: Owner) -> None:
    """One change a day: an attempt that went back was one; another manager's changes are not."""
    first(device, owner)
    owner.grant("ops", Rate(1, 86_400))
    sick = device.publish("1.1")
    device.hardware.probe.sick.add(sick[1])
    owner.speak("ops", sick)
    began = device.hardware.clock.wall
    device.run(owner.view())
    assert device.version() == "1.0"
    owner.speak("ops", device.publish("1.2"))
    device.run(owner.view())
    assert device.version() == "1.0"
    assert pending(device)[0]["until"] == instant(began + timedelta(days=1))
    device.pass_time(days=1, minutes=1)
    device.run(owner.view())
    assert device.version() == "1.2"


@pytest.mark.parametrize("copies", [1, 2])
def test_lost_memory_is_read_strictly(device: FakeDevice, owner: Owner, copies: int) -> None:
    """One damaged copy costs nothing; without both, the budget counts as used, and it is told."""
    first(device, owner)
    owner.grant("ops", Rate(5, 86_400))
    for path in sorted(device.state.grounds.glob("*toaster*"))[:copies]:
        path.write_bytes(b"rubbish")
    owner.speak("ops", device.publish("1.1"))
    device.run(owner.view())
    codes = {one["code"] for one in device.said()[-1].get("alarms", [])}
    if copies == 1:
        assert device.version() == "1.1"
        return
    assert device.version() == "1.0"
    assert "grounds-damaged" in codes
    device.pass_time(hours=23)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert "grounds-damaged" not in {o["code"] for o in device.said()[-1].get("alarms", [])}
    device.pass_time(hours=1)
    device.run(owner.view())
    assert device.version() == "1.1"


def test_memory_that_vanished_is_read_strictly(device: FakeDevice, owner: Owner) -> None:
    """Files that are gone, of a package that had been at work, are no clean slate."""
    first(device, owner)
    owner.grant("ops", Rate(5, 86_400))
    for path in device.state.grounds.iterdir():
        path.unlink()
    owner.speak("ops", device.publish("1.1"))
    device.run(owner.view())
    assert device.version() == "1.0"


def test_a_delegates_window_holds_up_only_what_disturbs(device: FakeDevice, owner: Owner) -> None:
    """The device asks to be woken when the window of the term opens."""
    first(device, owner)
    owner.grant("ops", Windows((Window(frozenset({6}), 120, 120),)))
    owner.speak("ops", device.publish("1.1"))
    outcome = device.run(owner.view())
    wish = next_wish(outcome, START)
    assert wish is not None
    assert (wish.weekday(), wish.hour) == (6, 2)
    device.hardware.clock.wall = wish
    device.run(owner.view())
    assert device.version() == "1.1"


@pytest.mark.parametrize("lost", ["revoked", "lease", "withdrawn", "silent"])
def test_what_waits_for_a_restart_is_taken_back_with_the_word(
    device: FakeDevice, owner: Owner, lost: str
) -> None:
    """Revoked, past its lease, withdrawn or without a word: the restart activates nothing."""
    made = first(device, owner)
    owner.witnessed = START
    owner.grant("ops", Lease(86_400))
    second = device.publish("1.1")
    owner.speak("ops", second, when=When.RESTART)
    device.run(owner.view())
    assert device.state.package(TOASTER).joinpath("next").is_symlink()
    if lost == "revoked":
        del owner.delegates["ops"]
    elif lost == "lease":
        device.pass_time(days=2)
    elif lost == "withdrawn":
        owner.withdrawn[second[1]] = "it burns toast"
    else:
        owner.write("ops")
    device.run(owner.view())
    assert not device.state.package(TOASTER).joinpath("next").is_symlink()
    device.reboot()
    device.run(owner.view())
    assert device.runs() == (made[1], "default"), "what runs stays"


def test_a_word_lost_during_the_restart_is_noticed_after_it(
    device: FakeDevice, owner: Owner
) -> None:
    """The first look after the restart finds the delegation revoked: nothing is activated."""
    first(device, owner)
    owner.grant("ops")
    owner.speak("ops", device.publish("1.1"), when=When.RESTART)
    device.run(owner.view())
    device.reboot()
    del owner.delegates["ops"]
    device.run(owner.view())
    assert device.version() == "1.0"
    device.reboot()
    device.run(owner.view())
    assert device.version() == "1.0"


def rollout(device: FakeDevice, owner: Owner, before: Made, after: Made, **fields: Any) -> Rollout:
    """A plan that comes to the device at its second stage, in two hours."""
    name = next(
        name
        for name in (f"plan-{n}" for n in range(1000))
        if stage_of(_plan(name, before), DEVICE) == 1
    )
    plan = _plan(name, before, **fields)
    owner.deploy(after, rollout=plan)
    return plan


def _plan(name: str, before: Made, **fields: Any) -> Rollout:
    stages = (Stage(START, 1.0), Stage(START + timedelta(hours=2), 100.0))
    order = ReleaseOrder(before[0].provider, before[0].version, before[1], Level.ACTIVE)
    return Rollout(name, stages, before=Software(releases=(order,)), **fields)


def test_a_rollout_comes_at_its_time_and_with_its_gate(device: FakeDevice, owner: Owner) -> None:
    """Neither the time nor the gate alone will do; the device wakes for the time."""
    made = first(device, owner)
    plan = rollout(device, owner, made, device.publish("2.0"))
    owner.gates = {plan.id: frozenset({1})}
    outcome = device.run(owner.view())
    assert device.version() == "1.0"
    assert next_wish(outcome, START) == START + timedelta(hours=2)
    device.pass_time(hours=3)
    owner.gates = {}
    device.run(owner.view())
    assert device.version() == "1.0"
    owner.gates = {plan.id: frozenset({1})}
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_rollout_that_came_stays_come(device: FakeDevice, owner: Owner) -> None:
    """Neither a clock that goes back, nor a gate that is lost or withheld, takes it back."""
    made = first(device, owner)
    plan = rollout(device, owner, made, device.publish("2.0"))
    owner.gates = {plan.id: frozenset({1})}
    device.pass_time(hours=3)
    device.run(owner.view())
    assert device.version() == "2.0"
    owner.gates = {}
    device.run(owner.view())
    assert device.version() == "2.0"
    device.hardware.clock.wall = START + timedelta(minutes=1)
    device.run(owner.view())
    assert device.version() == "2.0"
    again = _plan(plan.id, made)
    owner.deploy(device.publish("3.0"), rollout=again)
    device.run(owner.view())
    assert device.version() == "1.0", "signed anew it has to come anew: what stood before holds"


def test_a_rollout_tries_again_what_was_sick_with_longer_and_longer_pauses(
    device: FakeDevice, owner: Owner
) -> None:
    """Two retries after a failed health check; then not before something newer is signed."""
    made = first(device, owner)
    second = device.publish("2.0")
    device.hardware.probe.sick.add(second[1])
    plan = rollout(device, owner, made, second, retries=2)
    owner.gates = {plan.id: frozenset({1})}
    device.pass_time(hours=3)
    waits = []
    for _ in range(3):
        outcome = device.run(owner.view())
        wish = next_wish(outcome, device.hardware.clock.wall)
        if wish is not None:
            waits.append(round((wish - device.hardware.clock.wall).total_seconds() / 60))
            device.hardware.clock.wall = wish
    assert len(changes(device, "reverted")) == 3
    assert waits == [5, 10]
    device.pass_time(days=400)
    device.run(owner.view())
    assert len(changes(device, "reverted")) == 3
    assert device.version() == "1.0"


def test_without_retries_a_sick_release_is_tried_once(device: FakeDevice, owner: Owner) -> None:
    """A plain deployment, or a rollout that says so, goes back and stays back."""
    made = first(device, owner)
    second = device.publish("2.0")
    device.hardware.probe.sick.add(second[1])
    plan = rollout(device, owner, made, second)
    owner.gates = {plan.id: frozenset({1})}
    device.pass_time(hours=3)
    for _ in range(3):
        device.run(owner.view())
        device.pass_time(days=1)
    assert len(changes(device, "reverted")) == 1


def test_a_refused_configuration_is_not_tried_again_by_a_rollout(
    device: FakeDevice, owner: Owner
) -> None:
    """Retries are for what proved sick; what can't be used never will be."""
    made = first(device, owner)
    second = device.publish("2.0", payload=b"bad payload")
    plan = rollout(device, owner, made, second, retries=3)
    owner.gates = {plan.id: frozenset({1})}
    device.pass_time(hours=3)
    device.run(owner.view())
    assert device.said()[-1]["packages"][0]["failed"] == [second[1]]
    fetched = len(device.hardware.source.fetched)
    device.pass_time(days=30)
    device.run(owner.view())
    assert len(device.hardware.source.fetched) == fetched


ORDER = Restart("night", START, START + timedelta(hours=2))


def test_a_delegates_restart_needs_the_verb(device: FakeDevice, owner: Owner) -> None:
    """Without it the order is none; with it the machine restarts once, and the receipt names them."""
    first(device, owner)
    owner.grant("ops", verbs=frozenset({Verb.ACTIVATE}))
    owner.write("ops", restarts=(ORDER,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    owner.grant("ops")
    owner.write("ops", restarts=(ORDER,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == ["restart night, ordered by ops"]
    device.reboot()
    device.run(owner.view())
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1
    authority = changes(device, "restarted")[-1]["authority"]
    assert (authority["delegation"], authority["role"]) == ("ops", "delegation-ops")
    (told,) = device.said()[-1]["restarts"]
    assert (told["id"], told["state"], told["manager"]) == ("night", "done", "ops")


def test_a_delegates_restart_does_not_stand_in_for_the_owners(
    device: FakeDevice, owner: Owner
) -> None:
    """The same id, ordered by both, is two restarts: nobody uses up the owner's."""
    first(device, owner)
    owner.grant("ops")
    owner.write("ops", restarts=(ORDER,))
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    owner.replace(owner.document(), restarts=(ORDER,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons[-1] == "restart night, ordered by the owner"


def test_a_flood_of_restarts_pushes_nobody_elses_out(device: FakeDevice, owner: Owner) -> None:
    """Many orders of a delegate: the owner's, which is done, is not forgotten and repeated."""
    first(device, owner)
    owner.replace(owner.document(), restarts=(ORDER,))
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    owner.grant("ops")
    past = START - timedelta(minutes=1)
    many = [Restart(f"r{n}", past - timedelta(hours=1), past) for n in range(100)]
    owner.write("ops", restarts=tuple(many))
    device.run(owner.view())
    said = device.said()[-1]["restarts"]
    assert len(said) == 1 + MAX_DELEGATED
    assert [one["state"] for one in said if one["manager"] == "owner"] == ["done"]
    book = RestartBook(device.state.agent)
    book.miss([f"by/ops/groups/kitchen#x{n}" for n in range(2000)], "boot-2", START)
    assert RestartBook(device.state.agent).used
    owner.write("ops")
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1


def test_a_delegates_restarts_are_held_to_window_and_rate(device: FakeDevice, owner: Owner) -> None:
    """Before the window opens nothing happens; a third one in the same day is missed."""
    first(device, owner)
    owner.grant("ops", Windows((Window(frozenset({0}), 13 * 60, 120),)), Rate(2, 86_400))
    others = [Restart(name, START, START + timedelta(hours=2)) for name in ("b", "c")]
    owner.write("ops", restarts=(ORDER, *others))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    assert all(one["waitsFor"].startswith("window: ") for one in device.said()[-1]["restarts"])
    device.pass_time(hours=1)
    device.run(owner.view())
    for restarts in (1, 2, 2, 2):
        assert len(device.hardware.restarter.reasons) == restarts
        device.reboot()
        device.run(owner.view())
    device.pass_time(hours=1)
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 2
    assert {one["state"] for one in device.said()[-1]["restarts"]} == {"done", "missed"}


def test_a_restart_past_the_lease_is_refused(device: FakeDevice, owner: Owner) -> None:
    """The word of a delegate counts only while the log is witnessed, for restarts too."""
    first(device, owner)
    owner.witnessed = START - timedelta(days=3)
    owner.grant("ops", Lease(86_400))
    owner.write("ops", restarts=(ORDER,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    assert "lease-over" in refused(device)


def test_a_configuration_under_terms_waits_too(device: FakeDevice, owner: Owner) -> None:
    """Terms that the owner set for the group bind the owner's own configuration."""
    first(device, owner)
    document = device.publish_document(b"brown")
    owner.replace(owner.document(), terms=(Consent(),))
    owner.sign(TOASTER, configuration=ConfigurationOrder(digest=document, size=5))
    device.run(owner.view())
    assert device.runs() is not None
    assert device.runs()[1] == "default"  # type: ignore[index]
    assert pending(device)[0]["asks"]


def release_list(*releases: Made) -> Software:
    """A list: the first active, the others installed."""
    levels = (Level.ACTIVE, *(Level.INSTALLED for _ in releases[1:]))
    return Software(
        releases=tuple(
            ReleaseOrder(one.provider, one.version, digest, level)
            for (one, digest), level in zip(releases, levels, strict=True)
        )
    )


@pytest.mark.parametrize("may", [True, False])
def test_a_delegate_deletes_where_it_may(device: FakeDevice, owner: Owner, *, may: bool) -> None:
    """A list that lacks a release deletes it, in the window, with a receipt; without the verb not."""
    made = first(device, owner)
    other = device.publish("0.9")
    verbs = frozenset(Verb) if may else frozenset(Verb) - {Verb.DELETE}
    owner.grant("ops", Windows((Window(frozenset({6}), 120, 120),)), verbs=verbs)
    entry = PackageEntry(software=release_list(made, other), change=owner.note())
    owner.write("ops", packages={TOASTER: entry})
    device.run(owner.view())
    assert other[1] in device.hardware.installer.staged(TOASTER)
    entry = PackageEntry(software=release_list(made), change=owner.note())
    owner.write("ops", packages={TOASTER: entry})
    outcome = device.run(owner.view())
    assert other[1] in device.hardware.installer.staged(TOASTER)
    if not may:
        assert "outside-verbs" in refused(device)
        return
    wish = next_wish(outcome, START)
    assert wish is not None
    device.hardware.clock.wall = wish
    device.run(owner.view())
    assert other[1] not in device.hardware.installer.staged(TOASTER)
    authority = changes(device, "deleted")[-1]["authority"]
    assert authority["delegation"] == "ops"
    assert any(reason.startswith("window: ") for reason in authority["reasons"])


def test_a_lost_word_deletes_and_stops_nothing(device: FakeDevice, owner: Owner) -> None:
    """Revoked, silent or past its end: what a delegate brought runs on, release by release."""
    first(device, owner)
    owner.grant("ops")
    second = device.publish("1.1")
    owner.speak("ops", second)
    device.run(owner.view())
    assert device.version() == "1.1"
    held = device.hardware.installer.staged(TOASTER)
    owner.write("ops")
    device.run(owner.view())
    del owner.delegates["ops"]
    for _ in range(3):
        device.run(owner.view())
        device.pass_time(days=30)
        device.reboot()
    assert device.version() == "1.1"
    assert device.hardware.installer.staged(TOASTER) == held
    assert "no-valid-document" in refused(device)
    owner.sign(software=release_list(second))
    device.run(owner.view())
    assert device.version() == "1.1", "handed back to the owner, who may go on from here"
    assert device.said()[-1]["packages"][0]["manager"] == "owner"


def test_a_recalled_release_that_is_only_installed_does_not_come_to_run(
    device: FakeDevice, owner: Owner
) -> None:
    """Withdrawn while it waits for its window: blocked, reported, and what runs stays."""
    first(device, owner)
    owner.grant("ops", Windows((Window(frozenset({6}), 120, 120),)))
    bad = device.publish("1.1")
    owner.speak("ops", bad)
    outcome = device.run(owner.view())
    owner.withdrawn[bad[1]] = "it burns toast"
    wish = next_wish(outcome, START)
    assert wish is not None
    device.hardware.clock.wall = wish
    device.run(owner.view())
    assert device.version() == "1.0"
    assert "withdrawn" in refused(device)
