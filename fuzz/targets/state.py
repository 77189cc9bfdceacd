"""Documents of desired state (docs/spec/desired-state.md)."""

from __future__ import annotations

from allod.wire.desired import decode_state, encode_state


def target(data: bytes) -> None:
    """What is read is written and read again as the same."""
    document = decode_state(data)
    if not document.unreadable and decode_state(encode_state(document)) != document:
        raise RuntimeError("a document changes when it is written again")
