"""Descending: floors, caches, faults of the source, the shape of delegations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Targets

from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.testing.attacker import OnlineAttacker
from allod.testing.client import SimulatedClient, drive
from allod.testing.repository import (
    BUILD_TIME,
    RepositorySimulator,
    TestOwner,
    key_from,
    role_keys,
)
from allod.trust import effects
from allod.trust import repository as module
from allod.trust.anchor import Anchor, anchor_at, first_floors
from allod.trust.effects import Keep, Need
from allod.trust.metadata import open_role, quote, read, tuf_rules
from allod.trust.online import snapshot_of, timestamp_of
from allod.trust.profile import PLAIN_TUF, Profile
from allod.trust.repository import descend


@pytest.fixture
def fleet() -> RepositorySimulator:
    """A fleet with a little history."""
    sim = RepositorySimulator()
    sim.set_target("state/groups/x.json", b"{}")
    return sim


@pytest.fixture
def client(fleet: RepositorySimulator) -> SimulatedClient:
    """Somebody who knows all of it."""
    known = SimulatedClient(fleet)
    known.drive(known.descend().load_all())
    return known


def test_nothing_new_costs_three_questions_and_no_write(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Root, statement, timestamp; nothing is kept that is kept already."""
    fleet.asked.clear()
    client.kept.clear()
    client.descend()
    assert fleet.asked == ["tuf/2.root.json", "trust/2.json", "tuf/timestamp.json"]
    assert client.kept == []


def test_every_document_is_kept_after_its_floors(fleet: RepositorySimulator) -> None:
    """The driver is asked to make floors durable before the document is handed out."""
    client = SimulatedClient(fleet)
    order: list[str] = []
    steps = descend(client.anchor, client.floors, {}, fleet.now)

    def get(path: str, cap: int) -> bytes | None:
        order.append(path)
        return fleet.get(path, cap)

    repository = effects.drive(steps, get, lambda _keep: order.append("keep"))
    assert order[-1] == "keep"
    target = repository.target("state/devices/" + "0" * 64 + ".json", 100)
    assert isinstance(next(target), Need)
    wanted = repository.target("fleet.json", 10_000)
    assert next(wanted).path.startswith("tuf/targets/")


@pytest.mark.parametrize("failing", ["tuf/timestamp.json", "tuf/3.snapshot.json"])
def test_what_was_verified_before_a_fault_is_kept(
    fleet: RepositorySimulator, client: SimulatedClient, failing: str
) -> None:
    """Step 5: floors rise whatever is refused later: root, statement, timestamp."""
    fleet.rotate_root([key_from("next")])
    fleet.add_statement()
    fleet.tamper[failing] = lambda _data: None
    with pytest.raises(Unavailable):
        client.descend()
    assert client.floors.root_version == 2
    assert client.floors.trust_number == 2


