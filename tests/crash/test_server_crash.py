"""Every write of the server fails or dies once, before and after it took effect.

Then the server starts again on its directory, and three things hold: what devices see is the old
or the new state, whole; what was acknowledged is there; and the same request again succeeds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from allod.domain.desired import ConfigurationOrder, PackageEntry, StateDocument
from allod.domain.ids import GroupName, Purl, group_scope, sha256
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.testing.client import SimulatedClient
from allod.testing.faults import Faults, Frail, Killed, Strike
from allod.testing.server import ServerRig, upload_of
from allod.trust.effects import drive
from allod.trust.repository import descend
from allod.wire.api import ChangeUpload

SCOPE = group_scope(GroupName("kitchen"))
CONFIGURATION = b'{"slots":2}'
READS = frozenset(
    {
        "size",
        "read",
        "digests",
        "received",
        "device",
        "retired",
        "uses",
        "fleets",
        "fleet",
        "surplus",
        "close",
    }
    | {"report", "reports", "newest_report", "has_report", "old_heartbeats", "device_count"}
)


def frail(rig: ServerRig, faults: Faults) -> None:
    """Start the server again with ports that may be struck."""
    layout = rig.settings.layout
    rig.restart(
        files=Frail(DurableFiles(), faults),
        database=Frail(SqliteDatabase(layout.database), faults, READS),
        blob_stores=lambda fleet: Frail(
            DirectoryBlobStore(layout.fleet(fleet).root / "blobs"), faults, READS
        ),
    )
    faults.calls.clear()


def walk(rig: ServerRig):
    """What a device that starts from the first root accepts of the files as they lie there."""
    directory = rig.settings.layout.fleet(rig.fleet)
    client = SimulatedClient(rig.simulator)

    def get(path: str, cap: int) -> bytes | None:
        file = directory.served(path)
        return file.read_bytes() if file is not None and file.is_file() else None

    repository = drive(
        descend(client.anchor, client.floors, {}, rig.clock.moment), get, lambda _: None
    )
    drive(repository.load_all(), get, lambda _: None)
    return drive(repository.target(SCOPE.target_path, 1_000_000), get, lambda _: None)


def change(rig: ServerRig) -> ChangeUpload:
    """A change with a target, metadata and a configuration document."""
    digest = sha256(CONFIGURATION)
    order = ConfigurationOrder(digest=digest, size=len(CONFIGURATION))
    entry = PackageEntry(configuration=order)
    document = StateDocument(rig.fleet, SCOPE, {Purl("pkg:generic/me/toaster"): entry})
    publication = rig.simulator.set_state(document)
    upload = upload_of(publication, rig.base(publication))
    return ChangeUpload(
        base=upload.base,
        metadata=upload.metadata,
        targets=upload.targets,
        blobs={digest: CONFIGURATION},
    )


@pytest.fixture(scope="module")
def past(tmp_path_factory) -> ServerRig:
    """A server with one fleet, from which every run forks off."""
    rig = ServerRig.make(tmp_path_factory.mktemp("past") / "server")
    rig.server.close()
    return rig


def calls_of(rig: ServerRig, act: Callable[[ServerRig, Faults], object]) -> list[str]:
    """The calls of a run in which nothing fails."""
    faults = Faults()
    act(rig, faults)
    rig.server.close()
    return list(faults.calls)


def struck(rig: ServerRig, act: Callable[[], object]) -> bool:
    """Whether `act` was acknowledged."""
    try:
        act()
    except (OSError, Killed):
        return False
    return True


def each(calls: list[str], strikes=tuple(Strike)):
    """Every call with every strike."""
    assert calls
    for at in range(1, len(calls) + 1):
        for strike in strikes:
            yield at, strike


@pytest.mark.slow
def test_a_publication_is_old_or_new_and_the_retry_succeeds(
    past: ServerRig, tmp_path: Path
) -> None:
    """Each write of a publication is struck in four ways; devices never see half of it."""

    def publish(rig: ServerRig, faults: Faults) -> None:
        upload = change(rig)
        frail(rig, faults)
        rig.server.publish(rig.fleet, upload)

    calls = calls_of(past.fork(tmp_path / "whole"), publish)
    assert {call.split(".")[1] for call in calls} >= {
        "write",
        "write_new",
        "put",
        "apply",
        "remove",
    }
    outcomes = set()
    for at, strike in each(calls):
        rig = past.fork(tmp_path / f"{at}-{strike.name}")
        upload = change(rig)
        faults = Faults(at, strike)
        frail(rig, faults)
        acknowledged = struck(rig, partial(rig.server.publish, rig.fleet, upload))
        told = f"{faults.struck} {strike}"
        # Before anything is mended: whatever devices see is whole.
        before = walk(rig)
        rig.restart()
        after = walk(rig)
        assert not (before is not None and after is None), told
        assert after is not None or not acknowledged, told
        assert not rig.settings.layout.fleet(rig.fleet).pending.exists(), told
        outcomes.add((acknowledged, after is not None))
        # The same upload again: one publication, one receipt.
        receipt = rig.server.publish(rig.fleet, upload)
        assert receipt.news == 2, told
        assert walk(rig) is not None, told
        assert rig.server.stores.blobs(rig.fleet).size(sha256(CONFIGURATION)) == len(CONFIGURATION)
        assert rig.server.stores.news.current(rig.fleet) == 2, told
        history = rig.server.listings.changes(rig.fleet, 0, 10).changes
        assert [entry.kind for entry in history] == ["genesis", "change"], told
        rig.server.close()
    assert outcomes == {(False, False), (False, True)}, (
        "every struck call stops the acknowledgement"
    )


def test_a_failed_publication_needs_no_restart(past: ServerRig, tmp_path: Path) -> None:
    """The next request carries out what was decided, in the same process."""

    def publish(rig: ServerRig, faults: Faults) -> None:
        upload = change(rig)
        frail(rig, faults)
        rig.server.publish(rig.fleet, upload)

    for at, strike in each(calls_of(past.fork(tmp_path / "whole"), publish)):
        if strike.name.startswith("KILL"):
            continue
        rig = past.fork(tmp_path / f"{at}-{strike.name}")
        upload = change(rig)
        frail(rig, Faults(at, strike))
        struck(rig, partial(rig.server.publish, rig.fleet, upload))
        assert rig.server.publish(rig.fleet, upload).news == 2
        assert walk(rig) is not None
        rig.server.close()


@pytest.mark.slow
def test_an_admission_is_whole_or_repeated(past: ServerRig, tmp_path: Path) -> None:
    """Each write of a fleet's first publication is struck; the same genesis again succeeds."""

    def admit(rig: ServerRig, faults: Faults) -> None:
        shutil.rmtree(rig.settings.layout.fleet(rig.fleet).root)
        frail(rig, faults)
        rig.server.admit_fleet(rig.genesis())

    kills = (Strike.KILL_BEFORE, Strike.KILL_AFTER)
    for at, strike in each(calls_of(past.fork(tmp_path / "whole"), admit), kills):
        rig = past.fork(tmp_path / f"{at}-{strike.name}")
        faults = Faults(at, strike)
        struck(rig, partial(admit, rig, faults))
        rig.restart()
        assert rig.server.admit_fleet(rig.genesis()).news == 1, f"{faults.struck} {strike}"
        assert rig.server.fleets.get(rig.fleet) is not None
        rig.server.close()


