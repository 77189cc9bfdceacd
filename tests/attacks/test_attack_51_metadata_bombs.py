"""Attack 51, at the trust level: metadata that python-tuf would read and nobody should."""

from __future__ import annotations

import json

import pytest
from tests.attacks.trust_world import World, wants

from allod.errors import Untrusted


def _deep(levels: int) -> bytes:
    return b'{"signed":' + b"[" * levels + b"]" * levels + b',"signatures":[]}'


BOMBS = {
    "deep": _deep(10_000),
    "digits": b'{"signed":{"version":' + b"9" * 1_000_000 + b'},"signatures":[]}',
    "nan": b'{"signed":{"version":NaN},"signatures":[]}',
    "duplicate": b'{"signed":{"version":1},"signed":{"version":2},"signatures":[]}',
    "open-string": b'{"' + b'\\"' * 100_000,
    "trailing": b'{"signed":{"version":1},"signatures":[]}{}',
    "no-text": b"\xff\xfe",
    "float-version": b'{"signed":{"version":1.5,"_type":"timestamp"},"signatures":[]}',
    "bool-version": b'{"signed":{"version":true,"_type":"timestamp"},"signatures":[]}',
    "huge-version": b'{"signed":{"version":9223372036854775808},"signatures":[]}',
    "list": b"[1]",
    "nothing-in-it": b'{"signed":{"version":1},"signatures":[]}',
}


@pytest.mark.parametrize("kind", sorted(BOMBS))
@pytest.mark.parametrize("file", ["tuf/timestamp.json", "tuf/2.root.json", "trust/2.json"])
def test_attack_51_bombs_are_refused_before_they_are_read(kind: str, file: str) -> None:
    """Whatever file it comes as: refused, floors as before, and the next good one counts."""
    world = World.make()
    floors = world.client.floors
    world.sim.tamper[file] = lambda _data: BOMBS[kind]
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code in {"bad-json", "bad-metadata", "bad-document", "too-large"}
    assert world.client.floors == floors
    world.sim.tamper.clear()
    assert world.wanted() == "1.0"


def test_attack_51_too_much_is_refused_by_its_size() -> None:
    """The source is asked for no more than the cap, and what is longer is refused unread."""
    world = World.make()
    world.sim.tamper["tuf/timestamp.json"] = lambda _data: b" " * 10_000_000
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "too-large"


def test_attack_51_reformatted_metadata_with_a_second_key_is_refused() -> None:
    """A signed file in which a key stands twice says two things: python-tuf takes the last."""
    world = World.make()
    world.sim.set_state(wants(world.sim, "2.0"))
    path = "tuf/timestamp.json"
    value = json.loads(world.sim.files[path])
    signed = json.dumps(value["signed"])
    doubled = f'{{"signatures":{json.dumps(value["signatures"])},"signed":{{"version":1}},"signed":{signed}}}'
    world.sim.tamper[path] = lambda _data: doubled.encode()
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "bad-json"
