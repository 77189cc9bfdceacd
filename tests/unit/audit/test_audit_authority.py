"""What is not as it should be in the authority log and its files: each has its own finding."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.audit.simulated_fleet import SimulatedFleet

from allod.domain.ids import sha256
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.testing.authority import AuthorityLog
from allod.testing.owner import TestOwner
from allod.testing.repository import key_from
from allod.tlog.fork import parse_fork


@pytest.fixture
def fleet(tmp_path: Path) -> SimulatedFleet:
    """A fleet with a log and one change."""
    made = SimulatedFleet(tmp_path)
    made.change("one")
    return made


def test_rotations_and_renewals_are_no_findings(fleet: SimulatedFleet) -> None:
    """Keys of every role change, statements follow each other; audited at once or step by step."""
    assert fleet.codes() == []
    fleet.sim.rotate_root([key_from("root 2")])
    assert fleet.codes() == []
    fleet.sim.rotate_targets([key_from("targets 2")])
    assert fleet.codes() == []
    fleet.sim.rotate_online()
    fleet.sim.add_statement()
    fleet.change("two")
    assert fleet.codes() == []
    result = fleet.audit(scratch=True)
    assert result.findings == []
    (log,) = result.logs
    assert log.proved
    assert log.entries == log.fresh == log.counts["counting"]


def test_a_rewritten_log_leaves_evidence(fleet: SimulatedFleet) -> None:
    """Since the last time an entry was taken out: what is kept proves it to whoever has the key."""
    fleet.audit()
    fleet.rewritten([*fleet.log.entries[:5], *fleet.log.entries[6:], b"more", b"and more"])
    assert fleet.codes() == ["log-consistency"]
    (path,) = (fleet.place.path / "evidence").iterdir()
    fork = parse_fork(path.read_bytes())
    short, long = fork.verify(fleet.log.origin, [fleet.log.signer.key])
    assert short.size < long.size
    assert not fleet.audit().logs[0].proved, "it stays so"


def test_what_is_not_proved_is_not_kept(fleet: SimulatedFleet) -> None:
    """Entries that are not the log's change nothing of what the next audit goes on from."""
    fleet.audit()
    before = fleet.place.load()
    good = dict(fleet.sim.files)
    fleet.change("two")
    honest = dict(fleet.sim.files)
    path = f"log/authority/tile/entries/000.p/{len(fleet.log.entries)}"
    fleet.sim.files[path] = fleet.sim.files[path].replace(b'"payload"', b'"Payload"')
    assert fleet.codes() == ["bad-tile", "log-consistency"]
    after = fleet.place.load()
    assert (after.roles, after.logs) == (before.roles, before.logs)
    fleet.sim.files = honest
    assert fleet.codes() == []
    assert good != honest


def test_an_older_copy_accuses_nobody(fleet: SimulatedFleet) -> None:
    """A stick of last week is read whole, and nothing that was verified since is forgotten."""
    old = dict(fleet.sim.files)
    fleet.change("two")
    fleet.audit()
    kept = fleet.place.load().logs
    fleet.sim.files = old
    fleet.copy = True
    result = fleet.audit()
    assert result.findings == []
    assert result.logs[0].proved
    assert any("whether they agree" in text for text in result.unchecked)
    assert fleet.place.load().logs == kept
    fleet.copy = False
    assert "log-consistency" in fleet.codes(), "a server that shows it is accused"


def test_a_log_that_went_back_is_found(fleet: SimulatedFleet) -> None:
    """Fewer entries than were verified before: the two checkpoints are kept."""
    fleet.audit()
    fleet.rewritten(fleet.log.entries[:-1])
    assert fleet.codes() == ["log-consistency", "unlogged-file"]
    assert len(list((fleet.place.path / "evidence").iterdir())) == 1


@pytest.mark.parametrize("tile", ["tile/0/000", "tile/0/001.p/{edge}", "tile/1/000.p/1"])
def test_every_tile_is_compared(fleet: SimulatedFleet, tile: str) -> None:
    """A hash tile of any level, full or partial, that is not what the entries make is found."""
    fleet.junk(300)
    path = f"log/authority/{tile.format(edge=len(fleet.log.entries) - 256)}"
    good = fleet.sim.files[path]
    fleet.sim.files[path] = good[:-1] + bytes([good[-1] ^ 1])
    found = [one for one in fleet.audit().findings if one.code == "bad-tile"]
    assert [tile.split(".", maxsplit=1)[0] in one.says for one in found] == [True]
    del fleet.sim.files[path]
    assert "bad-tile" in fleet.codes(scratch=True)


def test_a_bundle_that_is_another_or_missing_proves_nothing(fleet: SimulatedFleet) -> None:
    """Entries that do not make the root, or are not there, leave the log unproved."""
    path = f"log/authority/tile/entries/000.p/{len(fleet.log.entries)}"
    good = fleet.sim.files[path]
    fleet.sim.files[path] = good.replace(b'"payload"', b'"Payload"')
    assert "log-consistency" in fleet.codes()
    del fleet.sim.files[path]
    result = fleet.audit(scratch=True)
    assert [one.code for one in result.findings] == ["withheld"]
    assert not result.logs[0].proved


