"""Bindings, reports and read tokens: what devices hand in and may read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import device_scope
from allod.errors import Conflict, InvalidInput, Refused, Unavailable, Untrusted
from allod.testing.repository import key_from
from allod.testing.server import ServerRig, SimulatedDevice
from allod.wire.binding import BindingFile
from allod.wire.codec import decode, encode
from allod.wire.report import HostPackage, Inventory, TrustState


def codes(rig: ServerRig) -> list[str]:
    return [alarm.code for alarm in rig.server.listings.alarms(rig.fleet).alarms]


def record(rig: ServerRig, device: SimulatedDevice, *, status="active", epoch=1) -> None:
    """The owner's own document of a device."""
    document = StateDocument(
        rig.fleet, device_scope(device.id), {}, device=DeviceRecord(epoch, status, label="hall")
    )
    rig.change(rig.simulator.set_state(document))


def test_a_bound_device_is_listed_with_its_own_words(rig: ServerRig) -> None:
    """The list shows what record and invite say, and hands out the record itself."""
    device = rig.bound()
    shown = rig.server.listings.device(rig.fleet, device.id)
    assert (shown.epoch, shown.groups, shown.surplus) == (1, ["kitchen"], False)
    assert shown.facts == {"device.name": "pi"}
    entry = rig.server.listings.bindings(rig.fleet, "", 10).bindings[0]
    assert entry.device == device.id


def test_the_same_record_again_is_no_second_use(rig: ServerRig) -> None:
    """Redelivery after a lost answer gets the same receipt, also after a restart."""
    device = rig.device()
    data = device.bind(rig.simulator.invite(), rig.clock.moment)
    first = rig.server.admit_binding(rig.fleet, data)
    rig.restart()
    assert rig.server.admit_binding(rig.fleet, data) == first
    assert codes(rig) == []


def test_a_surplus_device_is_kept_gets_no_token_and_raises_an_alarm(rig: ServerRig) -> None:
    """One device more than the invite allows: the record stays, reading does not begin."""
    invite = rig.simulator.invite(uses=1)
    first, second = rig.device("one"), rig.device("two")
    assert not rig.server.admit_binding(rig.fleet, first.bind(invite, rig.clock.moment)).surplus
    data = second.bind(invite, rig.clock.moment)
    assert rig.server.admit_binding(rig.fleet, data).surplus
    assert rig.server.admit_binding(rig.fleet, data).surplus
    assert rig.token(first)
    with pytest.raises(Refused) as caught:
        rig.token(second)
    assert caught.value.code == "surplus-device"
    assert codes(rig) == ["invite-surplus"]


def test_an_expired_invite_is_refused_unless_the_owner_carried_it(rig: ServerRig) -> None:
    """A record made in time and carried late by the owner counts; one that comes late does not."""
    device = rig.device()
    data = device.bind(rig.simulator.invite(), rig.clock.moment)
    rig.clock.pass_time(days=8)
    with pytest.raises(Refused) as caught:
        rig.server.admit_binding(rig.fleet, data)
    assert caught.value.code == "invite-expired"
    assert rig.server.admit_binding(rig.fleet, data, carried=True).device == device.id


def test_a_revoked_invite_is_refused(rig: ServerRig) -> None:
    """The owner takes an invite back, and it admits nobody."""
    device = rig.device()
    data = device.bind(rig.simulator.invite(), rig.clock.moment)
    people = rig.server.fleets.need(rig.fleet).document.people
    rig.change(rig.simulator.set_fleet(people=people, revoked_invites=["invite-1"]))
    with pytest.raises(Refused) as caught:
        rig.server.admit_binding(rig.fleet, data)
    assert caught.value.code == "invite-revoked"


def test_an_altered_or_foreign_record_is_refused(rig: ServerRig, tmp_path) -> None:
    """Nothing but this fleet's invite with both signatures binds a device here."""
    device = rig.device()
    data = device.bind(rig.simulator.invite(), rig.clock.moment)
    file = decode(data, BindingFile, cap=10**6)
    other = ServerRig.make(tmp_path / "other", name="other")
    foreign = other.device().bind(other.simulator.invite(), other.clock.moment)
    other.server.close()
    half = replace_signatures(file)
    for bad in (foreign, half):
        with pytest.raises(Untrusted):
            rig.server.admit_binding(rig.fleet, bad)
    with pytest.raises(InvalidInput):
        rig.server.admit_binding(rig.fleet, b"{}")
    assert rig.server.listings.fleet(rig.fleet).devices == 0


def replace_signatures(file: BindingFile) -> bytes:
    import msgspec

    record = msgspec.structs.replace(file.record, signatures=file.record.signatures[:1])
    return encode(msgspec.structs.replace(file, record=record))


