"""The owner's verbs on real processes: from an invite to a deployment, and back again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.home import Home

from allod.cli.publish import Change, Intent, publish
from allod.domain import edit
from allod.domain.ids import GroupName, group_scope
from allod.errors import AllodError, Conflict

pytestmark = pytest.mark.timeout(180)


def test_invite_deploy_configure_undo_delete(home: Home) -> None:
    """Every step is one command; each is seen in a report that the owner's machine verified."""
    machine, device = home, home.device("one", "kitchen")
    assert home.status(device)["packages"] == []

    done = machine.do("deploy", "kitchen", home.app("toaster", "1"), "-m", "first", "-y")
    first = done["number"]
    assert home.row(device, "toaster")["state"] == "unknown"
    device.converge()
    row = home.row(device, "toaster")
    assert (row["state"], row["active"]) == ("as wanted", "1")

    document = home.place / "toaster.json"
    document.write_text('{"colour": "{device.nme}"}')
    (remark,) = machine.do("configure", "kitchen", "toaster", "-f", document, "--dry-run")[
        "remarks"
    ]
    assert "device.nme" in remark
    assert "device.name" in remark
    document.write_text('{"colour": "blue"}')
    configured = machine.do("configure", "kitchen", "toaster", "-f", document, "-y")["number"]
    device.converge()
    assert home.row(device, "toaster")["configuration"] is not None

    machine.do("deploy", "kitchen", home.app("toaster", "2"), "--at-restart", "-y")
    device.converge()
    row = home.row(device, "toaster")
    assert (row["state"], row["active"]) == ("waiting", "1")
    now = machine.do("deploy", "kitchen", "toaster@2", "--now", "-y")
    assert [one["code"] for one in now["consequences"]] == ["interrupts"]
    device.converge()
    assert home.row(device, "toaster")["active"] == "2"

    machine.do("undo", now["number"] - 1, "-y")
    machine.do("undo", configured, "-y")
    device.converge()
    row = home.row(device, "toaster")
    assert (row["state"], row["active"], row["configuration"]) == ("as wanted", "1", None)

    machine.do("delete", "kitchen", "toaster", "-y")
    device.converge()
    assert home.status(device)["packages"] == []

    changes = machine.do("history", "--scope", "kitchen")["changes"]
    numbers = [one["number"] for one in changes]
    assert numbers == sorted(numbers)
    assert next(one for one in changes if one["number"] == first)["message"] == "first"
    shown = machine.do("show", first)["differences"]
    assert {"release-new", "access-new"} <= {one["what"] for one in shown}
    look = machine.do("device", "show", device.id, "--inventory")
    assert look["chain"]["faults"] == []
    assert look["chain"]["reports"] > 3
    assert look["inventory"] is not None


@pytest.mark.slow
def test_undo_of_undo(home: Home) -> None:
    """Taking the taking-back back leads to where the change had led."""
    machine = home
    machine.do("group", "add", "attic", "-y")
    machine.do("deploy", "attic", home.app("lamp", "1"), "-y")
    changed = machine.do("deploy", "attic", home.app("lamp", "2"), "-y")["number"]
    wanted = machine.do("group", "show", "attic")["wants"]
    undone = machine.do("undo", changed, "-y")["number"]
    assert machine.do("group", "show", "attic")["wants"] != wanted
    machine.do("undo", undone, "-y")
    assert machine.do("group", "show", "attic")["wants"] == wanted


def test_undo_names_what_later_changes_touched(home: Home) -> None:
    """The owner is told before they sign."""
    machine = home
    machine.do("group", "add", "cellar", "-y")
    first = machine.do("deploy", "cellar", home.app("pump", "1"), "-y")["number"]
    machine.do("deploy", "cellar", home.app("pump", "2"), "-y")
    said = machine.do("undo", first, "--dry-run")["remarks"]
    assert any("pump: software" in one for one in said)