def test_checkpoints_of_others_are_refused(fleet: SimulatedFleet) -> None:
    """A checkpoint by another key proves nothing."""
    other = SimulatedFleet(fleet.directory / "other", AuthorityLog(number=2))
    fleet.sim.files["log/authority/checkpoint"] = other.sim.files["log/authority/2/checkpoint"]
    assert fleet.found() == [("note-signature", fleet.log.origin)]
    del fleet.sim.files["log/authority/checkpoint"]
    assert fleet.found() == [("withheld", fleet.log.origin)]


def test_files_that_are_missing_or_others(fleet: SimulatedFleet) -> None:
    """Every version of every file that counts has to be served as it was logged."""
    fleet.hidden.add("tuf/1.devices-bins-3.json")
    assert fleet.found() == [("withheld", "tuf/1.devices-bins-3.json")]
    fleet.hidden.clear()
    fleet.sim.files["tuf/1.devices-bins-4.json"] = fleet.sim.files["tuf/1.devices-bins-5.json"]
    assert fleet.found(scratch=True) == [("mix-and-match", "tuf/1.devices-bins-4.json")]


def test_documents_that_are_missing_are_found(fleet: SimulatedFleet) -> None:
    """A state document of any version of a role has to be served, too."""
    from tests.attacks.trust_world import wants

    fleet.sim.set_state(wants(fleet.sim, "1.0"))
    fleet.sim.set_state(wants(fleet.sim, "2.0"))
    assert fleet.audit().counts["documents"] == 2
    path = next(path for path in fleet.sim.files if path.startswith("tuf/targets/state/groups/"))
    fleet.hidden.add(path)
    assert fleet.found(scratch=True) == [("withheld", path)]


def test_two_contents_of_one_version(fleet: SimulatedFleet) -> None:
    """Signed by who holds the role, and logged: an alarm, whichever of the two is served."""
    owner = fleet.sim.owner
    fleet.log.sign("targets", 2, sha256(b"another"), owner.targets)
    fleet.sim.publish_log()
    assert fleet.found() == [("equivocation", "targets")]
    fleet.change("two")
    fleet.log.sign("targets", 2, sha256(b"a third"), owner.targets)
    fleet.sim.publish_log()
    assert ("equivocation", "tuf/2.targets.json") in fleet.found(), "long after it was the newest"


def test_versions_have_no_gaps(fleet: SimulatedFleet) -> None:
    """A version that was signed, and that the log jumps over."""
    fleet.log.sign("devices", 3, sha256(b"far"), fleet.sim.owner.targets)
    fleet.sim.publish_log()
    assert ("version-gap", "devices") in fleet.found()


def test_entries_that_do_not_count_are_said_and_stop_nothing(fleet: SimulatedFleet) -> None:
    """Junk, strangers' signatures, roles that do not exist: said once, and the rest is proved."""
    fleet.junk(2)
    fleet.log.sign("targets", 9, sha256(b"x"), [key_from("stranger")])
    fleet.log.sign("king", 1, sha256(b"x"), fleet.sim.owner.targets)
    fleet.sim.publish_log()
    result = fleet.audit()
    assert [one.code for one in result.findings] == ["log-entry-ignored"] * 4
    assert all(log.proved for log in result.logs)
    assert fleet.codes() == [], "the next audit goes on from here"
    assert len(fleet.audit().earlier) == 4


def test_a_root_that_is_logged_and_not_served(fleet: SimulatedFleet) -> None:
    """Who holds the server keeps the fleet on an old root; the log tells."""
    fleet.sim.rotate_root([key_from("root 2")])
    fleet.hidden.add("tuf/2.root.json")
    assert ("root-withheld", "root") in fleet.found()


def test_files_without_an_entry(fleet: SimulatedFleet) -> None:
    """Published past the log: nobody acts on it, and it is found."""
    log, fleet.sim.log = fleet.sim.log, None
    fleet.change("two")
    fleet.sim.log = log
    assert fleet.found() == [("unlogged-file", "tuf/3.targets.json")]


def test_an_older_file_than_the_log_has(fleet: SimulatedFleet) -> None:
    """The server holds back what is logged: the snapshot shows an older one."""
    before = fleet.sim.snapshot_state()
    fleet.change("two")
    for path in ("tuf/timestamp.json",):
        fleet.sim.files[path] = before.files[path]
    assert ("withheld", "tuf/3.targets.json") in fleet.found()


def test_what_a_taken_key_signed_has_to_be_signed_anew(fleet: SimulatedFleet) -> None:
    """A rotation that leaves a role's file as it was: devices take it no more."""
    fleet.sim.rotate_targets([key_from("targets 2")])
    assert fleet.codes() == []
    fleet.rewritten(fleet.log.entries[:-1])
    assert "role-not-resigned" in fleet.codes(scratch=True)


