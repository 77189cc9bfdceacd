"""The provenance that a device itself reads (docs/spec/release.md)."""

from __future__ import annotations

from allod.wire.provenance import decode_provenance


def target(data: bytes) -> None:
    """Read the statement."""
    decode_provenance(data)
