"""Making the repository: genesis, edits, delegations, rotations, renewal, thresholds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from allod.errors import InvalidInput, Refused
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, TestOwner, key_from, role_keys
from allod.trust.authoring import RepositoryDraft
from allod.trust.ceremony import merge_roots, root_progress, sign_root
from allod.trust.metadata import fleet_id, read
from allod.trust.online import snapshot_of, timestamp_of
from allod.trust.role_keys import PRODUCTION, RoleKeys

DELEGATE = key_from("delegate")


@pytest.fixture
def fleet() -> RepositorySimulator:
    """A fleet."""
    return RepositorySimulator()


def test_the_fleets_id_is_fixed_by_its_first_root(fleet: RepositorySimulator) -> None:
    """The draft knows it before anything is signed; later roots do not change it."""
    assert fleet_id(fleet.first_root) == fleet.fleet
    fleet.rotate_root([key_from("next")])
    with pytest.raises(InvalidInput):
        fleet_id(fleet.files["tuf/2.root.json"])


def test_production_has_more_bins_and_shorter_lives() -> None:
    """256 bins, targets for 90 days, root 2 of 3."""
    sim = RepositorySimulator(TestOwner.production(), lives=PRODUCTION)
    assert sum(role.startswith("devices-bins-") for role in sim.roles) == 256
    targets = read(sim.roles["targets"], "targets").signed
    assert targets.expires - sim.now == timedelta(days=90)
    SimulatedClient(sim).accept()


def test_only_what_changed_is_signed(fleet: RepositorySimulator) -> None:
    """The same bytes again are no edit; a device's document touches its own bin alone."""
    draft = fleet.draft()
    assert draft.contents == {}
    draft.set_target(
        "fleet.json", next(d for p, d in fleet.files.items() if p.endswith(".fleet.json"))
    )
    assert draft.touched == frozenset()
    draft.set_target("state/devices/" + "0" * 64 + ".json", b"x")
    draft.remove_target("not-there")
    assert len(draft.touched) == 1
    assert not draft.root_changed
    publication = draft.sign(fleet.now, fleet.owner.signers)
    assert list(publication.versions.values()) == [2]
    assert len(publication.metadata) == 1
    again = fleet.draft()
    again.set_target("x", b"1")
    again.remove_target("x")
    assert again.sign(fleet.now, fleet.owner.signers).targets == {}
    assert "fleet.json" in again.paths()
    assert again.target("x") is None


def test_missing_signatures_are_named(fleet: RepositorySimulator) -> None:
    """Nothing is published below the threshold of its role."""
    draft = fleet.draft()
    draft.set_target("x", b"y")
    with pytest.raises(Refused) as caught:
        draft.sign(fleet.now, {"targets": [key_from("stranger")]})
    assert (caught.value.code, caught.value.details["missing"]) == ("role-incomplete", 1)


def test_a_delegation_speaks_for_its_own_paths_until_it_is_revoked(
    fleet: RepositorySimulator,
) -> None:
    """It stays in the snapshot afterwards, and its name is not used twice."""
    role, path = "delegation-qa", "by/qa/groups/kitchen.json"
    draft = fleet.draft()
    draft.delegate(role, role_keys([DELEGATE]), ["by/qa/*/*"])
    draft.set_target(path, b"theirs")
    with pytest.raises(InvalidInput) as caught:
        draft.delegate(role, role_keys([DELEGATE]), ["x"])
    assert caught.value.code == "role-exists"
    signers = {**fleet.owner.signers, role: [DELEGATE]}
    fleet.upload(draft.sign(fleet.now, signers))
    client = SimulatedClient(fleet)
    found = client.drive(client.descend().target(path, 100))
    assert found is not None
    assert (found.data, found.role) == (b"theirs", role)

    revoked = fleet.draft()
    revoked.revoke_delegation(role)
    fleet.publish(revoked)
    repository = client.descend()
    assert role in repository.versions
    assert client.drive(repository.target(path, 100)) is None
    targets = read(fleet.roles["targets"], "targets").signed
    assert DELEGATE.public_key.keyid not in targets.delegations.keys


def test_rotations_of_every_role_reach_devices(fleet: RepositorySimulator) -> None:
    """Root, daily key and online keys, one after the other, on one device."""
    client = SimulatedClient(fleet)
    client.accept()
    fleet.rotate_root([key_from("r1"), key_from("r2")], 2)
    fleet.rotate_targets([key_from("t1"), key_from("t2")], 2)
    fleet.rotate_online()
    fleet.set_target("x", b"y")
    client.accept()
    assert client.floors.root_version == 4
    assert set(read(fleet.roles["root"], "root").signed.keys) == {
        signer.public_key.keyid
        for signer in (
            *fleet.owner.root,
            *fleet.owner.targets,
            fleet.owner.snapshot,
            fleet.owner.timestamp,
        )
    }


