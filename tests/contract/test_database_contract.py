"""What every database of the projection promises: events go in whole, and twice changes nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from allod.domain.ids import DeviceId, FleetId
from allod.server.db.sqlite import SqliteDatabase
from allod.server.events import (
    AlarmRaised,
    Bound,
    ChannelTaken,
    DeviceDocumented,
    FleetRead,
    ProposalKept,
    Published,
    Reported,
    ReportForgotten,
    TokenIssued,
    TokenRevoked,
)
from allod.wire.entry import ChangeNote

FLEET, OTHER = FleetId("f" * 64), FleetId("e" * 64)
ONE, TWO = DeviceId("1" * 64), DeviceId("2" * 64)
NOW = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
NOTE = ChangeNote(number=1, id="c1", at="2026-11-23T09:00:00Z", message="why")


@pytest.fixture(params=["sqlite"])
def database(request, tmp_path):
    """Every adapter in turn."""
    made = SqliteDatabase(tmp_path / "database.sqlite")
    yield made
    made.close()


def bound(device=ONE, epoch=1, **fields) -> Bound:
    values = {
        "fleet": FLEET,
        "device": device,
        "epoch": epoch,
        "invite": "i",
        "groups": ("kitchen",),
        "key": "{}",
        "received": NOW,
        "surplus": False,
        "facts": {"a": "b"},
        "agent": "0.1",
    }
    return Bound(**{**values, **fields})


def reported(sequence=1, digest="sha256:a", **fields) -> Reported:
    values = {
        "fleet": FLEET,
        "device": ONE,
        "epoch": 1,
        "sequence": sequence,
        "digest": digest,
        "previous": None,
        "kind": "change",
        "received": NOW,
        "head": digest,
    }
    return Reported(**{**values, **fields})


def test_a_fleet_is_replaced(database) -> None:
    """The newest reading of a fleet counts, and other fleets stay apart."""
    first = FleetRead(FLEET, "home", False, 1, 1, {"root": 1})
    second = FleetRead(FLEET, "house", True, 2, 1, {"root": 1, "targets": 2}, restored=True)
    database.apply(first, FleetRead(OTHER, "works", False, 1, 1, {}))
    database.apply(second)
    assert database.fleet(FLEET) == second
    assert [fleet.name for fleet in database.fleets()] == ["works", "house"]
    assert database.fleet(FleetId("0" * 64)) is None


def test_publications_in_order(database) -> None:
    """Publications come back as they went in, oldest first, after a counter, up to a limit."""
    events = [
        Published(FLEET, news, NOW, "change", {"targets": news}, ("fleet.json",), NOTE)
        for news in (3, 1, 2)
    ]
    database.apply(*events)
    database.apply(*events)
    rows = database.publications(FLEET, after=1, limit=10)
    assert [row.news for row in rows] == [2, 3]
    assert rows[1] == events[0]
    assert len(database.publications(FLEET, after=0, limit=2)) == 2


def test_a_device_has_its_newest_binding(database) -> None:
    """The highest epoch is shown; the same record again changes nothing."""
    database.apply(bound(), bound(epoch=2, groups=("attic",)), bound(TWO))
    database.apply(bound(epoch=2, groups=("elsewhere",)))
    row = database.device(FLEET, ONE)
    assert (row.epoch, row.groups, row.facts) == (2, ("attic",), {"a": "b"})
    assert [row.device for row in database.devices(FLEET, after="", limit=9)] == [ONE, TWO]
    assert [row.device for row in database.devices(FLEET, after=ONE, limit=9)] == [TWO]
    assert database.device_count(FLEET) == 2
    assert database.device(OTHER, ONE) is None


def test_uses_count_devices_and_not_records(database) -> None:
    """One device that binds twice by an invite is one use; surplus ones are none."""
    database.apply(bound(), bound(epoch=2), bound(TWO, surplus=True))
    assert database.uses(FLEET, "i") == {ONE}
    assert database.uses(FLEET, "other") == frozenset()
    database.apply(bound(TWO, epoch=2, surplus=True))
    assert (database.surplus(FLEET, "i"), database.surplus(FLEET, "other")) == (1, 0)


def test_an_owners_document_counts_from_its_epoch_on(database) -> None:
    """A document of an earlier binding neither retires a device nor moves it (attack 53)."""
    database.apply(bound(epoch=2), DeviceDocumented(FLEET, ONE, 1, "retired", "old", ("attic",)))
    row = database.device(FLEET, ONE)
    assert (row.status, row.groups) == ("active", ("kitchen",))
    assert database.retired(FLEET) == frozenset()
    database.apply(DeviceDocumented(FLEET, ONE, 2, "retired", "new", ("attic",)))
    row = database.device(FLEET, ONE)
    assert (row.status, row.groups, row.label) == ("retired", ("attic",), "new")
    assert database.retired(FLEET) == {ONE}


def test_devices_on_record_are_listed_by_id(database) -> None:
    """Those of the fleet that were not let go; they count as no bound device."""
    said = [
        DeviceDocumented(FLEET, TWO, 1, "foreign", "mr-2", None),
        DeviceDocumented(FLEET, ONE, 1, "foreign", "mr-1", ("radiology",)),
        DeviceDocumented(OTHER, ONE, 1, "foreign", "ct", ()),
        DeviceDocumented(FLEET, DeviceId("3" * 64), 1, "retired", "gone", ()),
        DeviceDocumented(FLEET, DeviceId("4" * 64), 1, "active", "toaster", ()),
    ]
    database.apply(*said)
    assert database.recorded(FLEET, after="", limit=9) == (said[1], said[0])
    assert database.recorded(FLEET, after=ONE, limit=9) == (said[0],)
    assert len(database.recorded(FLEET, after="", limit=1)) == 1
    assert database.devices(FLEET, after="", limit=9) == ()
    assert database.device_count(FLEET) == 0


def test_reports_in_order_with_the_newest(database) -> None:
    """Reports come by sequence; the newest is known; another digest is another report."""
    database.apply(bound(), reported(2, "sha256:b"), reported(1), reported(1))
    assert [row.sequence for row in database.reports(FLEET, ONE, after=0, limit=9)] == [1, 2]
    assert database.newest_report(FLEET, ONE, 1).sequence == 2
    assert database.newest_report(FLEET, ONE, 2) is None
    assert database.report(FLEET, ONE, 1, 1) == (reported(1),)
    assert database.has_report(FLEET, ONE, 1, "sha256:b")
    assert not database.has_report(FLEET, ONE, 1, "sha256:c")
    assert database.device(FLEET, ONE).sequence == 2


def test_a_fork_marks_both(database) -> None:
    """Two reports of one sequence: both are there, both are marked, the device is too."""
    database.apply(bound(), reported(1), reported(1, "sha256:b", forked=True))
    assert [row.forked for row in database.report(FLEET, ONE, 1, 1)] == [True, True]
    assert database.device(FLEET, ONE).quarantined


def test_old_heartbeats_are_found_and_forgotten(database) -> None:
    """Only heartbeats beyond the newest ones are named, never reports with changes."""
    beats = [reported(n, f"sha256:{n}", kind="heartbeat") for n in range(2, 7)]
    database.apply(bound(), reported(1), *beats)
    old = database.old_heartbeats(FLEET, ONE, keep=2)
    assert sorted(row.sequence for row in old) == [2, 3, 4]
    database.apply(*(ReportForgotten(FLEET, ONE, 1, row.sequence) for row in old))
    left = [row.sequence for row in database.reports(FLEET, ONE, after=0, limit=9)]
    assert left == [1, 5, 6]


def test_alarms_stand_once(database) -> None:
    """One code and subject is one alarm, as of its first time."""
    later = NOW + timedelta(hours=1)
    database.apply(
        AlarmRaised(FLEET, "a", "x", "says", NOW), AlarmRaised(FLEET, "b", "x", "s", NOW)
    )
    database.apply(AlarmRaised(FLEET, "a", "x", "again", later))
    assert [(alarm.code, alarm.says) for alarm in database.alarms(FLEET)] == [
        ("a", "says"),
        ("b", "s"),
    ]


def test_tokens(database) -> None:
    """A token is found by its hash until it is revoked."""
    token = TokenIssued(FLEET, "t1", "ci", ("read", "push"), "h" * 64, NOW, NOW)
    database.apply(token)
    database.apply(token)
    assert database.token("h" * 64) == token
    assert database.tokens(FLEET) == (token,)
    database.apply(TokenRevoked(FLEET, "t1"))
    assert database.token("h" * 64) is None


def test_all_or_nothing(database) -> None:
    """If one event cannot be applied, none is."""
    bad = FleetRead(FLEET, "home", False, 1, 1, {"root": object()})
    with pytest.raises(Exception, match="JSON"):
        database.apply(bound(), bad)
    assert database.device(FLEET, ONE) is None


def test_forgetting_a_fleet(database) -> None:
    """Everything about one fleet goes, and nothing of the others."""
    database.apply(bound(), reported(), bound(fleet=OTHER), FleetRead(OTHER, "o", False, 1, 1, {}))
    database.forget(FLEET)
    assert database.device(FLEET, ONE) is None
    assert database.reports(FLEET, ONE, after=0, limit=9) == ()
    assert database.device(OTHER, ONE) is not None


def test_many_threads(database) -> None:
    """Writers and readers at once lose nothing and never fail."""
    database.apply(bound())
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 20):
                database.apply(reported(number, f"sha256:{number}"))
                database.newest_report(FLEET, ONE, 1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(1 + 20 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(database.reports(FLEET, ONE, after=0, limit=1000)) == 80


def test_what_was_applied_is_there_after_reopening(tmp_path) -> None:
    """A second process sees everything; migrations run once."""
    path = tmp_path / "database.sqlite"
    first = SqliteDatabase(path)
    first.apply(bound())
    first.close()
    second = SqliteDatabase(path)
    assert second.device(FLEET, ONE) is not None
    second.close()


def test_the_migrations_make_the_schema(tmp_path) -> None:
    """What the migrations build is what the tables of the code say."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from allod.server.db import schema

    made = SqliteDatabase(tmp_path / "database.sqlite")
    with made._engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    made.close()
    assert differences == []


