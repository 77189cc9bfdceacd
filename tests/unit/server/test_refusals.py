"""What the server did not take stands in the activity log, and nobody fills it that way."""

from __future__ import annotations

import json

import pytest

from allod.domain.ids import sha256
from allod.errors import Conflict, Refused, Unavailable, Untrusted
from allod.server.events import AlarmRaised
from allod.server.services.refusals import A_DAY, STRANGERS
from allod.testing.asgi import Answer, ask
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, entries_in, logged
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode
from allod.wire.log import AlarmEntry, RefusalEntry, decode_activity


def refusals(rig: ServerRig) -> list[RefusalEntry]:
    """Those in the log, oldest first."""
    found = [decode_activity(entry) for entry in entries_in(rig, "activity")]
    return [entry for entry in found if isinstance(entry, RefusalEntry)]


def broken(raw: bytes) -> bytes:
    """The same envelope with a signature of nobody."""
    envelope = json.loads(raw)
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    return json.dumps(envelope).encode()


def send(rig: ServerRig, path: str, body: bytes, **headers: str) -> Answer:
    """A request by the owner, or by whoever the headers name."""
    fields = headers or rig.signed("POST", path, body)
    fields = {"content-type": "application/json", **fields}
    return ask(rig.application, "POST", path, body=body, headers=fields)


def test_strangers_take_one_entry_an_hour(rig: ServerRig) -> None:
    """Hundreds of reports under no key of a device, and for devices that are not there, are one
    entry of each kind; how many stands in the next one, an hour later.
    """
    logged(rig)
    device = rig.bound()
    report = broken(device.report(advance=False))
    for number in range(300):
        with pytest.raises(Untrusted):
            rig.server.receive_report(rig.fleet, device.id, report)
        with pytest.raises(Refused):
            rig.server.receive_report(rig.fleet, rig.device(f"{number % 7}").id, report)
    rig.server.settle()
    first = refusals(rig)
    assert [(one.code, one.subject, one.digest) for one in first] == [
        ("auth", STRANGERS, None),
        ("unknown-device", STRANGERS, None),
    ]
    for _ in range(3):
        rig.clock.pass_time(minutes=61)
        rig.server.settle()
    later = refusals(rig)[2:]
    assert [one.code for one in later] == ["auth", "unknown-device"]
    assert all("299 more since" in one.says for one in later)


def test_a_device_is_named_for_what_it_signed(rig: ServerRig) -> None:
    """A report of a binding that is past carries the device's signature: it is the subject."""
    logged(rig)
    device = rig.bound()
    device.epoch = 7
    report = device.report()
    for _ in range(3):
        with pytest.raises(Untrusted, match="binding 7"):
            rig.server.receive_report(rig.fleet, device.id, report)
    [entry] = refusals(rig)
    assert (entry.code, entry.subject, entry.digest) == ("wrong-epoch", device.id, sha256(report))


def test_whoever_has_an_invite_is_one_subject(rig: ServerRig) -> None:
    """Devices cost nothing to make up, so it is the invite whose secret signed that is named."""
    logged(rig)
    invite = rig.simulator.invite(id="old", uses=1)
    records = [rig.device(f"{n}").bind(invite, rig.clock.moment) for n in range(9)]
    rig.clock.pass_time(days=4000)
    for record in records:
        with pytest.raises(Refused):
            rig.server.admit_binding(rig.fleet, record)
    [entry] = refusals(rig)
    assert (entry.code, entry.subject) == ("invite-expired", "invite old")
    assert entry.digest is not None


def test_an_upload_that_is_refused_is_logged_with_who_brought_it(rig: ServerRig) -> None:
    """Another signature, an older version, an entry that nobody signed: each by its code; a change
    that comes too late is everyday and is not.
    """
    logged(rig)
    good = change(rig)
    [name] = good.metadata
    forged = ChangeUpload(
        base=good.base, metadata={name: broken(good.metadata[name])}, entries=good.entries
    )
    unlogged = ChangeUpload(base=good.base, metadata=good.metadata, targets=good.targets)
    path = f"/api/v1/fleets/{rig.fleet}/changes"
    for upload, status in ((forged, 422), (unlogged, 422), (good, 201), (good, 201)):
        body = encode(upload)
        answer = send(rig, path, body)
        assert answer.status == status, answer.body
    stale = encode(ChangeUpload(base={"targets": 1}, metadata=good.metadata))
    assert send(rig, path, stale).status == 409
    assert send(rig, path, stale, authorization="Bearer x").status == 401
    found = refusals(rig)
    assert [(one.code, one.subject) for one in found[1:]] == [
        ("missing-log-entry", "person owner"),
        ("unauthenticated", STRANGERS),
    ]
    assert found[0].subject == "person owner"
    assert found[1].digest == sha256(encode(unlogged))


def test_there_is_room_for_so_many_a_day(rig: ServerRig) -> None:
    """Whoever is refused, in however many names: a day's entries are bounded."""
    logged(rig)
    service = rig.server.refusals
    taken: list[object] = []
    service._logs = type("Logs", (), {"record": lambda *parts: taken.append(parts[-1])})()
    for number in range(A_DAY + 500):
        service(rig.fleet, "a report", Conflict("x", "cannot"), subject=f"device {number}")
    assert len(taken) == A_DAY


def test_a_log_that_cannot_take_it_changes_no_answer(
    rig: ServerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal stays that refusal; an alarm is kept, and logged as soon as the log takes it."""
    logged(rig)
    device = rig.bound()
    logs = rig.server.publications.logs

    def fail(*_: object) -> None:
        raise Unavailable("log-missing", "cannot find the log")

    monkeypatch.setattr(logs, "record", fail)
    with pytest.raises(Untrusted):
        rig.server.receive_report(rig.fleet, device.id, broken(device.report(advance=False)))
    alarm = AlarmRaised(rig.fleet, "device-cloned", device.id, "two pasts", rig.clock.moment)
    rig.server.alarms.raised(alarm)
    rig.server.settle()
    assert rig.server.stores.database.alarms(rig.fleet) == (alarm,)
    rig.restart()
    for _ in range(2):
        rig.server.settle()
    found = [decode_activity(entry) for entry in entries_in(rig, "activity")]
    assert [one.code for one in found if isinstance(one, AlarmEntry)] == ["device-cloned"]


def test_hostile_words_are_logged_as_words(rig: ServerRig) -> None:
    """Too long, or not to be written as UTF-8: cut and mended, never an error."""
    logged(rig)
    service = rig.server.refusals
    service(rig.fleet, "a report", Untrusted("auth", "cannot \ud800 " + "x" * 5000))
    [entry] = refusals(rig)
    assert len(entry.says) == 1000
