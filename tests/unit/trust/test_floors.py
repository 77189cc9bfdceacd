"""Floors rise, are kept whole, and fall by name only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from allod.domain.ids import FleetId
from allod.errors import InvalidInput
from allod.testing.client import SimulatedClient
from allod.testing.repository import BUILD_TIME, RepositorySimulator
from allod.trust.floors import Floors, decode_floors, encode_floors

FLOORS = Floors(
    FleetId("f" * 64), 3, "sha256:r", BUILD_TIME, 2, "sha256:t", {"targets": 5}, {"targets": "d"}, 1
)


def test_floors_survive_their_file() -> None:
    """What is written is what is read, also after a real descent."""
    assert decode_floors(encode_floors(FLOORS)) == FLOORS
    client = SimulatedClient(RepositorySimulator())
    client.accept()
    assert decode_floors(encode_floors(client.floors)) == client.floors


def test_floors_never_fall() -> None:
    """To lower one is a bug, whoever does it."""
    for lower in (
        lambda: FLOORS.with_root(2, "x"),
        lambda: FLOORS.with_trust(1, "x"),
        lambda: FLOORS.raised("targets", 4, "x"),
    ):
        with pytest.raises(RuntimeError):
            lower()
    assert FLOORS.raised_time(BUILD_TIME - timedelta(days=1)) == FLOORS
    assert FLOORS.raised_epoch(0) == FLOORS
    assert FLOORS.raised_epoch(2).epoch == 2


def test_a_repair_lowers_what_it_names_and_nothing_else() -> None:
    """It never lifts, forgets the digest at the old version, and can forget a role wholly."""
    two = replace(
        FLOORS, roles={"targets": 5, "devices": 7}, digests={"targets": "d", "devices": "e"}
    )
    repaired = two.repaired({"targets": 3, "devices": 9, "unknown": 1}, None)
    assert repaired.roles == {"targets": 3, "devices": 7}
    assert repaired.digests == {"devices": "e"}
    assert two.repaired({"targets": 0}, None).roles == {"devices": 7}
    earlier, later = BUILD_TIME - timedelta(days=1), BUILD_TIME + timedelta(days=1)
    assert two.repaired({}, earlier).time == earlier
    assert two.repaired({}, later).time == BUILD_TIME
    assert two.without_roles().roles == {}


@pytest.mark.parametrize(
    "change", [(b'"epoch":1', b'"epoch":-1'), (b'"rootVersion":3', b'"rootVersion":0'), (b"}", b"")]
)
def test_damaged_floors_are_refused(change: tuple[bytes, bytes]) -> None:
    """Never read as anything else, and never as a first run."""
    with pytest.raises(InvalidInput):
        decode_floors(encode_floors(FLOORS).replace(*change))


def test_two_walks_side_by_side_lower_nothing() -> None:
    """Each raises what the other has; the digest goes with the version that it is of."""
    one = replace(FLOORS, roles={"targets": 5, "devices": 7}, digests={"targets": "a"})
    two = replace(
        FLOORS.raised_epoch(3),
        roles={"targets": 6, "bins": 2},
        digests={"targets": "b", "bins": "c"},
        time=BUILD_TIME + timedelta(days=1),
    )
    for joined in (one.joined(two), two.joined(one)):
        assert joined.roles == {"targets": 6, "devices": 7, "bins": 2}
        assert joined.digests == {"targets": "b", "bins": "c"}
        assert (joined.time, joined.epoch) == (two.time, 3)
    assert one.joined(one) == one


def test_a_walk_to_a_newer_statement_or_root_speaks_alone() -> None:
    """What a repair or a rotation took down is not lifted again by a walk that began before it."""
    before = replace(FLOORS, roles={"targets": 1 << 60})
    repaired = replace(before, roles={"targets": 5}).with_trust(before.trust_number + 1, "t")
    rotated = replace(before, roles={}).with_root(before.root_version + 1, "r")
    for newer in (repaired, rotated):
        assert before.joined(newer).roles == newer.roles
        assert newer.joined(before) == newer
    with pytest.raises(RuntimeError):
        before.joined(replace(before, fleet="e" * 64))