def test_an_invite_of_a_key_that_was_replaced_binds_nobody(rig: ServerRig) -> None:
    """A stolen daily key cannot go on inviting after it was rotated away (attack 63)."""
    data = rig.device().bind(rig.simulator.invite(), rig.clock.moment)
    simulator = rig.simulator
    files = set(simulator.files)
    simulator.rotate_targets([key_from("new-targets")])
    new = {
        path.removeprefix("tuf/"): simulator.files[path]
        for path in set(simulator.files) - files
        if not path.endswith(".snapshot.json")
    }
    from allod.wire.api import ChangeUpload

    rig.server.publish(rig.fleet, ChangeUpload(base={"root": 1}, metadata=new))
    with pytest.raises(Untrusted) as caught:
        rig.server.admit_binding(rig.fleet, data)
    assert caught.value.code == "auth"


def test_epochs(rig: ServerRig) -> None:
    """A higher epoch takes over, a lower one is past, and two of one epoch are an alarm."""
    device = rig.bound(uses=3)
    invite = rig.simulator.invite(id="invite-2", uses=3)
    second = device.bind(invite, rig.clock.moment, epoch=2)
    assert rig.server.admit_binding(rig.fleet, second).epoch == 2
    for epoch, code in ((1, "epoch-taken"), (2, "epoch-taken")):
        late = device.bind(invite, rig.clock.moment + timedelta(seconds=9), epoch=epoch)
        with pytest.raises(Conflict) as caught:
            rig.server.admit_binding(rig.fleet, late)
        assert caught.value.code == code
    assert rig.server.listings.device(rig.fleet, device.id).epoch == 2
    assert codes(rig) == ["binding-forked"]


def test_a_token_is_given_checked_and_ends(rig: ServerRig) -> None:
    """A day after it was given a token counts no more; altered it never did."""
    device = rig.bound()
    token = rig.token(device)
    grant = rig.server.read_tokens.check(token)
    assert (grant.fleet, grant.device) == (rig.fleet, device.id)
    for bad in (token[:-1], token + "x", token.replace(device.id, "0" * 64), "", "allod-read.a.b"):
        with pytest.raises(Untrusted) as caught:
            rig.server.read_tokens.check(bad)
        assert caught.value.code == "unauthenticated"
    rig.clock.pass_time(hours=25)
    with pytest.raises(Untrusted):
        rig.server.read_tokens.check(token)


def test_a_challenge_is_for_one_device_and_a_short_time(rig: ServerRig) -> None:
    """An answer to another device's, an altered or an old challenge gives no token."""
    one, two = rig.bound("one"), rig.bound("two", invite="invite-2")
    tokens = rig.server.read_tokens
    challenge = tokens.challenge(rig.fleet, two.id)
    for bad in (challenge, challenge[:-2] + "AA", "x", "é"):
        with pytest.raises(Untrusted):
            tokens.grant(rig.fleet, one.id, one.token_request(bad))
    mine = tokens.challenge(rig.fleet, one.id)
    with pytest.raises(Untrusted) as caught:
        tokens.grant(rig.fleet, one.id, two.token_request(mine))
    assert caught.value.code == "auth"
    rig.clock.pass_time(minutes=6)
    with pytest.raises(Untrusted):
        tokens.grant(rig.fleet, one.id, one.token_request(mine))


def test_an_answer_to_a_challenge_counts_once(rig: ServerRig) -> None:
    """Whoever overheard a device's answer gets no token by it; and no device asks without end."""
    device = rig.bound()
    tokens = rig.server.read_tokens
    answer = device.token_request(tokens.challenge(rig.fleet, device.id))
    tokens.grant(rig.fleet, device.id, answer)
    with pytest.raises(Untrusted) as caught:
        tokens.grant(rig.fleet, device.id, answer)
    assert caught.value.code == "replayed"
    for _ in range(28):
        rig.token(device)
    with pytest.raises(Unavailable) as limited:
        rig.token(device)
    assert limited.value.code == "too-many"
    rig.clock.pass_time(minutes=6)
    assert rig.token(device)
    assert len(tokens._answered._used) == 1, "what counts no more is forgotten"


def test_an_unknown_or_retired_device_gets_no_token(rig: ServerRig) -> None:
    """The owner's word counts at once: no new token, and the old one ends."""
    device = rig.bound()
    rig.token(device)
    record(rig, device, status="retired")
    with pytest.raises(Refused) as caught:
        rig.token(device)
    assert caught.value.code == "retired-device"
    assert device.id in rig.server.fleets.need(rig.fleet).retired
    with pytest.raises(Refused) as caught:
        rig.token(rig.device("stranger"))
    assert caught.value.code == "unknown-device"


