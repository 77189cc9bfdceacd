"""The controller of rollouts: when it opens a gate, when it halts, and that it forgets nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.server.rollout_rig import NEW, OLD, PACKAGE, SCOPE, RolloutRig, entry

from allod.domain.desired import ConfigurationOrder, DeviceRecord, StateDocument
from allod.domain.ids import GroupName, Purl, device_scope, group_scope, parse_group, sha256
from allod.domain.rollout import Needs
from allod.errors import AllodError, Conflict, Refused, Unavailable
from allod.testing.asgi import ask
from allod.testing.delegations import Delegating
from allod.testing.server import ServerRig
from allod.trust.gates import open_gate
from allod.wire.codec import instant
from allod.wire.report import ChangeReport
from allod.wire.rollout_state import Stop
from allod.wire.trust import Withdrawal


@pytest.fixture
def fleet(rig: ServerRig) -> RolloutRig:
    """Three devices, and the owner names the server's gate key."""
    made = RolloutRig(rig)
    made.name_gate_key()
    made.bind("one", "two", "three")
    return made


def alarms(fleet: RolloutRig) -> list[str]:
    found = fleet.rig.server.listings.alarms(fleet.rig.fleet).alarms
    return [one.says for one in found if one.code == "rollout-halted"]


def news(fleet: RolloutRig) -> int:
    return fleet.rig.server.fleets.need(fleet.rig.fleet).news


def test_a_stage_opens_with_its_time_its_canary_and_its_bake(fleet: RolloutRig) -> None:
    """All three are needed; the gate is one that a device lets pass, and opening it is news."""
    plan = fleet.plan(
        fleet.stage(canaries=["one"]),
        fleet.stage(100, after=2, needs=Needs.SUCCESS, bake_seconds=3600),
    )
    fleet.order(plan)
    assert fleet.look().stages[0].opened is not None
    assert fleet.look(hours=3).stages[1].opened is None, "nobody said anything"
    fleet.says("one", changed=True)
    assert fleet.look(minutes=30).stages[1].opened is None, "not for long enough"
    fleet.rig.clock.pass_time(minutes=31)
    assert fleet.look().stages[1].opened is None, "it has not said so"
    fleet.says("one", kind="heartbeat")
    before = news(fleet)
    assert fleet.look().stages[1].opened is not None
    assert news(fleet) == before + 1
    raw = fleet.gate(1)
    assert raw is not None
    document = fleet.rig.server.fleets.need(fleet.rig.fleet).document
    gate = open_gate(raw, document, "r1", 1, [(PACKAGE, entry(plan))])
    assert len(gate.value.reports) == 2
    fleet.look()
    assert news(fleet) == before + 1, "told once"


def test_never_before_the_signed_time(fleet: RolloutRig) -> None:
    """Success does not open a stage early; neither does a first stage that is not due."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"], after=1), fleet.stage(100, after=5)))
    assert fleet.look().stages[0].opened is None
    fleet.look(hours=1)
    fleet.says("one", changed=True)
    shown = fleet.look(hours=3, minutes=59)
    assert shown.stages[1].opened is None
    assert shown.until == shown.stages[1].at
    assert fleet.look(minutes=1).stages[1].opened is not None


def test_too_many_failures_halt_it_with_an_alarm(fleet: RolloutRig) -> None:
    """One failed device of those that came first: nothing more opens, whatever time it is."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one", "two"]), fleet.stage(100, after=1)))
    fleet.look()
    fleet.says("one", changed=True)
    fleet.says("two", OLD, reverted=True)
    shown = fleet.look(hours=2)
    assert (shown.state, shown.stages[0].failed) == ("halted", 1)
    assert shown.problems[0].why == "sick"
    assert "1 of 2 devices failed" in alarms(fleet)[0]
    fleet.says("two", changed=True)
    assert fleet.look(hours=24).stages[1].opened is None, "a halt ends by somebody's word alone"
    assert len(alarms(fleet)) == 1


