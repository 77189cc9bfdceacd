"""The chain of trust statements: order, fleet, form, repairs, rotation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.attacks.trust_world import World

from allod.errors import AllodError, Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, key_from
from allod.trust import statements
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope
from allod.trust.papers import make_statement, statement_digest
from allod.trust.statements import check_statement
from allod.wire.envelope import INVITE, TRUST


@pytest.fixture
def world() -> World:
    """A device that knows statement 1."""
    return World.make()


def forged(world: World, kind: str = TRUST, **fields: Any) -> bytes:
    """Statement 2 with other fields, signed by the root."""
    good = world.sim.add_statement()
    value = json.loads(payload_of(decode_envelope(good))) | fields
    return sign_envelope(json.dumps(value).encode(), kind, world.sim.owner.root)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fleet": "e" * 64}, "wrong-fleet"),
        ({"number": 3}, "wrong-address"),
        ({"previous": "sha256:" + "0" * 64}, "broken-chain"),
        ({"at": "now"}, "bad-time"),
        ({"repairs": [{"roles": {"snapshot": -1}}]}, "bad-document"),
        ({"repairs": [{"devices": ["x"]}]}, "bad-device"),
        ({"repairs": [{"time": "x"}]}, "bad-time"),
        (
            {"transfers": [{"devices": ["x"], "to": "e" * 64, "until": "2026-11-01T12:00:00Z"}]},
            "bad-device",
        ),
        ({"transfers": [{"devices": [], "to": "x", "until": "2026-11-01T12:00:00Z"}]}, "bad-fleet"),
        ({"transfers": [{"devices": [], "to": "e" * 64, "until": "x"}]}, "bad-time"),
        ({"kind": INVITE}, "wrong-type"),
    ],
)
def test_a_statement_that_does_not_fit_is_refused(
    world: World, fields: dict[str, Any], code: str
) -> None:
    """Even signed by the root; the floor stays at the statement before."""
    world.sim.files["trust/2.json"] = forged(world, **fields)
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == code
    assert world.client.floors.trust_number == 1


def test_a_lagging_device_follows_over_a_rotation_of_the_root(world: World) -> None:
    """Only the newest statement is signed anew; it vouches for those before it."""
    world.sim.add_statement()
    world.sim.add_statement()
    world.sim.rotate_root([key_from("next")])
    assert world.wanted() == "1.0"
    assert world.client.floors.trust_number == 3
    newest = world.client.descend().statement
    assert newest is not None
    assert newest.number == 3


def test_a_lost_cache_is_fetched_again_and_pinned_by_the_floor(world: World) -> None:
    """Under the floor's number nothing but the floor's own statement counts."""
    world.client.cached.clear()
    assert world.wanted() == "1.0"
    world.client.cached["trust.json"] = b"damaged"
    assert world.wanted() == "1.0"
    world.client.cached.clear()
    twin = make_statement(world.sim.fleet, None, world.sim.now, world.sim.owner.root, anchors=[])
    world.client.cached["trust.json"] = twin
    assert world.wanted() == "1.0"
    world.client.cached.clear()
    world.sim.files["trust/1.json"] = twin
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "equivocation"


def test_a_repair_drops_the_cache_and_is_done_once(world: World) -> None:
    """Named devices only; the driver is told what to forget."""
    from allod.wire.trust import Repair

    assert "snapshot.json" in world.client.cached
    world.sim.add_statement(repairs=[Repair(roles={"snapshot": 1})])
    asked = len(world.sim.asked)
    assert world.wanted() == "1.0"
    assert [p for p in world.sim.asked[asked:] if p.endswith(".targets.json")]
    asked = len(world.sim.asked)
    assert world.wanted() == "1.0"
    assert not [p for p in world.sim.asked[asked:] if p.endswith(".targets.json")]


def test_one_statement_can_be_checked_by_itself(world: World) -> None:
    """As the owner's machine and the server do before it is published."""
    raw = world.sim.statements[0]
    root = world.client.descend().root
    assert check_statement(raw, world.sim.fleet, root).number == 1
    assert statement_digest(raw)[0] == 1
    stranger = make_statement(world.sim.fleet, None, world.sim.now, [key_from("x")], anchors=[])
    with pytest.raises(Untrusted):
        check_statement(stranger, world.sim.fleet, root)


def test_a_walk_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that makes up statements for ever is left."""
    monkeypatch.setattr(statements, "MAX_STATEMENTS", 2)
    for _ in range(2):
        world.sim.add_statement()
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "too-many-statements"


def test_a_fleet_may_have_no_statement_yet() -> None:
    """Then there is none, and the first one counts when it comes."""
    sim = RepositorySimulator()
    del sim.files["trust/1.json"]
    client = SimulatedClient(sim)
    assert client.descend().statement is None
    sim.files["trust/1.json"] = sim.statements[0]
    assert client.descend().statement is not None
    with pytest.raises(AllodError):
        statement_digest(b"{}")