def test_a_retired_device_that_comes_back_raises_an_alarm(rig: ServerRig) -> None:
    """A new binding record of a retired device is refused and told to the owner (attack 54)."""
    device = rig.bound()
    record(rig, device, status="retired", epoch=5)
    again = device.bind(rig.simulator.invite(id="invite-2"), rig.clock.moment, epoch=2)
    with pytest.raises(Refused) as caught:
        rig.server.admit_binding(rig.fleet, again)
    assert caught.value.code == "retired-device"
    assert codes(rig) == ["retired-device-returned"]


def test_reports_are_kept_byte_for_byte(rig: ServerRig) -> None:
    """What the owner's program gets is exactly what the device signed."""
    device = rig.bound()
    sent = [device.report(), device.report(kind="heartbeat"), device.report()]
    for number, report in enumerate(sent, 1):
        assert rig.server.receive_report(rig.fleet, device.id, report).sequence == number
    listed = rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports
    assert [encode(entry.report) for entry in listed] == sent
    assert rig.server.listings.device(rig.fleet, device.id).sequence == 3


def test_a_late_report_fills_its_gap(rig: ServerRig) -> None:
    """A report that was carried on a stick and comes after newer ones is kept, without alarm."""
    device = rig.bound()
    first, second = device.report(), device.report()
    rig.server.receive_report(rig.fleet, device.id, second)
    assert not rig.server.receive_report(rig.fleet, device.id, first).duplicate
    listed = rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports
    assert [entry.sequence for entry in listed] == [1, 2]
    assert codes(rig) == []


def test_a_report_of_another_binding_fleet_or_key_is_refused(rig: ServerRig) -> None:
    """Only the bound key speaks for a device, in its present binding, to its own fleet."""
    device, other = rig.bound("one"), rig.bound("two", invite="invite-2")
    for bad, code in (
        (other.report(advance=False), "auth"),
        (device.report(advance=False, epoch=2), "wrong-epoch"),
        (device.report(advance=False, fleet="0" * 64), "wrong-fleet"),
        (replace(other, key=device.key).report(device=other.id), "wrong-device"),
    ):
        with pytest.raises(Untrusted) as caught:
            rig.server.receive_report(rig.fleet, device.id, bad)
        assert caught.value.code == code
    with pytest.raises(Refused):
        rig.server.receive_report(rig.fleet, rig.device("x").id, device.report(advance=False))
    assert rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports == []


def test_old_heartbeats_go_and_changes_stay(rig: ServerRig) -> None:
    """A device that reports for years does not fill the disk, and no change is lost."""
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    kept = rig.settings.heartbeats_kept
    for _ in range(kept + 5):
        rig.server.receive_report(rig.fleet, device.id, device.report(kind="heartbeat"))
    listed = rig.server.listings.reports(rig.fleet, device.id, 0, 100).reports
    assert len(listed) == kept + 1
    files = list((rig.settings.layout.fleet(rig.fleet).root / "reports" / device.id).iterdir())
    assert len(files) == kept + 1
    assert listed[0].sequence == 1


def test_the_newest_list_of_a_hosts_software_stays(rig: ServerRig) -> None:
    """A device sends it once, be it with a heartbeat: it outlives the others until a newer one."""
    device = rig.bound()
    for version in ("1.0", "2.0"):
        lists = Inventory(digest=version, dpkg=[HostPackage(name="bash", version=version)])
        raw = device.report(kind="heartbeat", inventory=lists)
        rig.server.receive_report(rig.fleet, device.id, raw)
    for _ in range(rig.settings.heartbeats_kept + 5):
        raw = device.report(kind="heartbeat", inventory=Inventory(digest="2.0"))
        rig.server.receive_report(rig.fleet, device.id, raw)
    listed = rig.server.listings.reports(rig.fleet, device.id, 0, 100).reports
    assert listed[0].sequence == 2
    assert len(listed) == rig.settings.heartbeats_kept + 1


def test_a_device_may_report_so_often_and_no_more(rig: ServerRig) -> None:
    """Beyond its rate a device is told when to come again; the next minute it may."""
    device = rig.bound()
    report = device.report()
    for _ in range(rig.settings.reports_a_minute):
        rig.server.receive_report(rig.fleet, device.id, report)
    with pytest.raises(Unavailable) as caught:
        rig.server.receive_report(rig.fleet, device.id, report)
    assert caught.value.code == "too-many"
    assert caught.value.http_status == 429
    rig.clock.pass_time(seconds=caught.value.details["retry_after"])
    assert rig.server.receive_report(rig.fleet, device.id, report).duplicate


def test_what_devices_report_of_floors_changes_nothing_in_normal_times(rig: ServerRig) -> None:
    """Only a restored server listens to devices' floors."""
    device = rig.bound()
    before = rig.versions
    high = TrustState(root=1, trust=1, roles={"timestamp": 10**12}, time="2026-11-01T12:00:00Z")
    rig.server.receive_report(rig.fleet, device.id, device.report(trust=high))
    assert rig.versions == before
