"""What the logs name by digest is kept, whatever the server throws away (docs/reference/retention.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from allod.domain.ids import sha256
from allod.server.blobs.directory import ABANDONED_SECONDS
from allod.server.services.fleets import published_file
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import entries_in, entries_of, logged
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.metadata import open_role, read
from allod.wire import api
from allod.wire.codec import decode
from allod.wire.log import BindingEntry, ReportEntry, decode_activity, decode_authority

CAP = 1 << 24


def publish(rig: ServerRig, revoked: str) -> None:
    """A change of fleet.json, with its entries."""
    people = rig.server.fleets.need(rig.fleet).document.people
    publication = rig.simulator.set_fleet(people=people, revoked_invites=[revoked])
    upload = upload_of(publication, rig.base(publication))
    entries = entries_of(rig, upload.metadata, {})
    rig.server.publish(rig.fleet, msgspec.structs.replace(upload, entries=entries))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ServerRig]:
    """A fleet that has lived: changes, a device that was bound twice, more reports than are kept."""
    made = logged(ServerRig.make(tmp_path / "server"))
    for number in range(3):
        publish(made, f"gone-{number}")
    device = made.bound()
    for epoch in (1, 2):
        if epoch == 2:
            file = made.simulator.invite(id="invite-2")
            made.server.admit_binding(made.fleet, device.bind(file, made.clock.moment, epoch=2))
        for number in range(2 * made.settings.heartbeats_kept):
            kind = "change" if number % 7 == 0 else "heartbeat"
            made.server.receive_report(made.fleet, device.id, device.report(kind=kind))
            made.clock.pass_time(minutes=1)
    yield made
    made.server.close()


def reports(rig: ServerRig) -> set[str]:
    """The digests of all reports that the server has."""
    paths = (rig.settings.layout.fleet(rig.fleet).root / "reports").rglob("*.json")
    return {sha256(payload_of(decode_envelope(path.read_bytes()))) for path in paths}


def housekeeping(rig: ServerRig) -> None:
    """Everything that ever removes a file: restart, rebuild, uploads that were given up, time."""
    rig.clock.pass_time(days=400)
    blobs = rig.server.publications.stores.blobs(rig.fleet)
    upload = blobs.begin()
    stale = next(rig.settings.layout.fleet(rig.fleet).root.rglob(upload))
    old = stale.stat().st_mtime - ABANDONED_SECONDS - 10
    os.utime(stale, (old, old))
    blobs.begin()
    assert not stale.exists()
    rig.simulator.now += timedelta(days=400)
    rig.restart()
    rig.server.rebuild(rig.fleet)


def test_what_authority_names_is_kept(rig: ServerRig) -> None:
    """Every version of every role's file and every trust statement, with the very digest; and
    every version of every document that those files list.
    """
    housekeeping(rig)
    directory = rig.settings.layout.fleet(rig.fleet)
    found = [decode_authority(entry).role for entry in entries_in(rig, "authority")]
    assert len([one for one in found if one is not None and one.role == "targets"]) == 4
    for statement in found:
        assert statement is not None
        if statement.role == "trust":
            raw = published_file(directory, f"trust/{statement.version}.json", CAP)
            assert raw is not None
            digest = sha256(payload_of(decode_envelope(raw)))
        else:
            path = f"tuf/{statement.version}.{statement.role}.json"
            raw = published_file(directory, path, CAP)
            assert raw is not None, path
            digest = open_role(raw, statement.role).digest
            for target in getattr(read(raw, statement.role).signed, "targets", {}).values():
                document = published_file(
                    directory, f"tuf/targets/{target.get_prefixed_paths()[0]}", CAP
                )
                assert document is not None
                target.verify_length_and_hashes(document)
        assert digest == statement.digest


def test_what_activity_names_is_kept(rig: ServerRig) -> None:
    """Binding records of all epochs and every report with changes; heartbeats went, unnamed."""
    housekeeping(rig)
    root = rig.settings.layout.fleet(rig.fleet).root
    kept = reports(rig)
    named = bindings = 0
    for data in entries_in(rig, "activity"):
        entry = decode_activity(data)
        if isinstance(entry, ReportEntry):
            named += 1
            assert entry.digest in kept
        elif isinstance(entry, BindingEntry):
            bindings += 1
            path = root / "bindings" / entry.device / f"{entry.epoch}.json"
            file = decode(path.read_bytes(), api.BindingEntry, cap=CAP)
            assert entry.digest == sha256(payload_of(file.record))
    assert bindings == 2
    assert named == 2 * -(-2 * rig.settings.heartbeats_kept // 7)
    assert len(kept) < 4 * rig.settings.heartbeats_kept