def test_a_good_root_before_a_bad_one_counts(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """The chain is kept as far as it was proved."""
    fleet.rotate_root([key_from("next")])
    fleet.files["tuf/3.root.json"] = fleet.files["tuf/2.root.json"]
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "rollback"
    assert client.floors.root_version == 2


@pytest.mark.parametrize("name", ["root.json", "timestamp.json", "snapshot.json", "targets.json"])
def test_a_damaged_cache_is_an_alarm_and_no_first_run(
    fleet: RepositorySimulator, client: SimulatedClient, name: str
) -> None:
    """It is said, fetched again, and the floors hold meanwhile."""
    client.cached[name] = b"\0" * 100
    floors = client.floors
    assert [alarm.code for alarm in client.descend().alarms] == ["cache-damaged"]
    assert client.floors == floors
    assert client.descend().alarms == []


def test_a_cache_beside_the_floors_is_not_used(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """A cut between floors and files leaves older files: they are fetched, without noise."""
    old = dict(client.cached)
    fleet.set_target("x", b"y")
    client.drive(client.descend().load_all())
    client.cached = old
    repository = client.descend()
    assert repository.alarms == []
    assert repository.versions["targets"] == 3


def test_another_timestamp_under_one_version_is_an_alarm(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """What was seen first goes on counting; without the cache it is refused."""
    fleet.pass_time(timedelta(hours=1))
    OnlineAttacker(fleet).stamp(fleet.roles["snapshot"], client.floors.roles["timestamp"])
    assert [alarm.code for alarm in client.descend().alarms] == ["equivocation"]
    client.cached.pop("timestamp.json")
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "equivocation"


def test_another_snapshot_under_one_version_is_refused(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Two snapshots under one number: the device keeps the first."""
    number = client.floors.roles["snapshot"]
    fleet.pass_time(timedelta(hours=1))
    OnlineAttacker(fleet).show({}, snapshot_version=number)
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "equivocation"
    assert caught.value.details["role"] == "snapshot"


def test_a_timestamp_of_an_older_snapshot_is_refused(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """With the cache and without it."""
    OnlineAttacker(fleet).stamp(fleet.files["tuf/1.snapshot.json"])
    for _ in range(2):
        with pytest.raises(Untrusted) as caught:
            client.descend()
        assert caught.value.code == "rollback"
        client.cached.clear()


def test_roles_that_are_not_asked_for_are_checked_too(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """By the floors alone (no cache): a bin that is gone or went back, before anything is used."""
    attacker = OnlineAttacker(fleet)
    old = fleet.roles["devices-bins-3"]
    draft = fleet.draft()
    draft._dirty.add("devices-bins-3")
    fleet.publish(draft)
    client.drive(client.descend().load_all())
    for shown, code in [(old, "rollback"), (None, "role-missing")]:
        client.cached.clear()
        attacker.show({"devices-bins-3": shown})
        with pytest.raises(Untrusted) as caught:
            client.descend()
        assert (caught.value.code, caught.value.details["role"]) == (code, "devices-bins-3")


def test_roles_that_were_never_verified_do_not_go_back_either(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """TUF 5.5.5: what the last snapshot listed, the next lists at least as high."""
    attacker = OnlineAttacker(fleet)
    fleet.roles["other"] = fleet.roles["devices"]
    attacker.show({"other": fleet.roles["devices"]}, versions={"other": 7})
    client.descend()
    for shown, code in [(fleet.roles["devices"], "rollback"), (None, "role-missing")]:
        attacker.show({"other": shown})
        with pytest.raises(Untrusted) as caught:
            client.descend()
        assert caught.value.code == code


def test_another_root_under_a_known_version_is_refused(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Whoever has the cache lost and walks again meets the same roots, or stops."""
    fleet.rotate_root([key_from("a")])
    client.descend()
    client.cached.clear()
    other = RepositorySimulator()
    other.rotate_root([key_from("b")])
    fleet.files["tuf/2.root.json"] = other.files["tuf/2.root.json"]
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "equivocation"


def test_a_walk_over_roots_has_an_end(
    fleet: RepositorySimulator, client: SimulatedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one goes on where this ended."""
    monkeypatch.setattr(module, "MAX_ROOTS", 2)
    for number in range(3):
        fleet.rotate_root([key_from(f"r{number}")])
    for _ in range(2):
        with pytest.raises(Untrusted) as caught:
            client.descend()
        assert caught.value.code == "too-many-roots"
    client.descend()
    assert client.floors.root_version == 4


def test_an_expired_root_is_stale(fleet: RepositorySimulator, client: SimulatedClient) -> None:
    """Change stops until the owner signs it anew."""
    fleet.pass_time(fleet.lives.root + timedelta(days=1))
    draft = fleet.draft()
    draft.renew(fleet.now, root=False)
    fleet.publish(draft)
    with pytest.raises(Unavailable) as caught:
        client.descend()
    assert caught.value.code == "stale"
    draft = fleet.draft()
    draft.renew(fleet.now)
    fleet.publish(draft)
    assert client.descend().root.version == 2


def test_an_expired_cache_does_not_stop_what_is_fresh(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Cached files past their life are floors, and nothing else."""
    fleet.pass_time(timedelta(days=30))
    fleet.refresh()
    client.descend()
    with pytest.raises(Unavailable):
        client.descend(fleet.now + timedelta(days=3))


def test_a_stolen_timestamp_key_of_before_a_rotation_is_worth_nothing(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """The cached files of the old keys are dropped without an alarm; floors stay."""
    before = dict(client.floors.roles)
    fleet.rotate_online()
    repository = client.descend()
    assert repository.alarms == []
    assert client.floors.roles["timestamp"] > before["timestamp"]


def _tree(fleet: RepositorySimulator, depth: int, *, visits: int) -> SimulatedClient:
    """A line of delegations, each to the next."""
    client = SimulatedClient(fleet)
    root = fleet.owner.targets[0].public_key
    draft = fleet.draft()
    previous: Targets = draft._roles["targets"].signed
    for number in range(depth):
        name = f"d{number}"
        role = DelegatedRole(name, [root.keyid], 1, terminating=False, paths=["deep/*"])
        delegations = previous.delegations or Delegations({root.keyid: root}, roles={})
        assert delegations.roles is not None
        delegations.roles[name] = role
        previous.delegations = delegations
        child = Targets(version=1, expires=fleet.now + fleet.lives.targets)
        child.unrecognized_fields["allod"] = {"fleet": fleet.fleet, "role": name}
        fleet.roles[name] = b""
        draft._roles[name] = type(draft._roles["targets"])(child)
        previous = child
    draft._dirty |= {"targets"}
    for number in reversed(range(depth)):
        name = f"d{number}"
        metadata = draft._roles[name]
        metadata.sign(fleet.owner.targets[0])
        fleet.roles[name] = metadata.to_bytes()
        fleet.files[f"tuf/1.{name}.json"] = fleet.roles[name]
    publication = draft.sign(fleet.now, fleet.owner.signers)
    fleet.upload(publication)
    fleet.refresh({name: fleet.roles[name] for name in (f"d{n}" for n in range(depth))})
    profile = Profile(visits=visits)
    repository = client.drive(descend(client.anchor, client.floors, {}, fleet.now, profile=profile))
    client.drive(repository.load_all())
    assert client.drive(repository.target("deep/none", 10)) is None or visits < depth
    return client


def test_not_found_is_said_only_when_every_role_was_asked(fleet: RepositorySimulator) -> None:
    """Stock clients give up after 32 delegations and say 'not found'; this is an error here."""
    _tree(fleet, 40, visits=64)
    other = RepositorySimulator()
    with pytest.raises(Untrusted) as caught:
        _tree(other, 40, visits=10)
    assert caught.value.code == "too-many-roles"


def test_a_role_that_was_refused_once_stays_refused(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Asking the same repository again does not let it in by the back door."""
    attacker = OnlineAttacker(fleet)
    fresh = SimulatedClient(fleet)
    attacker.show({"devices": fleet.roles["devices-bins-3"]})
    repository = fresh.descend()
    for _ in range(2):
        with pytest.raises(Untrusted) as caught:
            fresh.drive(repository.target("state/devices/" + "0" * 64 + ".json", 10))
        assert caught.value.code == "wrong-role"
    with pytest.raises(Untrusted):
        fresh.drive(repository.load_all())
    assert "devices" not in fresh.floors.roles


def test_a_document_beyond_its_cap_is_refused(client: SimulatedClient) -> None:
    """Before it is fetched."""
    with pytest.raises(Untrusted) as caught:
        client.drive(client.descend().target("fleet.json", 3))
    assert caught.value.code == "too-large"


def test_a_document_comes_from_the_cache_if_it_is_the_signed_one(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Altered on the disk it is fetched again; withheld it is not 'absent'."""
    client.accept()
    fleet.asked.clear()
    client.accept()
    assert not [path for path in fleet.asked if "targets/" in path]
    client.cached["fleet.json.target"] = b"{}"
    client.accept()
    path = next(path for path in fleet.asked if "targets/" in path)
    client.cached.pop("fleet.json.target")
    fleet.tamper[path] = lambda _data: None
    with pytest.raises(Unavailable) as caught:
        client.accept()
    assert caught.value.code == "withheld"


def test_an_anchor_is_a_root_that_signs_itself(fleet: RepositorySimulator) -> None:
    """Of the fleet that it says, at its own threshold."""
    assert anchor_at(fleet.first_root).fleet == fleet.fleet
    other = RepositorySimulator(TestOwner("other"))
    with pytest.raises(Untrusted) as caught:
        first_floors(Anchor(fleet.fleet, other.first_root), BUILD_TIME)
    assert caught.value.code == "wrong-fleet"
    unsigned = read(fleet.first_root, "root")
    unsigned.signatures.clear()
    with pytest.raises(Untrusted):
        anchor_at(unsigned.to_bytes())
    with pytest.raises(InvalidInput):
        read(fleet.first_root, "timestamp")


def test_names_are_quoted_so_that_they_stay_one_path_segment() -> None:
    """As RFC 3986 does, whatever a role is called."""
    assert quote("../a b/é") == "..%2Fa%20b%2F%C3%A9"
    assert quote("a/b", safe=b"/") == "a/b"


def test_codes_of_python_tuf_pass_unchanged_where_they_are_caught(
    fleet: RepositorySimulator,
) -> None:
    """The equal version is no error to its caller; anything odd is bad metadata."""
    with pytest.raises(Untrusted) as caught, tuf_rules("x"):
        raise KeyError("odd")
    assert caught.value.code == "bad-metadata"
    assert open_role(fleet.first_root, "root").version == 1


def test_the_owners_times_raise_the_floor_on_settling(fleet: RepositorySimulator) -> None:
    """The simulated driver that forgets sees the same values."""
    client = SimulatedClient(fleet)
    repository = drive(descend(client.anchor, client.floors, {}, fleet.now), fleet)
    asked = list(repository.settle(owner_time=fleet.now + timedelta(hours=1), epoch=3))
    assert isinstance(asked[0], Keep)
    assert asked[0].floors.time == fleet.now + timedelta(hours=1)
    assert asked[0].floors.epoch == 3
    assert list(repository.settle()) == []


def test_a_role_without_an_address_is_refused(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Signed by the right keys, but nobody knows for which fleet and role."""
    draft = fleet.draft()
    draft.set_target("x", b"y")
    metadata = read(draft.sign(fleet.now, fleet.owner.signers).roles["targets"], "targets")
    del metadata.signed.unrecognized_fields["allod"]
    metadata.sign(fleet.owner.targets[0])
    OnlineAttacker(fleet).show({"targets": metadata.to_bytes()})
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "wrong-fleet"


def test_a_cycle_of_delegations_ends(fleet: RepositorySimulator) -> None:
    """A role that delegates to itself is asked once; one that the snapshot lacks is an error."""
    draft = fleet.draft()
    keys = role_keys(fleet.owner.targets)
    draft.delegate("loop", keys, ["loop/*"])
    draft.set_target("loop/a", b"x")
    targets = draft._signed("targets").delegations
    loop = draft._signed("loop")
    loop.delegations = Delegations(dict(targets.keys), roles={"loop": targets.roles["loop"]})
    publication = draft.sign(fleet.now, {**fleet.owner.signers, "loop": fleet.owner.targets})
    fleet.upload(publication)
    client = SimulatedClient(fleet)
    repository = client.descend()
    assert client.drive(repository.target("loop/none", 10)) is None
    client.drive(repository.load_all())

    draft = fleet.draft()
    draft.delegate("absent", keys, ["absent/*"])
    fleet.publish(draft)
    repository = client.descend()
    with pytest.raises(Untrusted) as caught:
        client.drive(repository.target("absent/x", 10))
    assert caught.value.code == "role-missing"


def test_plain_tuf_lowers_floors_with_a_rotation_and_asks_for_no_statement() -> None:
    """The profile of the conformance suite; Allod's own never does."""
    fleet = RepositorySimulator()
    client = SimulatedClient(fleet)

    def look() -> None:
        client.drive(
            descend(client.anchor, client.floors, client.cached, fleet.now, profile=PLAIN_TUF)
        )

    OnlineAttacker(fleet).show({}, snapshot_version=2**40, timestamp_version=2**40)
    look()
    assert client.floors.roles["snapshot"] == 2**40
    fleet.rotate_online()
    roles = {role: data for role, data in fleet.roles.items() if role not in {"root", "snapshot"}}
    snapshot = snapshot_of(None, roles, [fleet.owner.snapshot], fleet.now)
    fleet.files["tuf/1.snapshot.json"] = snapshot
    fleet.files["tuf/timestamp.json"] = timestamp_of(
        None, snapshot, [fleet.owner.timestamp], fleet.now
    )
    look()
    assert client.floors.roles["snapshot"] == 1
    assert not [path for path in fleet.asked if path.startswith("trust/")]


def test_a_cached_root_beside_the_floor_is_not_started_from(
    fleet: RepositorySimulator, client: SimulatedClient
) -> None:
    """Somebody put another root into the cache: the anchor is walked from again."""
    client.cached["root.json"] = RepositorySimulator(TestOwner("other")).first_root
    assert client.descend().root.version == 1
    assert client.descend().anchor.root == fleet.first_root
