"""Text that somebody else wrote: neither halves of characters nor floods of it get any further."""

from __future__ import annotations

from typing import Any

import pytest

from allod.errors import InvalidInput
from allod.wire.codec import encode, parse_strict
from allod.wire.desired import decode_state

LAMP = "pkg:generic/acme/lamp"
CHANGE = {"number": 1, "id": "c", "at": "2026-01-01T00:00:00Z"}


def document(entry: dict[str, Any]) -> dict[str, Any]:
    """A delegate's document with one entry."""
    return {
        "type": "allod.state",
        "format": 1,
        "fleet": "f" * 64,
        "scope": "groups/kitchen",
        "delegation": "ops",
        "packages": {LAMP: entry},
    }


def test_half_a_character_is_no_text() -> None:
    """It could be written nowhere again: neither in a journal nor in a report."""
    for raw in (rb'{"a": "\ud800"}', rb'{"\udfff": 1}', rb'["\udc00\ud800"]', rb'"x\uD800"'):
        with pytest.raises(InvalidInput) as caught:
            parse_strict(raw, cap=1000)
        assert caught.value.code == "bad-json"
    whole = parse_strict(rb'["\ud83d\ude00", "\\ud800"]', cap=1000)
    assert whole == ["\N{GRINNING FACE}", "\\ud800"]


@pytest.mark.parametrize(
    "entry",
    [
        b'{"approvals": [{"payload": "", "payloadType": "\\ud800", "signatures": []}]}',
        b'{"change": {"number": 1, "id": "\\ud800", "at": "2026-01-01T00:00:00Z"}}',
        b'{"overrides": ["\\ud800"]}',
    ],
)
def test_a_document_with_half_a_character_is_refused_as_what_it_is(entry: bytes) -> None:
    """By an error that whoever reads it expects."""
    raw = encode(document({})).replace(encode(LAMP) + b":{}", encode(LAMP) + b":" + entry)
    assert entry in raw
    with pytest.raises(InvalidInput):
        decode_state(raw)


def test_what_is_told_of_an_entry_is_short() -> None:
    """A fault quotes what was written, and not all of it: it goes into every report."""
    read = decode_state(encode(document({"x" * 100_000: 1})))
    assert len(read.unreadable[LAMP]) < 1000


@pytest.mark.parametrize("identity", ["c" * 129, "a\nb"])
def test_a_changes_id_is_a_short_text(identity: str) -> None:
    """Devices remember by it what failed, what was answered and which rollouts came."""
    read = decode_state(encode(document({"change": {**CHANGE, "id": identity}})))
    assert set(read.unreadable) == {LAMP}
    assert not decode_state(encode(document({"change": CHANGE}))).unreadable
