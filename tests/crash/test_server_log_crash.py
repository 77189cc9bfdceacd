"""Every write of a publication with logs fails or dies once, before and after it took effect.

Then three things hold: what devices see under the timestamp has its entries under a signed
checkpoint; what was acknowledged is there; and the same request again succeeds, and logs once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from allod.domain.ids import FleetId
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.server.log.ports import LogStorage
from allod.server.services.fleets import published_online
from allod.server.services.logs import directory_storage, open_logs
from allod.server.settings import LogsIn
from allod.testing.faults import Faults, Frail, Killed, Strike
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, entries_in, logged, naming, roles_in

_READS = frozenset(
    {"device", "retired", "uses", "fleets", "fleet", "surplus", "close", "report", "reports"}
    | {"newest_report", "has_report", "old_heartbeats", "device_count"}
)
_LOG_READS = frozenset({"hold", "release", "head", "staged", "published", "read"})


KINDS = ["directory", pytest.param("sql", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=KINDS)
def past(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ServerRig:
    """A server with one fleet, whose owner names its logs; every run forks off."""
    rig = logged(ServerRig.make(tmp_path_factory.mktemp("past") / "server", logs=request.param))
    rig.server.close()
    return rig


def frail(rig: ServerRig, faults: Faults) -> None:
    """Start the server again with ports that may be struck."""
    layout = rig.settings.layout

    def directories(fleet: FleetId, place: str) -> LogStorage:
        return directory_storage(layout.fleet(fleet), place)

    sql = open_logs(layout, rig.clock) if rig.settings.logs == "sql" else None
    storages = sql or directories
    rig.restart(
        files=Frail(DurableFiles(), faults),
        database=Frail(SqliteDatabase(layout.database), faults, _READS),
        log_storages=lambda fleet, place: Frail(storages(fleet, place), faults, _LOG_READS),
    )
    faults.calls.clear()


@pytest.mark.slow
def test_what_devices_see_is_logged(past: ServerRig, tmp_path: Path) -> None:
    """A version stands under the timestamp only if its entry stands under the checkpoint."""
    whole = past.fork(tmp_path / "whole")
    faults = Faults()
    upload = change(whole)
    frail(whole, faults)
    version = whole.server.publish(whole.fleet, upload).versions["targets"]
    entries = len(roles_in(whole))
    calls = list(faults.calls)
    whole.server.close()
    assert {"stage", "commit", "publish"} <= {call.split(".")[1] for call in calls}
    for at in range(1, len(calls) + 1):
        for strike in Strike:
            rig = past.fork(tmp_path / f"{at}-{strike.name}")
            upload = change(rig)
            faults = Faults(at, strike)
            frail(rig, faults)
            told = f"{calls[at - 1]} {strike}"
            with pytest.raises((OSError, Killed)):
                rig.server.publish(rig.fleet, upload)
            rig.server.close()
            # As a reader finds it, before anything is mended.
            seen = published_online(rig.settings.layout.fleet(rig.fleet)).versions["targets"]
            rig.server.publications.logs.close()
            if seen == version:
                assert ("targets", version) in roles_in(rig), told
            rig.start()
            assert rig.server.publish(rig.fleet, upload).versions["targets"] == version, told
            assert len(roles_in(rig)) == entries, told
            rig.server.close()


@pytest.mark.slow
@pytest.mark.parametrize("kept", KINDS)
def test_a_log_begins_once(kept: LogsIn, tmp_path: Path) -> None:
    """The statement that names the logs is struck at every write; both begin, with all roles."""
    young = ServerRig.make(tmp_path / "young", logs=kept)
    young.server.close()
    whole, faults = young.fork(tmp_path / "whole"), Faults()
    upload = naming(whole)
    frail(whole, faults)
    whole.server.publish(whole.fleet, upload)
    begun, calls = roles_in(whole), list(faults.calls)
    whole.server.close()
    for at in range(1, len(calls) + 1):
        for strike in (Strike.KILL_BEFORE, Strike.KILL_AFTER):
            rig = young.fork(tmp_path / f"{at}-{strike.name}")
            frail(rig, Faults(at, strike))
            with pytest.raises(Killed):
                rig.server.publish(rig.fleet, upload)
            rig.restart()
            rig.server.publish(rig.fleet, upload)
            assert roles_in(rig) == begun, f"{calls[at - 1]} {strike}"
            assert entries_in(rig, "activity") == []
            rig.server.close()


@pytest.mark.slow
def test_an_acknowledged_report_is_logged(past: ServerRig, tmp_path: Path) -> None:
    """A report is acknowledged only under a checkpoint; sent again it is logged once."""
    ready = past.fork(tmp_path / "ready")
    ready.bound()
    ready.server.close()

    def bring(rig: ServerRig, sent: bytes) -> object:
        return rig.server.receive_report(rig.fleet, rig.device().id, sent)

    strike_each_write(ready, tmp_path, ready.device().report(), bring, entries=2)


@pytest.mark.slow
def test_an_acknowledged_binding_is_logged(past: ServerRig, tmp_path: Path) -> None:
    """The same for the record of a device."""
    ready = past.fork(tmp_path / "ready")
    record = ready.device().bind(ready.simulator.invite(id="one"), ready.clock.moment)
    ready.server.close()

    def bring(rig: ServerRig, sent: bytes) -> object:
        return rig.server.admit_binding(rig.fleet, sent)

    strike_each_write(ready, tmp_path, record, bring, entries=1)


def strike_each_write(
    ready: ServerRig,
    place: Path,
    sent: bytes,
    bring: Callable[[ServerRig, bytes], object],
    *,
    entries: int,
) -> None:
    """Bring it to a server whose writes fail, one by one; then again, to one that is well."""
    calls: list[str] = []
    at = 0
    while at <= len(calls):
        for strike in Strike if at else (Strike.KILL_BEFORE,):
            rig = ready.fork(place / f"{at}-{strike.name}")
            faults = Faults(at, strike)
            frail(rig, faults)
            try:
                bring(rig, sent)
                assert len(entries_in(rig, "activity")) == entries
            except (OSError, Killed):
                assert at
            calls = calls or list(faults.calls)
            rig.restart()
            if strike is Strike.KILL_AFTER:
                # The projection then knows of files whose entry was never logged.
                rig.server.rebuild(rig.fleet)
            bring(rig, sent)
            assert len(entries_in(rig, "activity")) == entries, f"{faults.struck} {strike}"
            rig.server.close()
        at += 1
    assert any(call.endswith("commit") for call in calls)