def proposed(id_="c1", **fields) -> ProposalKept:
    values = {
        "fleet": FLEET,
        "id": id_,
        "author": "owner",
        "by": "anna",
        "at": "2026-11-23T09:00:00Z",
        "message": "why",
        "ticket": "T1",
        "state": "open",
        "received": NOW,
        "packages": ("groups/kitchen pkg:generic/me/toaster",),
        "approvals": 0,
    }
    return ProposalKept(**{**values, **fields})


def test_a_proposal_is_replaced(database) -> None:
    """The newest of an id counts; they come by id, by state, in pages, and of one fleet."""
    database.apply(proposed("c2"), proposed("c1"), proposed("c3", fleet=OTHER))
    database.apply(proposed("c1", state="published", approvals=2))
    assert [row.id for row in database.proposals(FLEET, limit=9)] == ["c1", "c2"]
    assert database.proposals(FLEET, limit=1) == (proposed("c1", state="published", approvals=2),)
    assert database.proposals(FLEET, state="open", limit=9) == (proposed("c2"),)
    assert database.proposals(FLEET, after="c1", limit=9) == (proposed("c2"),)
    database.forget(FLEET)
    assert database.proposals(FLEET, limit=9) == ()


def taken(sequence=1, **fields) -> ChannelTaken:
    values = {
        "fleet": FLEET,
        "provider": "acme",
        "channel": "stable",
        "sequence": sequence,
        "digest": "sha256:a",
        "at": NOW,
        "expires": NOW + timedelta(days=1),
        "received": NOW,
        "news": sequence,
    }
    return ChannelTaken(**{**values, **fields})


def test_a_channel_has_its_newest_document(database) -> None:
    """The highest sequence of each channel, in whatever order they came, with where it stands."""
    newest = taken(7, log="origin", index=3)
    events = (taken(2), newest, taken(5), taken(1, channel="beta"), taken(9, fleet=OTHER))
    database.apply(*events)
    database.apply(*events)
    assert database.channels(FLEET) == (taken(1, channel="beta"), newest)