def test_a_rotation_needs_every_role(fleet: RepositorySimulator) -> None:
    """What was not loaded cannot be signed anew: a bug, so no quiet half rotation."""
    files = {role: data for role, data in fleet.roles.items() if role != "devices-bins-3"}
    draft = RepositoryDraft.from_files(fleet.fleet, files)
    with pytest.raises(RuntimeError):
        draft.rotate_targets(role_keys([key_from("t")]))
    few = {role: fleet.roles[role] for role in ("root", "targets")}
    with pytest.raises(RuntimeError):
        RepositoryDraft.from_files(fleet.fleet, few).set_target("state/devices/x.json", b"")


@pytest.mark.parametrize("role", ["targets", "devices"])
def test_a_repository_of_another_shape_is_not_edited(fleet: RepositorySimulator, role: str) -> None:
    """Without the delegations that every fleet has it is somebody else's repository."""
    metadata = read(fleet.roles[role], role)
    metadata.signed.delegations = None
    files = {**fleet.roles, role: metadata.to_bytes()}
    draft = RepositoryDraft.from_files(fleet.fleet, files)
    with pytest.raises(RuntimeError):
        draft.set_target("x" if role == "targets" else "state/devices/x.json", b"")
    with pytest.raises(RuntimeError):
        draft.rotate_targets(role_keys([key_from("t")]))


def test_what_is_half_over_is_renewed(fleet: RepositorySimulator) -> None:
    """Every signing command does it: all roles after half their life, the root after its own."""
    assert fleet.draft().renew(fleet.now) == frozenset()
    fleet.pass_time(fleet.lives.targets / 2 + timedelta(days=1))
    draft = fleet.draft()
    due = draft.renew(fleet.now)
    assert {"targets", "devices"} <= due
    assert len(due) == 18
    assert draft.renew(fleet.now) == frozenset()
    fleet.publish(draft)
    SimulatedClient(fleet).accept()
    other = RepositorySimulator()
    other.pass_time(other.lives.root / 2 + timedelta(days=1))
    assert "root" not in other.draft().renew(other.now, root=False)
    assert "root" in other.draft().renew(other.now)


def test_a_root_from_a_ceremony_must_be_the_drafts(fleet: RepositorySimulator) -> None:
    """A complete root with other keys is not taken for the proposed one."""
    draft, other = fleet.draft(), fleet.draft()
    draft.rotate_root(role_keys([key_from("a")]))
    other.rotate_root(role_keys([key_from("b")]))
    foreign = sign_root(other.propose_root(fleet.now), [*fleet.owner.root, key_from("b")])
    with pytest.raises(InvalidInput) as caught:
        draft.sign(fleet.now, {}, root=foreign)
    assert caught.value.code == "different-documents"
    with pytest.raises(InvalidInput):
        merge_roots([foreign, draft.propose_root(fleet.now)])
    with pytest.raises(InvalidInput):
        root_progress(foreign, foreign)
    assert root_progress(None, fleet.first_root).complete


def test_thresholds_are_of_different_keys() -> None:
    """None, more than there are, or one key twice is no threshold."""
    key = key_from("a").public_key
    for keys, threshold in [((key,), 0), ((key,), 2), ((key, key), 1), ((), 1)]:
        with pytest.raises(InvalidInput) as caught:
            RoleKeys(keys, threshold)
        assert caught.value.code == "bad-threshold"


def test_the_server_never_publishes_an_older_role(fleet: RepositorySimulator) -> None:
    """And after a restore it goes on above what devices have seen."""
    old = fleet.roles["targets"]
    fleet.set_target("x", b"y")
    with pytest.raises(InvalidInput) as caught:
        snapshot_of(fleet.roles["snapshot"], {"targets": old}, [fleet.owner.snapshot], fleet.now)
    assert caught.value.code == "older-role"
    client = SimulatedClient(fleet)
    client.accept()
    fleet.refresh(above=100)
    client.accept()
    assert client.floors.roles["snapshot"] == client.floors.roles["timestamp"] == 101
    stamp = timestamp_of(None, fleet.roles["snapshot"], [fleet.owner.timestamp], fleet.now)
    assert read(stamp, "timestamp").signed.version == 1


def test_what_is_shown_is_what_is_signed(fleet: RepositorySimulator) -> None:
    """A proposal at one time is the signed file without its signatures, the note included."""
    draft = fleet.draft()
    draft.set_target("x", b"y")
    draft.note({"message": "why"})
    proposed = draft.propose(fleet.now)
    signed = draft.sign(fleet.now, fleet.owner.signers).roles
    assert proposed.keys() == signed.keys() == {"targets"}
    before, after = read(proposed["targets"], "targets"), read(signed["targets"], "targets")
    assert before.signed_bytes == after.signed_bytes
    assert b"why" in before.signed_bytes