@pytest.mark.slow
def test_one_device_can_differ_from_its_group(home: Home) -> None:
    """A device's own entry keeps what its group had, and can be handed back."""
    machine, device = home, home.device("two", "hall")
    machine.do("deploy", "hall", home.app("clock", "1"), "-y")
    device.converge()
    machine.do("device", "rename", device.id, "wall", "-y")
    done = machine.do("deploy", "wall", home.app("clock", "2"), "-y")
    assert [one["device"] for one in done["devices"]] == [device.id]
    device.converge()
    row = home.row(device, "clock")
    assert (row["active"], row["scope"]) == ("2", f"devices/{device.id}")
    assert {one["version"] for one in row["releases"]} == {"1", "2"}
    machine.do("group", "follow", "wall", "clock", "-y")
    device.converge()
    assert home.row(device, "clock")["active"] == "1"


@pytest.mark.slow
def test_waiting_is_one_answer(home: Home) -> None:
    """With `--wait --json` the change and what came of it are one document, also if time is up."""
    device = home.device("waiter", "lobby")
    wait = ("--wait", "--json", "-y", "--timeout")
    late = home.machine.run("deploy", "lobby", home.app("bench", "1"), *wait, "1s")
    assert late.returncode == 6
    assert json.loads(late.stdout)["changed"] is True
    assert json.loads(late.stderr.strip().splitlines()[-1])["error"]["code"] == "still-waiting"
    device.converge()
    assert home.do("deploy", "lobby", "bench@1", "--wait", "-y") == {"changed": False}
    with ThreadPoolExecutor() as pool:
        app = home.app("bench", "2")
        told = pool.submit(home.machine.run, "deploy", "lobby", app, *wait, "80s")
        while not told.done():
            device.converge()
    (row,) = json.loads(told.result().stdout)["outcome"][0]["packages"]
    assert (row["state"], row["active"]) == ("as wanted", "2")


@pytest.mark.slow
def test_devices_are_moved_replaced_and_retired(home: Home) -> None:
    """A successor gets groups, label and packages; the former one is retired."""
    machine = home
    old, new = home.device("old", "porch"), home.device("new", "shed")
    machine.do("device", "rename", old.id, "bell", "-y")
    machine.do("deploy", "bell", home.app("bell", "1"), "-y")
    machine.do("device", "replace", "bell", new.id[:12], "-y")
    found = {one["device"]: one for one in machine.do("device", "list")["devices"]}
    assert found[new.id]["label"] == "bell"
    assert found[new.id]["groups"] == ["porch"]
    assert found[old.id]["state"] == "retired"
    machine.do("device", "move", "bell", "shed", "porch", "-y")
    new.converge()
    assert home.row(new, "bell")["active"] == "1"


def test_rebase(home: Home) -> None:
    """Somebody publishes meanwhile: both changes hold, nothing is lost (409, then the new base)."""
    fleet = home.fleet()
    seen: list[int] = []

    def plan(picture):
        seen.append(picture.base.view.versions["targets"])
        if len(seen) == 1:
            home.do("group", "add", "meanwhile", "-y")
        scope = group_scope(GroupName("mine"))
        return Change({scope: edit.empty(picture.base.fleet_id, scope)})

    done = publish(home.options(fleet), Intent(yes=True), plan)
    assert done is not None
    assert seen == [seen[0], seen[0] + 1]
    groups = {one["group"] for one in home.do("group", "list")["groups"]}
    assert {"meanwhile", "mine"} <= groups
    assert done.note.number == home.do("history")["changes"][-1]["number"]


@pytest.mark.slow
def test_a_stick_serves_a_device_without_network(home: Home) -> None:
    """Export, converge from the stick, carry the reports back; a second export adds nothing."""
    machine, device = home, home.device("far", "island")
    machine.do("deploy", "island", home.app("buoy", "1"), "-y")
    stick = home.place / "stick"
    first = machine.do("export", stick, "--scope", "island")
    assert first["written"] > 10
    device.converge("--from", stick)
    outbox = list((stick / "outbox" / "reports").rglob("*.json"))
    assert outbox
    admitted = machine.do("device", "admit", stick)
    assert admitted["reports"] == len(outbox)
    assert home.row(device, "buoy")["active"] == "1"
    assert machine.do("export", stick, "--scope", "island")["written"] == 0
    assert ":" not in "".join(path.name for path in stick.rglob("*"))


