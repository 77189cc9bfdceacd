"""Entries are signed with their files, and the server takes them; without a log there are none."""

from __future__ import annotations

from pathlib import Path

from allod.cli.log_entries import entries_for
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import naming, roles_in
from allod.trust.metadata import ROOT, TARGETS
from allod.wire.api import ChangeUpload


def test_what_the_command_signs_the_server_logs(tmp_path: Path) -> None:
    """Root, trust, targets and bins: each entry is by the keys of its role, and stands in the log."""
    rig = ServerRig.make(tmp_path / "server")
    owner, state = rig.simulator.owner, rig.server.fleets.need
    signers = {ROOT: owner.root, TARGETS: owner.targets}
    upload = naming(rig)
    publication = rig.simulator.set_fleet(
        people=state(rig.fleet).document.people, revoked_invites=["gone"]
    )
    change = upload_of(publication, rig.base(publication))
    assert entries_for(rig.fleet, state(rig.fleet).statement, change.metadata, signers) == []
    statement = rig.server.publish(rig.fleet, upload) and state(rig.fleet).statement
    begun = entries_for(
        rig.fleet, statement, rig.genesis().metadata, signers, trust=dict(upload.trust)
    )
    assert {("root", 1), ("trust", 2)} <= set(roles_in(rig))
    assert set(upload.entries) & set(begun)
    entries = entries_for(rig.fleet, statement, change.metadata, signers)
    whole = ChangeUpload(
        base=change.base, metadata=change.metadata, targets=change.targets, entries=entries
    )
    receipt = rig.server.publish(rig.fleet, whole)
    assert roles_in(rig)[-1] == ("targets", receipt.versions["targets"])
    rig.server.close()