def test_who_resumes_takes_the_known_failures_on(fleet: RolloutRig) -> None:
    """After a halt it goes on by a person's word, and halts again only for what is new."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one", "two"]), fleet.stage(100, after=1)))
    fleet.look()
    fleet.says("one", failed=True, digest=OLD)
    assert fleet.look(hours=1).state == "halted"
    fleet.rig.server.rollouts.resume(fleet.rig.fleet, "r1", "known", "owner")
    assert fleet.look().stages[1].opened is not None
    fleet.says("two", failed=True, digest=OLD)
    assert fleet.look().state == "halted"
    assert len(alarms(fleet)) == 2


def test_silence_is_no_success_and_halts_past_its_timeout(fleet: RolloutRig) -> None:
    """A device that says nothing neither opens a stage nor keeps the owner waiting for ever."""
    fleet.order(
        fleet.plan(
            fleet.stage(canaries=["one", "two"], timeout_seconds=7200),
            fleet.stage(100, after=1, max_silent=0),
        )
    )
    fleet.look()
    fleet.says("one", changed=True)
    assert fleet.look(minutes=90).stages[1].opened is None
    shown = fleet.look(hours=1)
    assert (shown.state, shown.why) == ("halted", "1 of 2 devices are silent; 0 % may")


def test_a_silent_canary_halts_what_needs_its_success(fleet: RolloutRig) -> None:
    """The stage could never open: that is said, instead of waiting."""
    fleet.order(
        fleet.plan(
            fleet.stage(canaries=["one"], timeout_seconds=3600),
            fleet.stage(100, needs=Needs.SUCCESS),
        )
    )
    fleet.look()
    assert fleet.look(minutes=59).state == "running"
    assert fleet.look(minutes=1).state == "halted"
    assert "1 canaries" in alarms(fleet)[0]


def test_the_old_release_running_well_is_no_success(fleet: RolloutRig) -> None:
    """Only what comes after counts: not the release before, and not an unhealthy one."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS)))
    fleet.look()
    fleet.says("one", OLD)
    assert fleet.look().stages[0].succeeded == 0
    fleet.says("one", NEW, healthy=False)
    assert fleet.look().stages[0].failed == 1
    assert fleet.gate(1) is None


def test_restarting_the_server_changes_nothing(fleet: RolloutRig) -> None:
    """Counts come back from reports, open stages from gates, halts and pauses from files."""
    plan = fleet.plan(
        fleet.stage(canaries=["one"]),
        fleet.stage(canaries=["two"], needs=Needs.SUCCESS),
        fleet.stage(100, needs=Needs.SUCCESS, bake_seconds=3600),
    )
    fleet.order(plan)
    fleet.look()
    fleet.says("one", changed=True)
    fleet.look()
    fleet.says("two", changed=True)
    before = fleet.look(minutes=10)
    fleet.rig.restart()
    assert fleet.look() == before
    fleet.rig.server.rollouts.pause(fleet.rig.fleet, "r1", "I look", "owner")
    paused = fleet.look()
    fleet.rig.restart()
    assert fleet.look() == paused
    assert (paused.state, paused.why, paused.by) == ("paused", "I look", "owner")
    fleet.rig.clock.pass_time(hours=1)
    fleet.says("one", kind="heartbeat")
    fleet.says("two", kind="heartbeat")
    assert fleet.look().stages[2].opened is None
    fleet.rig.server.rollouts.resume(fleet.rig.fleet, "r1", "", "owner")
    assert fleet.look().stages[2].opened is not None


def test_a_rebuilt_projection_counts_the_same(fleet: RolloutRig) -> None:
    """The projection is derived: without it, reports say the same again."""
    fleet.order(fleet.plan(fleet.stage(100), fleet.stage(100, after=9)))
    fleet.look()
    fleet.says("one", changed=True)
    fleet.says("two", OLD, reverted=True)
    before = fleet.look()
    fleet.rig.server.rebuild(fleet.rig.fleet)
    fleet.rig.restart()
    assert fleet.look() == before