def test_secrets_and_bad_configurations(home: Home, tmp_path: Path) -> None:
    """The schema holds before anything is signed; a secret is named, granted, never written."""
    machine = home
    machine.do("group", "add", "office", "-y")
    machine.do("deploy", "office", home.app("safe", "1"), "-y")
    file = tmp_path / "c.json"
    for text, code in (
        ('{"colour": 7}', "bad-configuration"),
        ('{"pin": "1234"}', "write-only-value"),
        ('{"pin": "secret:pin"}', "secret-not-granted"),
        ("[1]", "bad-configuration"),
        ('{"a": 1, "a": 2}', "bad-json"),
    ):
        file.write_text(text)
        assert machine.refused("configure", "office", "safe", "-f", file, "-y") == code
    file.write_text('{"pin": "secret:pin"}')
    machine.do("configure", "office", "safe", "-f", file, "--secret", "pin", "-y")
    file.write_text('{"pin": "secret:pin", "colour": "{device.nme}"}')
    dry = machine.do("configure", "office", "safe", "-f", file, "--dry-run")
    members = [one for one in dry["differences"] if one["what"] == "configuration-member"]
    assert [one["says"].rpartition(" configuration ")[2] for one in members] == [
        "colour: {device.nme}"
    ]
    shown = machine.do("configure", "office", "safe", "--show")
    assert shown["secrets"] == ["pin"]
    assert shown["configuration"] == {"pin": "secret:pin"}


def test_what_is_taken_on_is_named(home: Home) -> None:
    """Constraints are accepted by name; a name that is not asked for is refused."""
    machine = home
    machine.do("group", "add", "gate", "-y")
    fuse = '\n[[constraints]]\nid = "fuse"\nsays = "an older release never starts again"\n'
    app = home.app("lock", "1", fuse)
    assert machine.refused("deploy", "gate", app, "-y") == "not-accepted"
    assert machine.refused("deploy", "gate", app, "--accept", "camera", "-y") == "unknown-name"
    done = machine.do("deploy", "gate", app, "--accept", "fuse", "-y")
    assert "constraint" in {one["code"] for one in done["consequences"]}


WRONG = [
    (("deploy", "nowhere", "toaster@1", "-y"), "unknown-scope"),
    (("deploy", "wrong", "toaster", "-y"), "no-version"),
    (("deploy", "wrong", "toaster@77", "-y"), "no-such-release"),
    (("deploy", "wrong", "toaster@1", "--provider", "nobody", "-y"), "unknown-provider"),
    (("deploy", "wrong", "toaster@1", "--now", "--at-restart", "-y"), "bad-arguments"),
    (("deploy", "wrong", "toaster@1", "--install-only", "--transfer-only", "-y"), "bad-arguments"),
    (("delete", "wrong", "nothing", "-y"), "unknown-package"),
    (("configure", "wrong", "toaster", "-y"), "bad-arguments"),
    (("configure", "wrong", "toaster", "-f", "/does/not/exist", "-y"), "no-file"),
    (("restart", "wrong", "--at", "yesterday", "-y"), "bad-time"),
    (("restart", "wrong", "--cancel", "r1", "-y"), "no-such-restart"),
    (("resume", "wrong", "-y"), "not-held"),
    (("hold", "wrong", "--why", " ", "-y"), "no-reason"),
    (("group", "add", "wrong", "-y"), "exists"),
    (("group", "add", "Wrong Name", "-y"), "bad-group"),
    (("group", "set", "wrong", "-y"), "bad-arguments"),
    (("group", "set", "wrong", "--window", "always", "-y"), "bad-window"),
    (("device", "rename", "ffff", "x", "-y"), "unknown-device"),
    (("device", "invite", "--group", "wrng", "-y"), "unknown-group"),
    (("device", "invite", "--group", "wrong", "--uses", "0", "-y"), "bad-arguments"),
    (("device", "invite", "--group", "wrong", "--expires", "0s"), "bad-arguments"),
    (("device", "invite", "--group", "wrong", "--expires", "soon"), "bad-span"),
    (("device", "invite", "--group", "wrong", "--out", "/does/not/exist.json"), "no-file"),
    (("device", "invite", "--group", "wrong", "--svg", "/"), "exists"),
    (("device", "revoke", "none", "-y"), "unknown-invite"),
    (("device", "admit", "/does/not/exist"), "no-outbox"),
    (("undo", "9999", "-y"), "unknown-change"),
    (("show", "9999"), "unknown-change"),
    (("provider", "show", "nobody"), "unknown-provider"),
    (("status", "nowhere"), "unknown-scope"),
    (("group", "set", "wrong", "--drift", "heal"), "not-confirmed"),
]


