"""Attack 35: a thief has one root key where more are needed, or only the new ones."""

from __future__ import annotations

import pytest

from allod.errors import Refused, Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, TestOwner, key_from, role_keys
from allod.trust.ceremony import merge_roots, root_progress, sign_root
from allod.trust.papers import make_statement


def world() -> tuple[RepositorySimulator, SimulatedClient]:
    """A fleet whose root is 2 of 3, and somebody who follows it."""
    sim = RepositorySimulator(TestOwner.production())
    client = SimulatedClient(sim)
    client.accept()
    return sim, client


@pytest.mark.parametrize("who", ["one-of-three", "only-new", "old-and-new"])
def test_attack_35_a_root_needs_the_old_and_the_new_threshold(who: str) -> None:
    """One stolen key cannot make a root, nor can keys that the owner never named."""
    sim, client = world()
    thief = key_from("thief")
    draft = sim.draft()
    draft.rotate_root(role_keys([thief]))
    proposal = draft.propose_root(sim.now)
    old = sim.owner.root
    signers = {
        "one-of-three": [old[0], thief],
        "only-new": [thief],
        "old-and-new": [*old[:2], thief],
    }[who]
    sim.files["tuf/2.root.json"] = sign_root(proposal, signers)
    if who == "old-and-new":
        assert client.descend().root.version == 2
        return
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "auth"
    assert client.floors.root_version == 1
    with pytest.raises(Refused) as refused:
        draft.sign(sim.now, {}, root=sim.files["tuf/2.root.json"])
    assert refused.value.code == "root-incomplete"


def test_attack_35_a_ceremony_collects_signatures_from_separate_machines() -> None:
    """Propose, sign on two machines, merge, publish: progress says what is missing."""
    sim, client = world()
    draft = sim.draft()
    new = [key_from(f"next{n}") for n in range(3)]
    draft.rotate_root(role_keys(new, 2))
    proposal = draft.propose_root(sim.now)
    first = sign_root(proposal, [sim.owner.root[0], new[0]])
    second = sign_root(proposal, [sim.owner.root[2], new[1]])
    before = sim.roles["root"]
    assert root_progress(before, first).missing == 1
    merged = merge_roots([first, second])
    progress = root_progress(before, merged)
    assert progress.complete
    assert len(progress.signed) == 4
    sim.upload(draft.sign(sim.now, {}, root=merged))
    assert client.descend().root.version == 2
    assert client.floors.root_version == 2


def test_attack_35_one_root_key_makes_no_trust_statement() -> None:
    """Repairs, anchors and transfers need the threshold."""
    sim, client = world()
    raw = make_statement(sim.fleet, sim.statements[-1], sim.now, sim.owner.root[:1], anchors=[])
    sim.files["trust/2.json"] = raw
    with pytest.raises(Untrusted) as caught:
        client.descend()
    assert caught.value.code == "auth"
    assert client.floors.trust_number == 1