def test_a_report_that_cannot_be_read_stops_no_other(fleet: RolloutRig) -> None:
    """A device writes rubbish where a time belongs, and of another the file is damaged: both said
    nothing that counts, before a restart and after, and the rollout goes on by what others say.
    """
    fleet.order(fleet.plan(fleet.stage(100), fleet.stage(100, after=1, max_silent=70)))
    fleet.look()
    rubbish = ChangeReport(at="soon", package=PACKAGE, what="activated", after=NEW)
    fleet.says("one", changes=[rubbish])
    fleet.says("two")
    fleet.says("three")
    assert fleet.look().stages[0].succeeded == 2
    root = fleet.rig.server.stores.layout.fleet(fleet.rig.fleet).root
    for path in (root / "reports" / fleet.devices["two"].id).glob("*.json"):
        path.write_bytes(b"{")
    fleet.rig.restart()
    assert fleet.look().stages[0].succeeded == 1
    assert fleet.look(hours=1).stages[1].opened is not None


def test_a_pause_while_documents_are_read_holds(fleet: RolloutRig) -> None:
    """What was acknowledged while another thread read the rollouts anew is not forgotten."""
    plan = fleet.plan(fleet.stage(100), fleet.stage(100, after=1, max_silent=100))
    fleet.order(plan)
    fleet.look()
    rollouts = fleet.rig.server.rollouts
    course = rollouts._courses[fleet.rig.fleet]
    read = rollouts._files.tracked

    def meanwhile(*args, **fields):
        found = read(*args, **fields)
        with course.lock:
            stop = Stop(at=instant(fleet.rig.clock.now()), says="wait", by="anna")
            rollouts._keep(fleet.rig.fleet, course.tracked["r1"], paused=stop)
        return found

    rollouts._files.tracked = meanwhile  # type: ignore[method-assign]
    fleet.order(fleet.plan(*plan.stages, retries=1))
    assert fleet.look().state == "paused"
    assert fleet.look(hours=2).stages[1].opened is None


def test_a_report_counts_once_and_an_older_one_not_at_all(fleet: RolloutRig) -> None:
    """The same report again, and one from before the stage opened, change no count."""
    fleet.order(fleet.plan(fleet.stage(100), fleet.stage(100, after=9)))
    fleet.says("one", changed=True)
    fleet.rig.clock.pass_time(minutes=1)
    assert fleet.look().stages[0].succeeded == 0, "its stage was not open yet"
    raw = fleet.says("one")
    fleet.rig.server.receive_report(fleet.rig.fleet, fleet.devices["one"].id, raw)
    assert fleet.look().stages[0].succeeded == 1
    assert fleet.look().stages[0].devices == 3


def test_a_withdrawn_release_halts_its_rollout(fleet: RolloutRig) -> None:
    """Recall stops what is under way, also without a single failure."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100)))
    fleet.rig.change(fleet.rig.simulator.withdraw(Withdrawal(digest=NEW, why="it burns")))
    fleet.rig.clock.pass_time(hours=1)
    shown = fleet.look()
    assert (shown.state, fleet.gate(1)) == ("halted", None)
    assert "it burns" in alarms(fleet)[0]


def test_without_the_owners_word_for_the_gate_key_nothing_opens(rig: ServerRig) -> None:
    """A gate that no device believes is not written; the reason is shown."""
    fleet = RolloutRig(rig)
    fleet.bind("one")
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100)))
    fleet.look()
    fleet.says("one", changed=True)
    fleet.look()
    assert fleet.gate(1) is None
    assert rig.server.rollouts.show(rig.fleet, "r1").state == "running"


def test_a_rollout_that_no_document_holds_is_over(fleet: RolloutRig) -> None:
    """Finish and abort are edits of the entry: the controller forgets what is not there."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, after=1)))
    fleet.look()
    fleet.order(None)
    fleet.rig.clock.pass_time(hours=2)
    fleet.rig.server.rollouts.look(fleet.rig.fleet)
    assert fleet.rig.server.rollouts.list(fleet.rig.fleet).rollouts == []
    assert fleet.gate(1) is None
    with pytest.raises(AllodError, match="none open"):
        fleet.rig.server.rollouts.show(fleet.rig.fleet, "r1")


