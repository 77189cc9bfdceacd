"""Sigstore trust roots that are given as files (docs/spec/provenance.md)."""

from __future__ import annotations

from allod.attestation.roots import read_root


def target(data: bytes) -> None:
    """Read one."""
    read_root(data)
