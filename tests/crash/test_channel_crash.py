"""Every write of a channel's intake fails or dies once, before and after it took effect.

Then what devices see is the old or the new document, whole and under the log; what was
acknowledged is there; the same document again succeeds, is logged once, and is news once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.domain.delegation import Follow
from allod.domain.ids import FleetId, GroupName, ProviderName, group_scope, sha256
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.server.log.ports import LogStorage
from allod.server.services.logs import directory_storage
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.faults import Faults, Frail, Killed, Strike
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import entries_in, entries_of, logged
from allod.wire.api import ChangeUpload

ACME = SimulatedProvider("acme")
_READS = frozenset(
    {"device", "retired", "uses", "fleets", "fleet", "surplus", "close", "channels", "proposals"}
)
_LOG_READS = frozenset({"hold", "release", "head", "staged", "published", "read"})


@pytest.fixture
def past(swift_directory: Path) -> ServerRig:
    """A fleet with a log that follows `acme/stable` and has its first document."""
    rig = logged(ServerRig.make(swift_directory / "past"))
    made = Delegating(rig.simulator)
    follow = Follow(ProviderName("acme"), "stable")
    scope = group_scope(GroupName("kitchen"))
    for publication in (made.set_provider(ACME), made.grant("acme", [scope], follow=follow)):
        upload = upload_of(publication, rig.base(publication))
        entries = entries_of(rig, upload.metadata, {})
        rig.server.publish(
            rig.fleet,
            ChangeUpload(
                base=upload.base,
                metadata=upload.metadata,
                targets=upload.targets,
                entries=entries,
            ),
        )
    rig.server.channels.take(rig.fleet, document(rig, 1))
    rig.server.close()
    return rig


def document(rig: ServerRig, sequence: int) -> bytes:
    packages = {"pkg:generic/acme/toaster": (f"1.{sequence}", sha256(b"release"))}
    return ACME.channel(sequence, packages, rig.simulator.now)


def frail(rig: ServerRig, faults: Faults) -> None:
    """Start the server again with ports that may be struck."""
    layout = rig.settings.layout

    def storages(fleet: FleetId, place: str) -> LogStorage:
        return Frail(directory_storage(layout.fleet(fleet), place), faults, _LOG_READS)

    rig.restart(
        files=Frail(DurableFiles(), faults),
        database=Frail(SqliteDatabase(layout.database), faults, _READS),
        log_storages=storages,
    )
    faults.calls.clear()


def seen(rig: ServerRig) -> tuple[bytes, bool]:
    """The newest document that is served, and whether the second is."""
    root = rig.settings.layout.fleet(rig.fleet).root / "channels" / "acme" / "stable"
    return (root / "latest.json").read_bytes(), (root / "2.json").is_file()


@pytest.mark.slow
def test_a_document_is_old_or_new_and_the_retry_succeeds(
    past: ServerRig, swift_directory: Path
) -> None:
    """Each write is struck in four ways."""

    def take(rig: ServerRig, faults: Faults) -> bool:
        frail(rig, faults)
        try:
            rig.server.channels.take(rig.fleet, document(rig, 2))
        except (OSError, Killed):
            return False
        return True

    faults = Faults()
    whole = past.fork(swift_directory / "whole")
    take(whole, faults)
    calls = list(faults.calls)
    whole.server.close()
    assert {call.split(".")[1] for call in calls} >= {"write", "write_new", "commit", "apply"}
    old, new = document(past, 1), document(past, 2)
    outcomes = set()
    for at in range(1, len(calls) + 1):
        for strike in Strike:
            rig = past.fork(swift_directory / f"{at}-{strike.name}")
            struck = Faults(at, strike)
            acknowledged = take(rig, struck)
            told = f"{struck.struck} {strike}"
            latest, _ = seen(rig)
            assert latest in {old, new}, told
            if latest == new:
                assert new in entries_in(rig, "authority"), f"{told}: shown before it was logged"
            rig.restart()
            latest, there = seen(rig)
            assert (latest == new) is there, told
            assert there or not acknowledged, told
            outcomes.add((acknowledged, there))
            receipt = rig.server.channels.take(rig.fleet, new)
            assert seen(rig) == (new, True), told
            assert receipt.news == rig.server.stores.news.current(rig.fleet), told
            assert entries_in(rig, "authority").count(new) == 1, told
            [row] = rig.server.stores.database.channels(rig.fleet)
            assert row.sequence == 2, told
            assert entries_in(rig, "authority")[row.index or 0] == new, told
            kinds = [one.kind for one in rig.server.listings.changes(rig.fleet, 0, 99).changes]
            assert kinds.count("channel") == 2, told
            rig.server.close()
    assert outcomes == {(False, False), (False, True)}
