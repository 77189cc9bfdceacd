"""Backup, restore and rebuild: what an archive holds, under load too, and what comes of it."""

from __future__ import annotations

import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from allod.domain.desired import StateDocument
from allod.domain.ids import GroupName, group_scope, sha256
from allod.errors import AllodError, Conflict, InvalidInput
from allod.server.services.backup import backup, restore
from allod.server.services.limits import Rate
from allod.testing.client import SimulatedClient
from allod.testing.server import FakeServerClock, ServerRig
from allod.trust.effects import drive
from allod.trust.repository import descend
from allod.wire.api import FloorsUpload, NewToken


def restored(rig: ServerRig, archive: Path, directory: Path) -> ServerRig:
    """The archive in a directory of its own, served again."""
    layout = restore(archive, directory, rig.clock.moment)
    made = ServerRig(
        directory,
        rig.simulator,
        FakeServerClock(rig.clock.moment),
        replace(rig.settings, directory=directory),
    )
    assert not layout.database.exists(), "the database is made again from the files"
    made.start()
    return made


def whole(rig: ServerRig) -> dict[str, int]:
    """The versions that a newcomer accepts of the files, with every role and every document."""
    directory = rig.settings.layout.fleet(rig.fleet)
    client = SimulatedClient(rig.simulator)

    def get(path: str, cap: int) -> bytes | None:
        file = directory.served(path)
        return file.read_bytes() if file is not None and file.is_file() else None

    steps = descend(client.anchor, client.floors, {}, rig.clock.moment)
    repository = drive(steps, get, lambda _: None)
    drive(repository.load_all(), get, lambda _: None)
    for path in rig.simulator.draft().paths():
        drive(repository.target(path, 1_000_000), get, lambda _: None)
    return dict(repository.versions)


def hold(rig: ServerRig, name: str, note: str) -> StateDocument:
    return StateDocument(rig.fleet, group_scope(GroupName(name)), {}, hold=note)


def test_everything_comes_back(rig: ServerRig, tmp_path: Path) -> None:
    """Devices, reports, history, tokens, alarms and blobs of a backup are those of the server."""
    device = rig.bound()
    for _ in range(3):
        rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.bound("surplus")  # a second device with a spent invite: an alarm
    rig.change(rig.simulator.set_state(hold(rig, "kitchen", "x")))
    token = rig.server.api_tokens.issue(rig.fleet, NewToken(name="ci", scopes=["read"])).token
    data = b"a release"
    rig.server.stores.blobs(rig.fleet).put(sha256(data), [data])
    backup(rig.settings.layout, tmp_path / "archive")
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o600
    copy = restored(rig, tmp_path / "archive", tmp_path / "again")
    before, after = rig.server.listings, copy.server.listings
    assert after.devices(rig.fleet, "", 10) == before.devices(rig.fleet, "", 10)
    assert after.reports(rig.fleet, device.id, 0, 10) == before.reports(rig.fleet, device.id, 0, 10)
    assert after.changes(rig.fleet, 0, 10) == before.changes(rig.fleet, 0, 10)
    assert after.alarms(rig.fleet) == before.alarms(rig.fleet)
    assert after.bindings(rig.fleet, "", 10) == before.bindings(rig.fleet, "", 10)
    assert copy.server.api_tokens.check(rig.fleet, token) is not None
    assert copy.server.stores.blobs(rig.fleet).size(sha256(data)) == len(data)
    assert whole(copy) == whole(rig)
    assert copy.server.fleets.need(rig.fleet).restored
    copy.server.close()


@pytest.mark.slow
def test_a_backup_under_load_is_of_one_moment(tmp_path: Path) -> None:
    """While changes, refreshes, reports and releases come in without a pause, every archive
    restores to a fleet that a newcomer accepts whole, holds all that was acknowledged before it
    began, and takes the owner's newest state and the next change.
    """
    rig = ServerRig.make(tmp_path / "server")
    rig.server.publish._rate = Rate(rig.clock, 1_000_000, "changes")
    rig.server.receive_report._rate = Rate(rig.clock, 1_000_000, "reports")
    device = rig.bound()
    done = threading.Event()
    reported, faults = [0], []
    blobs: list[str] = []

    def run(act) -> threading.Thread:
        def loop() -> None:
            number = 0
            while not done.is_set():
                number += 1
                try:
                    act(number)
                except AllodError as error:
                    faults.append(error)

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def change(number: int) -> None:
        rig.change(rig.simulator.set_state(hold(rig, f"group{number % 7}", str(number))))

    def report(_: int) -> None:
        rig.server.receive_report(rig.fleet, device.id, device.report())
        reported[0] = device.sequence

    def push(number: int) -> None:
        data = b"%d" % number * 100
        rig.server.stores.blobs(rig.fleet).put(sha256(data), [data])
        blobs.append(sha256(data))

    threads = [run(change), run(report), run(push)]
    try:
        for number in range(2):
            versions, acknowledged, pushed = dict(rig.versions), reported[0], list(blobs)
            archive = tmp_path / f"archive-{number}"
            backup(rig.settings.layout, archive)
            copy = restored(rig, archive, tmp_path / f"again-{number}")
            found = whole(copy)
            assert all(found[role] >= version for role, version in versions.items())
            assert copy.server.fleets.need(rig.fleet).versions == found
            listed = copy.server.listings.reports(rig.fleet, device.id, 0, 1000)
            newest = listed.reports[-1].sequence if listed.reports else 0
            assert newest >= min(acknowledged, 1000)
            assert not any(entry.forked for entry in listed.reports)
            store = copy.server.stores.blobs(rig.fleet)
            assert all(store.size(digest) for digest in pushed)
            # Whatever the server had published meanwhile, it goes on above it.
            receipt = copy.server.learn_floors(
                rig.fleet, FloorsUpload(metadata={}, versions=dict(rig.versions))
            )
            assert receipt.versions["timestamp"] > found["timestamp"]
            whole(copy)
            copy.server.close()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not faults
    rig.server.close()