def test_witnesses_are_named_and_asked_for(tmp_path: Path) -> None:
    """Who vouched and when is told; too few, or too long ago, is found."""
    fleet = SimulatedFleet(tmp_path, AuthorityLog(witnesses=2, quorum=2, max_age_seconds=3600))
    (log,) = fleet.audit().logs
    assert [name for name, _ in log.witnesses] == ["w0.example", "w1.example"]
    fleet.age = timedelta(hours=2)
    fleet.copy = True
    assert fleet.codes() == [], "a copy is of its moment"
    fleet.copy = False
    assert fleet.codes() == ["stale"]
    fleet.log.cosigners.pop()
    fleet.sim.publish_log()
    assert fleet.codes() == ["no-quorum"]


def test_a_new_checkpoint_has_time_to_be_witnessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries come at any time, and witnesses a moment later; who has patience accuses nobody."""
    fleet = SimulatedFleet(tmp_path, AuthorityLog(witnesses=1, quorum=1))
    slow = fleet.log.cosigners.pop()
    fleet.sim.publish_log()

    def vouch(_: float) -> None:
        fleet.log.cosigners.append(slow)
        fleet.sim.publish_log()

    monkeypatch.setattr("time.sleep", vouch)
    assert fleet.codes() == ["no-quorum"]
    fleet.patience = 60.0
    (log,) = fleet.audit(scratch=True).logs
    assert [name for name, _ in log.witnesses] == ["w0.example"]
    assert fleet.codes(scratch=True) == []


def test_other_processes_come_to_the_same(
    fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is much to do, processes beside this one read; what they find is the same."""
    fleet.log.sign("targets", 9, sha256(b"x"), [key_from("stranger")])
    fleet.junk(40)
    fleet.sim.rotate_targets([key_from("targets 2")])
    alone = fleet.audit(scratch=True)
    monkeypatch.setattr("allod.cli.audit.run.MANY", 10)
    together = fleet.audit(scratch=True)
    assert together == alone
    assert len(alone.findings) == 41


def test_a_successor_goes_on_where_the_lost_log_ended(fleet: SimulatedFleet) -> None:
    """The root names another log: what counted before still counts, lost or served."""
    fleet.audit()
    fleet.log.succeed()
    fleet.sim.add_statement()
    fleet.sim.log_everything()
    fleet.change("two")
    assert fleet.codes() == []
    assert [log.origin for log in fleet.audit().logs] == [
        fleet.log.past[0].origin,
        fleet.log.origin,
    ]
    first, *rest = fleet.log.entries  # the statement stands behind the root, as servers order them
    fleet.rewritten([*rest, first])
    result = fleet.audit(scratch=True)
    assert result.findings == []
    assert result.unchecked == []
    assert len(result.notes) == 2, "the lost log, and the activity that this fleet does not log"


def test_a_source_without_roots_or_of_another_fleet(fleet: SimulatedFleet, tmp_path: Path) -> None:
    """Nothing can be said without the anchor."""
    fleet.hidden.add("tuf/1.root.json")
    with pytest.raises(Unavailable):
        fleet.audit()
    other = SimulatedFleet(tmp_path / "other", owner=TestOwner("other"))
    other.sim.files = fleet.sim.files
    with pytest.raises(Untrusted) as caught:
        other.audit()
    assert caught.value.code == "wrong-fleet"


def test_a_damaged_memory_is_no_first_run(fleet: SimulatedFleet) -> None:
    """What was verified before is not forgotten silently."""
    fleet.audit()
    path = fleet.place.path / "state.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InvalidInput) as caught:
        fleet.audit()
    assert caught.value.code == "bad-audit-state"
    assert fleet.codes(scratch=True) == []


def test_less_than_the_owner_has_verified(fleet: SimulatedFleet) -> None:
    """The owner's machine knows root and statement; a server that shows older ones is found out."""
    fleet.sim.add_statement()
    fleet.sim.rotate_root([key_from("root 2")])
    fleet.floors = fleet.sim.observe().floors
    assert fleet.codes() == []
    fleet.hidden = {"tuf/2.root.json"}
    assert "root-withheld" in fleet.codes()
    fleet.hidden = {"trust/2.json"}
    with pytest.raises(Unavailable) as caught:
        fleet.audit()
    assert caught.value.code == "withheld"
    assert "trust statement 2 was verified here" in caught.value.message


def test_another_log_than_the_owner_has_verified(fleet: SimulatedFleet) -> None:
    """The first audit of a machine that has descended before: the log has to begin as it did then."""
    fleet.floors = fleet.sim.observe().floors
    assert fleet.codes() == []
    fleet.place.forget()
    fleet.rewritten([*fleet.log.entries[1:], fleet.log.entries[0], b"more"])
    found = fleet.audit().findings
    assert "log-consistency" in {one.code for one in found}
    assert list((fleet.place.path / "evidence").iterdir())
