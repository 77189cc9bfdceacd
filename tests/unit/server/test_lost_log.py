"""A log that was lost: nothing is decided that would go into it, and what was decided is finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from allod.domain.ids import sha256
from allod.errors import Unavailable
from allod.server.services.check import take_apart
from allod.server.services.logs import mark_restored
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, logged, naming, roles_in
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode
from allod.wire.log import decode_authority


def lose(rig: ServerRig) -> None:
    """The disk lost the authority log, tiles and head."""
    rig.server.close()
    directory = rig.settings.layout.fleet(rig.fleet)
    shutil.rmtree(directory.log("authority"))
    shutil.rmtree(directory.sequencer("authority"))


def role_of(entry: bytes) -> str:
    """Whose entry it is."""
    statement = decode_authority(entry).role
    assert statement is not None
    return statement.role


def test_a_change_for_a_lost_log_is_refused_before_it_is_decided(tmp_path: Path) -> None:
    """No file of it is left, so that the next one, of the same version, can have other contents."""
    rig = logged(ServerRig.make(tmp_path))
    upload = change(rig)
    lose(rig)
    rig.start()
    with pytest.raises(Unavailable) as caught:
        rig.server.publish(rig.fleet, upload)
    assert caught.value.code == "log-missing"
    directory = rig.settings.layout.fleet(rig.fleet)
    assert not directory.pending.exists()
    assert not (directory.root / "tuf" / "3.targets.json").exists()
    rig.server.close()


@pytest.mark.parametrize("how", ["lost", "restored"])
def test_what_was_decided_before_its_log_was_lost_is_finished(tmp_path: Path, how: str) -> None:
    """Cut off between decision and log, with the log gone at the next start: the server comes up,
    the change is published, and the successor has its entry.
    """
    rig = ServerRig.make(tmp_path)
    begin = naming(rig)
    rig.server.publish(rig.fleet, begin)
    rig.simulator.statements.extend(begin.trust.values())
    upload = change(rig)
    server = rig.server
    state = server.fleets.need(rig.fleet)
    pending = server.publish.prepare(
        state, upload, take_apart(upload), "change", sha256(encode(upload))
    )
    directory = rig.settings.layout.fleet(rig.fleet)
    directory.pending.write_bytes(encode(pending))
    if how == "lost":
        lose(rig)
    else:
        rig.server.close()
        mark_restored(rig.settings.layout, rig.fleet)
    rig.start()
    assert rig.server.fleets.need(rig.fleet).versions["targets"] == 3
    assert not directory.pending.exists()
    succession = naming(rig, 2)
    stood = [one for one in succession.entries if role_of(one) != "targets"]
    rig.server.publish(
        rig.fleet, ChangeUpload(trust=succession.trust, entries=[*stood, *upload.entries])
    )
    assert ("targets", 3) in roles_in(rig, "authority/2")
    rig.server.close()