def test_floors_are_learnt_even_if_the_owner_saw_no_later_snapshot(
    rig: ServerRig, tmp_path: Path
) -> None:
    """A server that refreshed after the backup's timestamp was taken is restored, and goes on."""
    backup(rig.settings.layout, tmp_path / "archive")
    copy = restored(rig, tmp_path / "archive", tmp_path / "again")
    with pytest.raises(Conflict) as caught:
        copy.change(copy.simulator.set_state(hold(rig, "kitchen", "x")))
    assert caught.value.code == "floors-unknown"
    copy.server.learn_floors(rig.fleet, FloorsUpload(metadata={}))
    assert copy.server.fleets.need(rig.fleet).restored is False
    copy.server.close()


def test_a_restore_goes_into_an_empty_place_only(rig: ServerRig, tmp_path: Path) -> None:
    """Nothing that is there is mixed with a backup; an archive is never overwritten."""
    archive = tmp_path / "archive"
    backup(rig.settings.layout, archive)
    with pytest.raises(Conflict, match="it exists"):
        backup(rig.settings.layout, archive)
    with pytest.raises(Conflict, match="not empty"):
        restore(archive, rig.directory, rig.clock.moment)
    (tmp_path / "file").touch()
    with pytest.raises(Conflict, match="not empty"):
        restore(archive, tmp_path / "file", rig.clock.moment)
    (tmp_path / "empty").mkdir()
    restore(archive, tmp_path / "empty", rig.clock.moment)


@pytest.mark.parametrize("what", ["noise", "cut", "foreign", "climbing"])
def test_an_archive_that_is_none_is_refused(rig: ServerRig, tmp_path: Path, what: str) -> None:
    """Damaged, foreign and climbing archives: a sentence, and no directory that could be served."""
    archive = tmp_path / "archive"
    backup(rig.settings.layout, archive)
    if what == "noise":
        archive.write_bytes(b"noise" * 100)
    elif what == "cut":
        archive.write_bytes(archive.read_bytes()[:-2000])
    else:
        with tarfile.open(archive, "w:gz") as tar:
            name = "../outside" if what == "climbing" else "readme"
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(InvalidInput) as caught:
        restore(archive, tmp_path / "again", rig.clock.moment)
    assert caught.value.code == "bad-archive"
    assert not (tmp_path / "again" / "settings.json").exists()
    assert not (tmp_path / "outside").exists()


def test_a_lost_database_is_made_again_at_the_start(rig: ServerRig) -> None:
    """Without its projection a server does not forget its devices: it reads the files again."""
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    before = rig.server.listings.device(rig.fleet, device.id)
    rig.server.close()
    for path in rig.directory.glob("database.sqlite*"):
        path.unlink()
    rig.start()
    assert rig.server.listings.device(rig.fleet, device.id) == before
    assert rig.token(device)


def test_a_rebuild_finds_forks_again(rig: ServerRig) -> None:
    """A device whose disk was copied stays in quarantine when the database is made again."""
    device = rig.bound()
    first = device.report()
    rig.server.receive_report(rig.fleet, device.id, first)
    rig.clock.pass_time(minutes=1)
    past = device.head
    rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.clock.pass_time(minutes=1)
    device.head = past
    rig.server.receive_report(rig.fleet, device.id, device.report())
    before = rig.server.listings.reports(rig.fleet, device.id, 0, 10)
    assert [entry.forked for entry in before.reports] == [False, False, True]
    rig.server.rebuild(rig.fleet)
    assert rig.server.listings.reports(rig.fleet, device.id, 0, 10) == before
    assert rig.server.listings.device(rig.fleet, device.id).quarantined


def test_a_rebuild_leaves_damaged_files_out(rig: ServerRig) -> None:
    """Files that do not verify are worth nothing, and stop nothing."""
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.server.api_tokens.issue(rig.fleet, NewToken(name="ci", scopes=["read"]))
    root = rig.settings.layout.fleet(rig.fleet).root
    min((root / "reports" / device.id).iterdir()).write_bytes(b"{}")
    (root / "alarms").mkdir()
    (root / "alarms" / "x.json").write_bytes(b"nothing")
    next((root / "tokens").iterdir()).write_bytes(b"")
    (root / "bindings" / ("0" * 64)).mkdir()
    (root / "bindings" / ("0" * 64) / "1.json").write_bytes(b"[]")
    rig.server.rebuild(rig.fleet)
    listed = rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports
    assert [entry.sequence for entry in listed] == [2]
    assert rig.server.api_tokens.list(rig.fleet) == ()
