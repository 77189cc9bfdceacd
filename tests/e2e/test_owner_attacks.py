"""What whoever holds the server cannot make its owner believe, or sign."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.e2e.home import Home

from allod.cli.past import Past
from allod.cli.picture import take
from allod.cli.publish import Change, Intent, prepare, publish, sign
from allod.domain import edit
from allod.domain.ids import GroupName, group_scope
from allod.errors import AllodError, Untrusted
from allod.testing.repository import key_from
from allod.trust.binding import make_binding
from allod.trust.invite import open_invite
from allod.wire.desired import decode_state, encode_state

pytestmark = pytest.mark.timeout(180)
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def twisted(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    """A lie: the server's JSON answer, changed."""

    def lie(answer: bytes) -> bytes:
        value = json.loads(answer)
        change(value)
        return json.dumps(value).encode()

    return lie


def new_group(name: str, picture) -> Change:
    """A small change."""
    scope = group_scope(GroupName(name))
    return Change({scope: edit.empty(picture.base.fleet_id, scope)})


@pytest.mark.slow
def test_attack_05_a_forged_all_ok_is_not_believed(home: Home) -> None:
    """The server alters a report, replays an older one, leaves the reports out, or hides the
    device: the owner's machine says so, and takes none of it for the device's word.
    """
    device = home.device("honest", "attack5")
    home.do("deploy", "attack5", home.app("oven", "1"), "-y")
    device.converge()
    home.do("deploy", "attack5", home.app("oven", "2"), "-y")
    device.converge()
    assert home.row(device, "oven")["active"] == "2"

    def all_ok(value: dict[str, Any]) -> None:
        for entry in value["reports"]:
            payload = json.loads(base64.b64decode(entry["report"]["payload"]))
            payload["packages"] = []
            entry["report"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()

    def seen(**lies: Callable[[bytes], bytes]):
        found = take(home.fleet(**lies))
        members = [one for one in found.devices if one.device == device.id]
        return found, (members[0] if members else None)

    _, member = seen(**{"/reports?": twisted(all_ok)})
    assert member.actual is None
    assert {one.code for one in member.alarms} == {"report-refused", "reports-withheld"}

    older = home.fleet().client.request(
        "GET", f"/api/v1/fleets/{home.fleet().id}/devices/{device.id}/reports?after=0&limit=1"
    )
    _, member = seen(**{"/reports?": lambda _: older})
    assert "reports-withheld" in {one.code for one in member.alarms}

    def nothing(value: dict[str, Any]) -> None:
        for one in value["devices"]:
            one["sequence"] = 0

    def said(data: bytes) -> bytes:
        return data if b"reports" in data else twisted(nothing)(data)

    _, member = seen(**{"/devices": said})
    assert member.actual.sequence == 2, "the log says how many there are"
    none = twisted(lambda value: value.update(reports=[]))
    _, member = seen(**{"/devices": lambda data: none(data) if b"reports" in data else said(data)})
    assert member.actual is None
    assert "reports-withheld" in {one.code for one in member.alarms}

    found, member = seen(**{"/bindings": twisted(lambda value: value.update(bindings=[]))})
    assert member is None
    assert device.id in {one.subject for one in found.members.vanished}


def test_attack_05_a_device_of_the_servers_making_is_none(home: Home) -> None:
    """A binding that rests on a root of somebody else's is refused, however whole it looks."""
    from allod.testing.repository import RepositorySimulator

    foreign = RepositorySimulator(now=NOW)
    opened = open_invite(foreign.invite(("kitchen",)), NOW, NOW).value
    key = key_from("stranger")
    file = json.loads(make_binding(opened, key, epoch=1, at=NOW, facts={}, agent="x"))
    record = json.loads(base64.b64decode(file["record"]["payload"]))

    def add(value: dict[str, Any]) -> None:
        value["bindings"].append(
            {
                "device": record["device"],
                "epoch": 1,
                "received": "2026-11-01T00:00:00Z",
                "surplus": False,
                **file,
            }
        )

    picture = take(home.fleet(**{"/bindings": twisted(add)}), reports=False)
    assert record["device"] not in {one.device for one in picture.devices}


def test_attack_09_what_is_shown_is_what_is_signed(home: Home) -> None:
    """Editing code that is not to be trusted puts other bytes under the signature than it says:
    the summary, which knows only the bytes, shows them; bytes exchanged after it are refused.
    """
    fleet = home.fleet()

    def lying(picture) -> Change:
        scope = group_scope(GroupName("attack9"))
        harmless = edit.empty(picture.base.fleet_id, scope)
        evil = edit.hold(harmless, "never change again")
        return Change({scope: evil}, remarks=("Makes a group.",))

    prepared = prepare(take(fleet), Intent(yes=True), lying)
    assert prepared is not None
    assert "hold: never change again" in "\n".join(prepared.summary.lines())

    honest = prepare(take(fleet), Intent(yes=True), lambda picture: new_group("attack9", picture))
    assert honest is not None
    assert "hold" not in "\n".join(honest.summary.lines())
    path = group_scope(GroupName("attack9")).target_path
    document = decode_state(honest.draft.contents[path])
    honest.draft.set_target(path, encode_state(edit.hold(document, "slipped in")))
    with pytest.raises(Untrusted) as caught:
        sign(honest, {"targets": fleet.keys.signers("targets")})
    assert caught.value.code == "not-what-was-shown"


def test_attack_09_content_must_be_what_the_signed_digest_says(home: Home) -> None:
    """A target whose bytes are not those of the digest that would be signed stops the preview."""
    from allod.cli.preview import read_back

    prepared = prepare(
        take(home.fleet()), Intent(yes=True), lambda picture: new_group("attack9b", picture)
    )
    assert prepared is not None
    base = prepared.picture.base
    contents = dict(prepared.draft.contents)
    (path,) = contents
    for wrong in ({path: contents[path] + b" "}, {}, {**contents, "providers/evil.json": b"{}"}):
        with pytest.raises(Untrusted) as caught:
            read_back(
                base.fleet_id, base.view.repository.files, prepared.unsigned, wrong, base.content
            )
        assert caught.value.code == "not-what-was-meant"


def test_attack_60_an_old_base_is_not_signed_on(home: Home) -> None:
    """The server shows the CLI the state before a revocation: nothing is signed or uploaded."""
    fleet = home.fleet()
    take(fleet, reports=False)
    path = f"/f/{fleet.id}/tuf/timestamp.json"
    before = fleet.client.request("GET", path)
    made = home.do("device", "invite", "--group", "attack60", "-y", "--url-only")
    home.do("device", "revoke", made["id"], "-y")
    liar = home.fleet(**{"tuf/timestamp.json": lambda _: before})
    with pytest.raises(AllodError) as caught:
        publish(
            home.options(liar), Intent(yes=True), lambda picture: new_group("signed60", picture)
        )
    assert caught.value.code == "rollback"
    assert not [one for one in liar.client.sent if one.startswith("POST")]
    assert made["id"] in take(home.fleet(), reports=False).base.fleet_document.revoked_invites


def test_attack_60_a_change_keeps_what_others_signed(home: Home) -> None:
    """The whole difference to the newest base is shown: one document, and nothing taken back."""
    home.do("group", "add", "attack60b", "-y")
    prepared = prepare(
        take(home.fleet()), Intent(yes=True), lambda picture: new_group("attack60c", picture)
    )
    assert prepared is not None
    assert {one.subject for one in prepared.summary.differences} == {"groups/attack60c"}


@pytest.mark.slow
def test_attack_61_nothing_is_deleted_that_is_not_named(home: Home) -> None:
    """A group move, a handed-back package, a new first group: the device keeps what it has."""
    device = home.device("keeper", "attack61")
    home.do("deploy", "attack61", home.app("stove", "1"), "-y")
    device.converge()
    home.do("group", "add", "empty61", "-y")
    home.do("device", "move", device.id, "empty61", "-y")
    device.converge()
    row = home.row(device, "stove")
    assert (row["state"], row["active"]) == ("nobody decides", "1")
    home.do("device", "move", device.id, "attack61", "-y")
    home.do("group", "follow", "attack61", "stove", "-y")
    device.converge()
    assert home.row(device, "stove")["active"] == "1"


def test_history_is_the_owners_not_the_servers(home: Home) -> None:
    """An old file that the owner did not sign is refused; one that is missing is named."""
    home.do("group", "add", "past", "-y")
    fleet = home.fleet(
        **{"tuf/1.targets.json": lambda data: data.replace(b"fleet.json", b"fleet.jsom")}
    )
    kept = fleet.directory / "past"
    for file in kept.glob("*"):
        file.unlink()
    with pytest.raises(Untrusted):
        _ = Past(take(fleet, reports=False)).changes
    assert Past(take(home.fleet(), reports=False)).changes, "what was refused is not kept"
