"""OCI manifests and indexes (docs/spec/release.md)."""

from __future__ import annotations

from allod.wire.oci import decode_document


def target(data: bytes) -> None:
    """Read either."""
    decode_document(data)
