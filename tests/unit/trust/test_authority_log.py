"""The authority log on the device: what counts, what stops, what is only reported."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import KITCHEN, PACKAGE, wants

from allod.errors import AllodError, Unavailable, Untrusted
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, TestOwner, key_from
from allod.trust.floors import decode_floors, encode_floors
from allod.trust.metadata import open_role
from allod.wire.trust import Repair


def _pair(log: AuthorityLog | None = None) -> tuple[RepositorySimulator, SimulatedClient]:
    sim = RepositorySimulator(log=log or AuthorityLog())
    sim.set_state(wants(sim, "1.0"))
    return sim, SimulatedClient(sim)


def _refused(client: SimulatedClient, code: str, kind: type[AllodError] = Unavailable) -> None:
    with pytest.raises(kind) as caught:
        client.accept()
    assert caught.value.code == code


def test_a_look_at_an_unchanged_fleet_reads_no_entries() -> None:
    """Work is proportional to what is new: the second look fetches the checkpoint alone."""
    sim, client = _pair()
    client.accept()
    sim.asked.clear()
    client.accept()
    assert [path for path in sim.asked if path.startswith("log/")] == ["log/authority/checkpoint"]
    sim.set_state(wants(sim, "2.0"))
    sim.asked.clear()
    client.accept()
    assert len([path for path in sim.asked if "/entries/" in path]) == 1


def test_an_authority_names_its_log_index() -> None:
    """What the device reports of a change can be found in the log."""
    sim, client = _pair()
    view = client.accept()
    assert view.authorities[KITCHEN].log_index == len(sim.log.entries) - 1  # type: ignore[union-attr]
    assert PACKAGE in view.documents[KITCHEN].packages


def test_floors_with_a_log_survive_the_disk() -> None:
    """What is kept of the log is written and read back whole."""
    _, client = _pair()
    client.accept()
    assert client.floors.counted
    assert decode_floors(encode_floors(client.floors)) == client.floors


def test_someone_new_and_someone_known_agree() -> None:
    """Read in one go or bit by bit, over every kind of rotation, the same entries count."""
    sim, known = _pair()
    for step in range(3):
        sim.rotate_root([key_from(f"root{step}")])
        known.accept()
        sim.rotate_targets([key_from(f"targets{step}")])
        sim.rotate_online()
        sim.set_state(wants(sim, f"{step + 2}.0"))
        known.accept()
    late = SimulatedClient(sim)
    late.accept()
    assert late.floors.counted == known.floors.counted
    assert late.floors.counted["trust"].version == 1


def test_a_file_without_its_entry_is_being_published_for_an_hour() -> None:
    """What is not in the log is not acted on; after an hour somebody withholds it."""
    sim, client = _pair()
    client.accept()
    before = {path: data for path, data in sim.files.items() if path.startswith("log/")}
    sim.set_state(wants(sim, "2.0"))
    after = dict(sim.files)
    for path in [path for path in sim.files if path.startswith("log/")]:
        sim.files[path] = before.get(path, sim.files[path])
    _refused(client, "publishing")
    sim.now += timedelta(minutes=59)
    _refused(client, "publishing")
    sim.now += timedelta(minutes=2)
    _refused(client, "withheld")
    sim.files = after
    assert KITCHEN in client.accept().documents
    assert not [name for name in client.cached if name.startswith("publishing")]


def test_a_successor_goes_on_where_the_lost_log_ended() -> None:
    """The root names another log; what counted in the lost one is still a floor."""
    sim, client = _pair(AuthorityLog(witnesses=1))
    client.accept()
    assert sim.log is not None
    sim.log.succeed()
    sim.log_everything()
    sim.add_statement()
    sim.set_state(wants(sim, "2.0"))
    view = client.accept()
    assert sim.log.origin in client.floors.logs
    assert view.authorities[KITCHEN].version == client.floors.counted["targets"].version
    late = SimulatedClient(sim)
    late.accept()
    assert late.floors.counted == client.floors.counted


def test_a_successor_begins_with_a_root_that_was_never_seen() -> None:
    """The root was rotated after the device looked, and the log was lost: it follows both."""
    sim, client = _pair()
    client.accept()
    sim.rotate_root([key_from("another root")])
    assert sim.log is not None
    sim.log.succeed()
    sim.log_everything()
    sim.add_statement()
    client.accept()
    assert client.floors.counted["root"].version == 2


def test_a_successor_that_lacks_a_role_does_not_make_it_younger() -> None:
    """What counted in the lost log is a floor in the next, without an index there."""
    sim, client = _pair(AuthorityLog(witnesses=1))
    client.accept()
    assert sim.log is not None
    sim.log.succeed()
    sim.add_statement()
    sim.set_state(wants(sim, "2.0"))
    view = client.accept()
    assert client.floors.counted["devices"].index == -1
    assert view.authorities[KITCHEN].log_index is not None


def test_a_statement_with_an_unreachable_quorum_is_refused() -> None:
    """An owner cannot lock the fleet out by a slip: three of two is no quorum."""
    sim, client = _pair(AuthorityLog(witnesses=2, quorum=2))
    client.accept()
    assert sim.log is not None
    sim.log.quorum = 3
    sim.add_statement()
    _refused(client, "bad-quorum", Untrusted)


def test_a_fleet_begins_a_log_later() -> None:
    """Statement 2 names the first log; every role is logged as it stands, and the device reads it."""
    sim = RepositorySimulator()
    client = SimulatedClient(sim)
    client.accept()
    assert client.floors.logs == {}
    sim.log = AuthorityLog()
    sim.log.begin(sim.fleet)
    sim.log_everything()
    sim.add_statement()
    sim.set_state(wants(sim, "2.0"))
    assert client.accept().authorities[KITCHEN].log_index is not None


def test_two_contents_of_one_version_are_an_alarm_and_the_first_holds() -> None:
    """Who has the daily key signed twice: the log's order decides, and the owner hears of it."""
    sim, client = _pair()
    client.accept()
    assert sim.log is not None
    version = client.floors.counted["targets"].version
    sim.log.sign("targets", version, "sha256:" + "0" * 64, sim.owner.targets)
    sim.publish_log()
    view = client.accept()
    assert [alarm.code for alarm in view.alarms] == ["equivocation"]
    assert view.documents[KITCHEN] is not None