@pytest.mark.slow
def test_wrong_inputs(home: Home) -> None:
    """Each mistake has its own code, no traceback, and changes nothing."""
    home.do("group", "add", "wrong", "-y")
    home.do("release", "push", home.app("toaster", "1"))
    before = home.do("history")["changes"][-1]
    invites = home.do("device", "invites")
    said = {" ".join(arguments): home.refused(*arguments) for arguments, _ in WRONG}
    assert said == {" ".join(arguments): code for arguments, code in WRONG}
    assert home.do("history")["changes"][-1] == before
    assert home.do("device", "invites") == invites


@pytest.mark.slow
def test_a_revoked_invite_and_a_second_device(home: Home) -> None:
    """An invite for one device that two use is an alarm; a revoked one is shown as such."""
    machine = home
    first = home.device("twin", "garden")
    made = home.place / "twin.json"
    from tests.e2e.home import Device

    second = Device(home.place / "twin2")
    second.run("bind", made, code=None)
    found = machine.do("device", "list")["devices"]
    ours = [one for one in found if one["groups"] == ["garden"]]
    if len(ours) == 2:
        assert all(any(a["code"] == "surplus-binding" for a in one["alarms"]) for one in ours)
    else:  # the server counted at admission and turned the second one away
        assert [one["device"] for one in ours] == [first.id]
    name = json.loads(made.read_text())["invite"]
    assert name
    listed = machine.do("device", "invites")["invites"]
    mine = next(one for one in listed if one["groups"] == ["garden"])
    assert mine["state"] == "used up"
    machine.do("device", "revoke", mine["id"], "-y")
    assert machine.refused("device", "revoke", mine["id"], "-y") == "already-revoked"
    assert machine.refused("device", "revoke", "0123456789ab", "-y") == "unknown-invite"
    machine.do("device", "revoke", "0123456789ab", "--elsewhere", "-y")


def test_nothing_to_change_is_no_change(home: Home) -> None:
    """The same wish again signs nothing."""
    machine = home
    machine.do("group", "add", "twice", "-y")
    machine.do("deploy", "twice", home.app("fan", "1"), "-y")
    assert machine.do("deploy", "twice", "fan@1", "-y") == {"changed": False}


@pytest.mark.slow
def test_others_who_are_always_faster(home: Home) -> None:
    """After a few rounds the owner is told, and nothing of theirs is published."""
    fleet = home.fleet()
    rounds: list[int] = []

    def plan(picture):
        rounds.append(1)
        home.do("group", "add", f"race-{len(rounds)}", "-y")
        scope = group_scope(GroupName("loser"))
        return Change({scope: edit.empty(picture.base.fleet_id, scope)})

    with pytest.raises(AllodError) as caught:
        publish(home.options(fleet), Intent(yes=True), plan)
    assert isinstance(caught.value, Conflict)
    assert caught.value.code == "out-of-date"
