"""Attack 58: metadata and documents of fleet A are replayed in fleet B, which shares a key."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import DEVICE, KITCHEN, wants

from allod.errors import Untrusted
from allod.testing.attacker import OnlineAttacker
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, TestOwner, key_from
from allod.wire.desired import encode_state


def two_fleets() -> tuple[RepositorySimulator, RepositorySimulator]:
    """One owner, one daily key, two fleets."""
    daily = [key_from("daily")]
    a = RepositorySimulator(TestOwner("a", targets=list(daily)))
    b = RepositorySimulator(TestOwner("b", targets=list(daily)))
    a.set_state(wants(a, "1.0"))
    b.set_state(wants(b, "5.0"))
    return a, b


def test_attack_58_metadata_of_another_fleet_is_refused() -> None:
    """The same key signed it, but for the other fleet; the floors stay."""
    a, b = two_fleets()
    client = SimulatedClient(b, device=DEVICE)
    client.accept()
    floors = client.floors
    a.set_state(wants(a, "2.0"))
    OnlineAttacker(b).show({"targets": a.roles["targets"]})
    with pytest.raises(Untrusted) as caught:
        client.accept()
    assert caught.value.code == "wrong-fleet"
    assert client.floors.roles["targets"] == floors.roles["targets"]


def test_attack_58_a_document_of_another_fleet_is_refused() -> None:
    """Signed under the right name in the right repository, it still says whose it is."""
    a, b = two_fleets()
    b.set_target(KITCHEN.target_path, encode_state(wants(a, "2.0")))
    view = SimulatedClient(b, device=DEVICE).accept()
    assert [refusal.code for refusal in view.refusals] == ["wrong-fleet"]
    assert view.documents[KITCHEN].packages == {}


def test_attack_58_a_trust_statement_of_another_fleet_is_refused() -> None:
    """The same root key in two fleets does not make one of them."""
    a = RepositorySimulator(TestOwner("a", root=[key_from("same")]))
    b = RepositorySimulator(TestOwner("b", root=[key_from("same")]))
    client = SimulatedClient(b)
    client.accept()
    a.add_statement()
    b.files["trust/2.json"] = a.files["trust/2.json"]
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "wrong-fleet"
    assert client.floors.trust_number == 1


def test_attack_58_anchor_and_floors_of_two_fleets_do_not_start() -> None:
    """A device never mixes what it knows of two owners."""
    a, b = two_fleets()
    client = SimulatedClient(a)
    client.floors = SimulatedClient(b).floors
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "wrong-fleet"