def test_a_repair_frees_a_version_that_was_run_up() -> None:
    """A daily key that logged a far version is taken away, and the named floor falls."""
    sim, client = _pair()
    client.accept()
    assert sim.log is not None
    sim.log.sign("targets", 2**62, "sha256:" + "0" * 64, sim.owner.targets)
    sim.publish_log()
    _refused(client, "withheld")
    sim.rotate_targets([key_from("next")])
    sim.add_statement(repairs=[Repair(roles={"targets": 1})])
    assert client.accept().documents[KITCHEN] is not None


def test_a_device_catches_up_from_an_invites_checkpoint() -> None:
    """The invite's checkpoint is passed on the way; a log that never had it is refused."""
    sim, known = _pair()
    known.accept()
    sim.set_state(wants(sim, "2.0"))
    fresh = SimulatedClient(sim)
    fresh.floors = type(fresh.floors)(
        fresh.floors.fleet,
        fresh.floors.root_version,
        fresh.floors.root_digest,
        fresh.floors.time,
        logs=known.floors.logs,
    )
    begin = fresh.floors
    fresh.accept()
    assert sim.log is not None
    sim.log.entries[3], sim.log.entries[4] = sim.log.entries[4], sim.log.entries[3]
    sim.publish_log()
    fresh.floors = begin
    fresh.cached.clear()
    _refused(fresh, "log-consistency", Untrusted)
    assert "fork-authority.evidence" in fresh.cached


def test_a_signer_who_gets_the_role_later_has_signed_too_early() -> None:
    """Held under the delegator's newest entry at a lower index: what was logged before is nothing."""
    sim, client = _pair()
    assert sim.log is not None
    later = key_from("next")
    sim.log.sign("targets", 100, "sha256:" + "0" * 64, [later])
    sim.publish_log()
    sim.rotate_targets([later])
    view = client.accept()
    assert client.floors.counted["targets"].version == 3
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]


def test_what_a_rotation_does_not_sign_again_counts_no_more() -> None:
    """And still do: the old keys' entries fall with their keys, and nothing else steps in."""
    sim, client = _pair()
    client.accept()
    assert sim.log is not None
    before = len(sim.log.entries)
    sim.rotate_targets([key_from("next")])
    sim.log.entries = sim.log.entries[: before + 1]
    sim.publish_log()
    _refused(client, "publishing")
    assert set(client.floors.counted) == {"root", "trust"}


def test_a_root_needs_the_threshold_of_the_one_before_in_the_log_too() -> None:
    """The entry of root 2 under its own keys alone does not count, and is reported."""
    sim, client = _pair()
    client.accept()
    log, sim.log = sim.log, None
    assert log is not None
    after = key_from("next")
    sim.rotate_root([after])
    sim.log = log
    root = open_role(sim.roles["root"], "root")
    log.sign("root", root.version, root.digest, [after])
    sim.publish_log()
    _refused(client, "publishing")
    assert client.floors.counted["root"].version == 1


def test_production_thresholds_hold_in_the_log() -> None:
    """Two of three root keys: one of them alone logs no root, and no statement."""
    sim = RepositorySimulator(TestOwner.production(), log=AuthorityLog())
    sim.set_state(wants(sim, "1.0"))
    client = SimulatedClient(sim)
    client.accept()
    assert sim.log is not None
    for role in ("root", "trust"):
        sim.log.sign(role, 2, "sha256:" + "0" * 64, sim.owner.root[:1])
    sim.publish_log()
    view = client.accept()
    assert "entry" in view.alarms[0].says
    assert len(client.floors.counted["root"].by) >= 2


def test_a_statement_that_the_log_has_cannot_be_withheld() -> None:
    """The root's word is in the log; whoever hides its file stops change, and is seen."""
    sim, client = _pair()
    client.accept()
    sim.add_statement()
    sim.tamper["trust/2.json"] = lambda _data: None
    _refused(client, "withheld")
