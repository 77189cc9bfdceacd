"""Where a server keeps its logs is chosen once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.errors import Conflict
from allod.server.log.sql import logs_in
from allod.server.settings import load_settings
from allod.server.setup import initialise
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, logged, roles_in

NOW = datetime(2026, 11, 1, tzinfo=UTC)
URL = "http://localhost:8443"


def test_the_choice_is_kept(tmp_path: Path) -> None:
    """Making the server again changes nothing; before the first fleet it may still be changed."""
    place = tmp_path / "server"
    assert initialise(place, url=URL, now=NOW).logs == "directory"
    assert initialise(place, url=URL, now=NOW, logs="sql").logs == "sql"
    assert initialise(place, url=URL, now=NOW).logs == "sql"
    assert load_settings(place).logs == "sql"


def test_with_a_fleet_the_choice_stands(tmp_path: Path) -> None:
    """A log would be missing where it did not begin; so the choice is refused, and the log goes on."""
    rig = logged(ServerRig.make(tmp_path / "server", logs="sql"))
    with pytest.raises(Conflict, match="'sql'") as refused:
        initialise(rig.directory, url=rig.settings.url, now=NOW, logs="directory")
    assert refused.value.code == "exists"
    assert initialise(rig.directory, url=rig.settings.url, now=NOW).logs == "sql"
    before = len(roles_in(rig))
    rig.restart()
    rig.server.publish(rig.fleet, change(rig))
    assert len(roles_in(rig)) == before + 1
    assert logs_in(rig.settings.layout.logs_database) == (
        f"{rig.fleet}/activity",
        f"{rig.fleet}/authority",
    )
    assert not rig.settings.layout.fleet(rig.fleet).log("authority").exists()
    rig.server.close()


def test_another_server_on_the_same_logs_waits_for_the_lease(tmp_path: Path) -> None:
    """A process that was left behind may not write any more once another one took its logs over."""
    rig = logged(ServerRig.make(tmp_path / "one", logs="sql"))
    other = rig.fork(tmp_path / "two")
    other.server.close()
    shared = rig.settings.layout.logs_database
    for suffix in ("", "-wal", "-shm"):
        copied = other.settings.layout.logs_database
        copied.with_name(copied.name + suffix).unlink(missing_ok=True)
    other.settings.layout.logs_database.symlink_to(shared)
    other.start()
    upload = change(other)
    with pytest.raises(Conflict) as refused:
        other.server.publish(other.fleet, upload)
    assert refused.value.code == "log-in-use"
    other.clock.pass_time(minutes=1)
    rig.clock.pass_time(minutes=1)
    other.server.publish(other.fleet, upload)
    with pytest.raises(Conflict) as late:
        rig.server.publish(rig.fleet, change(rig, public=True))
    assert late.value.code == "log-in-use"
    rig.server.close()
    other.server.close()