@pytest.mark.slow
def test_bindings_and_reports_are_never_lost_nor_doubled(past: ServerRig, tmp_path: Path) -> None:
    """Each write of an admission and of a report is struck; both are sent again and stand once."""

    def hand_in(rig: ServerRig, faults: Faults) -> tuple[bool, bool]:
        device = rig.device()
        binding = device.bind(rig.simulator.invite(), rig.clock.moment)
        report = device.report()
        frail(rig, faults)
        bound = struck(rig, lambda: rig.server.admit_binding(rig.fleet, binding))
        if not bound:
            rig.restart()
            rig.server.admit_binding(rig.fleet, binding)
        reported = struck(rig, lambda: rig.server.receive_report(rig.fleet, device.id, report))
        rig.restart()
        listed = rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports
        assert listed or not reported, "an acknowledged report is there"
        assert rig.server.receive_report(rig.fleet, device.id, report).sequence == 1
        listed = rig.server.listings.reports(rig.fleet, device.id, 0, 10).reports
        assert [entry.forked for entry in listed] == [False]
        assert rig.server.listings.alarms(rig.fleet).alarms == []
        assert rig.server.listings.device(rig.fleet, device.id).surplus is False
        return bound, reported

    for at, strike in each(calls_of(past.fork(tmp_path / "whole"), hand_in)):
        rig = past.fork(tmp_path / f"{at}-{strike.name}")
        assert hand_in(rig, Faults(at, strike)) != (True, True)
        rig.server.close()
