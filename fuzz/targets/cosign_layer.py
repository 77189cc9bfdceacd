"""What cosign before version 3 lays into registries (docs/spec/provenance.md)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from allod.attestation.cosign import examine_layer
from allod.attestation.roots import public_good
from allod.wire.codec import decode


class _Layer(msgspec.Struct):
    content: str
    annotations: dict[str, str]


logging.getLogger("sigstore").setLevel(logging.ERROR)  # it warns of certificates that nobody trusts


def target(data: bytes) -> None:
    """A layer and its annotations; nothing is expected, so nothing holds in every step."""
    layer = decode(data, _Layer, cap=1024 * 1024)
    found = examine_layer(
        layer.content.encode(errors="replace"),
        layer.annotations,
        artifact_digests={"sha256": "0" * 64},
        trust_root=public_good(),
        now=datetime(2026, 11, 1, tzinfo=UTC),
    )
    if found.good:
        raise RuntimeError(f"taken: {found.attested}")
