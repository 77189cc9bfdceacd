"""The provider's word on the documents of a release (docs/spec/sbom.md)."""

from __future__ import annotations

from allod.wire.reference import decode_reference


def target(data: bytes) -> None:
    """Read a statement."""
    decode_reference(data)