def test_whoever_asks_while_reports_are_read_is_told_to_come_again(
    fleet: RolloutRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's questions take the threads that reports need; a report is taken meanwhile."""
    monkeypatch.setattr("allod.server.services.rollouts._PATIENCE", 0.01)
    fleet.order(fleet.plan(fleet.stage(100)))
    fleet.look()
    rollouts = fleet.rig.server.rollouts
    with rollouts._courses[fleet.rig.fleet].reading_lock:
        for ask_for in (
            lambda: rollouts.list(fleet.rig.fleet),
            lambda: rollouts.pause(fleet.rig.fleet, "r1", "", "anna"),
        ):
            with pytest.raises(Unavailable) as caught:
                ask_for()
            assert caught.value.code == "too-slow"
        fleet.says("one")
    assert fleet.look().stages[0].succeeded == 1


def test_another_label_reads_nothing_again(fleet: RolloutRig) -> None:
    """A device's group decides who takes part, and its label does not: reports are read again for
    the one alone.
    """
    fleet.order(fleet.plan(fleet.stage(100)))
    fleet.look()
    rollouts = fleet.rig.server.rollouts
    course = rollouts._courses[fleet.rig.fleet]
    before, device = course.tracked["r1"], fleet.devices["one"].id
    simulator, scope = fleet.rig.simulator, device_scope(device)
    for record, again in (
        (DeviceRecord(epoch=1, label="a"), True),
        (DeviceRecord(epoch=1, label="b"), False),
        (DeviceRecord(epoch=1, label="b", groups=(GroupName("attic"),)), True),
    ):
        fleet.rig.change(
            simulator.set_state(StateDocument(fleet.rig.fleet, scope, {}, device=record))
        )
        assert (fleet.look().stages[0].devices == 3) or again
        assert (course.tracked["r1"] is not before) is again
        before = course.tracked["r1"]


def test_many_words_stall_nothing(fleet: RolloutRig) -> None:
    """Whoever pauses writes a book: what is kept of it can be read again after a restart."""
    fleet.order(fleet.plan(fleet.stage(100)))
    fleet.look()
    rollouts = fleet.rig.server.rollouts
    assert len(rollouts.pause(fleet.rig.fleet, "r1", "why " * 30_000, "anna").why) == 1000
    fleet.rig.restart()
    assert fleet.look().state == "paused"


def test_pausing_twice_and_resuming_what_goes_on_are_refused(fleet: RolloutRig) -> None:
    """Whoever speaks to the API learns how it stands; a delegate touches only its own."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, after=1)))
    rollouts, known = fleet.rig.server.rollouts, fleet.rig.fleet
    with pytest.raises(Conflict):
        rollouts.resume(known, "r1", "", "owner")
    rollouts.pause(known, "r1", "", "owner")
    with pytest.raises(Conflict):
        rollouts.pause(known, "r1", "", "owner")
    with pytest.raises(Refused):
        rollouts.resume(known, "r1", "", "ops", "ops")


def test_rollouts_over_the_api(fleet: RolloutRig) -> None:
    """List, one, pause and resume; the gate is a file that only readers of the fleet get."""
    rig = fleet.rig
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, after=1)))
    fleet.look()
    app, base = rig.application, f"/api/v1/fleets/{rig.fleet}/rollouts"

    def api(method: str, path: str, body: bytes = b""):
        fields = {"content-type": "application/json"} if body else {}
        headers = {**rig.signed(method, path, body), **fields}
        return ask(app, method, path, headers=headers, body=body)

    listed = api("GET", base).json["rollouts"]
    assert [(one["id"], one["state"], one["version"]) for one in listed] == [("r1", "running", "2")]
    paused = api("POST", f"{base}/r1/pause", b'{"why":"lunch"}').json
    assert (paused["state"], paused["why"], paused["by"]) == ("paused", "lunch", "owner")
    assert api("POST", f"{base}/r1/pause", b"{}").status == 409
    assert api("POST", f"{base}/r1/resume", b"{}").json["state"] == "running"
    assert api("GET", f"{base}/r9").status == 404
    assert ask(app, "GET", base).status == 401
    fleet.look(hours=1)
    gate = f"/f/{rig.fleet}/gates/r1/1.json"
    assert ask(app, "GET", gate).status == 401
    headers = {"authorization": f"Bearer {rig.token(fleet.devices['two'])}"}
    assert ask(app, "GET", gate, headers=headers).body == fleet.gate(1)
    assert ask(app, "GET", gate.replace("/1.", "/2."), headers=headers).status == 404


def test_a_delegates_rollout_is_its_own(fleet: RolloutRig) -> None:
    """The controller follows what a delegate signed where the owner lets them decide; another
    delegate pauses nothing, and the owner's plan of the same name goes before.
    """
    rig = fleet.rig
    owner = Delegating(rig.simulator)
    rig.change(owner.grant("ops", [SCOPE], [PACKAGE]))
    rig.change(owner.set_manager(SCOPE, PACKAGE, "ops"))
    plan = fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS))
    rig.change(owner.order("ops", SCOPE, {PACKAGE: entry(plan)}))
    shown = fleet.look()
    assert (shown.author, shown.stages[0].devices) == ("ops", 1)
    fleet.says("one", changed=True)
    assert fleet.look().stages[1].opened is not None
    with pytest.raises(Refused):
        rig.server.rollouts.pause(rig.fleet, "r1", "", "dev", "dev")
    assert rig.server.rollouts.pause(rig.fleet, "r1", "", "ops", "ops").state == "paused"
    other = Purl("pkg:generic/acme/heater")
    rig.change(rig.simulator.set_packages(group_scope(parse_group("hall")), {other: entry(plan)}))
    assert fleet.look().author == "owner"


def test_where_the_owner_decides_a_delegates_plan_concerns_nobody(fleet: RolloutRig) -> None:
    """A document of a delegate whom the owner did not name for the package counts no device."""
    rig = fleet.rig
    owner = Delegating(rig.simulator)
    rig.change(owner.grant("ops", [SCOPE], [PACKAGE]))
    rig.change(rig.simulator.set_packages(SCOPE, {PACKAGE: entry(None)}))
    rig.change(owner.order("ops", SCOPE, {PACKAGE: entry(fleet.plan(fleet.stage(100)))}))
    assert fleet.look().stages[0].devices == 0


def test_configuration_alone_comes_stage_by_stage(fleet: RolloutRig) -> None:
    """Success is the configuration that is in force, on whatever release runs."""
    content = b'{"colour":"blue"}'
    blue, red = sha256(content), sha256(b"red")
    fleet.rig.server.stores.blobs(fleet.rig.fleet).put(blue, [content])
    plan = replace(
        fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS)),
        before=None,
        before_configuration=ConfigurationOrder(digest=red),
    )
    known = replace(entry(plan), configuration=ConfigurationOrder(digest=blue, size=17))
    rig = fleet.rig
    rig.change(rig.simulator.set_packages(SCOPE, {PACKAGE: known}))
    fleet.look()
    fleet.says("one", configuration=red)
    assert fleet.look().stages[0].succeeded == 0
    fleet.says("one", configuration=blue)
    assert fleet.look().stages[1].opened is not None


def test_a_device_that_speaks_with_two_tongues_succeeds_in_nothing(fleet: RolloutRig) -> None:
    """Its disk was copied, or its key stolen: what it says opens no gate."""
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS)))
    fleet.look()
    device = fleet.devices["one"]
    fork = replace(device)
    fleet.says("one", OLD)
    fleet.devices["one"] = fork
    fleet.says("one", changed=True)
    assert fleet.look().stages[0].succeeded == 0
    fleet.says("one", changed=True)
    fleet.rig.restart()
    assert fleet.look().stages[1].opened is None
