"""Admission and publication: what a device would refuse is refused; what is acknowledged is out."""

from __future__ import annotations

import pytest

from allod.domain.desired import StateDocument
from allod.domain.ids import GroupName, group_scope
from allod.errors import AllodError, Conflict, InvalidInput, Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, TestOwner, key_from
from allod.testing.server import ServerRig, upload_of
from allod.trust.effects import drive
from allod.trust.repository import descend
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode

KITCHEN = group_scope(GroupName("kitchen"))


def state(rig: ServerRig, hold: str | None = None):
    return StateDocument(rig.fleet, KITCHEN, {}, hold=hold)


def served(rig: ServerRig):
    """A newcomer's walk over the files in the server's directory."""
    directory = rig.server.stores.layout.fleet(rig.fleet)
    client = SimulatedClient(rig.simulator)

    def get(path: str, cap: int) -> bytes | None:
        file = directory.served(path)
        return file.read_bytes() if file is not None and file.is_file() else None

    return drive(
        descend(client.anchor, client.floors, {}, rig.clock.moment), get, lambda _: None
    ), get


def test_an_admitted_fleet_is_accepted_by_a_device(rig: ServerRig) -> None:
    """A device that starts from the first root accepts what the server's directory holds."""
    repository, get = served(rig)
    target = drive(repository.target("fleet.json", 100_000), get, lambda _: None)
    assert target is not None
    assert rig.server.fleets.need(rig.fleet).news == 1


def test_admission_again_gets_the_same_receipt(rig: ServerRig) -> None:
    """A repeated genesis changes nothing."""
    assert rig.server.admit_fleet(rig.genesis()).news == 1


def test_a_change_is_published(rig: ServerRig) -> None:
    """After the receipt a newcomer reads the new document, and the counter is one higher."""
    receipt = rig.change(rig.simulator.set_state(state(rig, "holidays")))
    repository, get = served(rig)
    target = drive(repository.target(KITCHEN.target_path, 100_000), get, lambda _: None)
    assert target is not None
    assert b"holidays" in target.data
    assert receipt.news == 2
    assert receipt.versions == rig.versions
    assert rig.server.stores.news.current(rig.fleet) == 2


def test_the_same_upload_again_gets_the_same_receipt(rig: ServerRig) -> None:
    """An upload whose acknowledgement was lost can be sent again."""
    publication = rig.simulator.set_state(state(rig))
    upload = upload_of(publication, rig.base(publication))
    first = rig.server.publish(rig.fleet, upload)
    assert rig.server.publish(rig.fleet, upload) == first


def test_an_old_base_is_a_conflict(rig: ServerRig) -> None:
    """Two changes on one base: the second is told what is published now."""
    behind = rig.simulator.snapshot_state()
    rig.change(rig.simulator.set_state(state(rig, "first")))
    late = behind.set_state(state(rig, "second"))
    base = {"targets": rig.versions["targets"] - 1}
    with pytest.raises(Conflict) as caught:
        rig.server.publish(rig.fleet, upload_of(late, base))
    assert caught.value.code == "out-of-date"
    assert f"targets={rig.versions['targets']}" in caught.value.details["versions"]


def test_a_refresh_between_base_and_upload_is_no_conflict(rig: ServerRig) -> None:
    """Snapshot and timestamp are the server's own business."""
    publication = rig.simulator.set_state(state(rig))
    upload = upload_of(publication, rig.versions)
    rig.clock.pass_time(hours=30)
    assert rig.server.refresh(rig.fleet)
    assert rig.server.publish(rig.fleet, upload).news == 3


@pytest.mark.parametrize("what", ["altered", "missing", "extra", "foreign-name", "online", "empty"])
def test_an_upload_that_is_not_whole_is_refused(rig: ServerRig, what: str) -> None:
    """Nothing is published that a device could not use or nobody signed."""
    publication = rig.simulator.set_state(state(rig))
    upload = upload_of(publication, rig.base(publication))
    metadata, targets = dict(upload.metadata), dict(upload.targets)
    if what == "altered":
        targets[KITCHEN.target_path] += b" "
    elif what == "missing":
        targets.clear()
    elif what == "extra":
        targets["state/groups/attic.json"] = b"{}"
    elif what == "foreign-name":
        targets["../x.json"] = b"{}"
    elif what == "online":
        metadata["9.snapshot.json"] = rig.simulator.roles["snapshot"]
    else:
        metadata.clear()
        targets.clear()
    with pytest.raises(AllodError) as caught:
        rig.server.publish(
            rig.fleet, ChangeUpload(base=upload.base, metadata=metadata, targets=targets)
        )
    assert isinstance(caught.value, (InvalidInput, Untrusted))
    assert rig.server.fleets.need(rig.fleet).news == 1
    assert not rig.server.publications.directory(rig.fleet).pending.exists()


def test_a_root_that_names_other_online_keys_is_refused(rig: ServerRig, tmp_path) -> None:
    """A fleet whose root names another server's keys cannot be admitted here."""
    other = RepositorySimulator(TestOwner("elsewhere"), now=rig.clock.moment)
    rig.simulator = other
    with pytest.raises(Untrusted) as caught:
        rig.server.admit_fleet(rig.genesis())
    assert caught.value.code == "auth"
    assert not rig.server.stores.layout.fleet(other.fleet).root.exists()


def test_rotations_are_published(rig: ServerRig) -> None:
    """New root and daily keys: files go out, statements come again with the new signatures."""
    simulator = rig.simulator
    before = rig.versions
    simulator.rotate_root([key_from("new-root")])
    roles = {k: v for k, v in simulator.roles.items() if k not in {"snapshot", "timestamp"}}
    files = simulator.files
    metadata = {
        path.removeprefix("tuf/"): data
        for path, data in files.items()
        if data in roles.values()
        and not rig.server.stores.layout.fleet(rig.fleet).served(path).is_file()
    }
    trust = {"1": files["trust/1.json"]}
    receipt = rig.server.publish(
        rig.fleet, ChangeUpload(base={"root": 1}, metadata=metadata, trust=trust)
    )
    assert receipt.versions["root"] == before["root"] + 1
    repository, _ = served(rig)
    assert repository.root.version == 2


def test_history_and_state_survive_a_restart(rig: ServerRig) -> None:
    """After a restart the counter and the versions are what they were."""
    rig.change(rig.simulator.set_state(state(rig)))
    versions = rig.versions
    rig.restart()
    assert rig.versions == versions
    assert rig.server.stores.news.current(rig.fleet) == 2
    kinds = [change.kind for change in rig.server.listings.changes(rig.fleet, 0, 10).changes]
    assert kinds == ["genesis", "change"]


def test_a_document_for_another_place_is_refused(rig: ServerRig) -> None:
    """A document signed at the path of another scope is not published."""
    data = encode({"type": "allod.state", "format": 1, "fleet": rig.fleet, "scope": "groups/attic"})
    publication = rig.simulator.set_target(KITCHEN.target_path, data)
    with pytest.raises(Untrusted) as caught:
        rig.change(publication)
    assert caught.value.code == "wrong-scope"
