"""The catalogue of known exploited vulnerabilities (docs/reference/advisories.md)."""

from __future__ import annotations

from allod.advisories.kev import decode_exploited


def target(data: bytes) -> None:
    """Read it."""
    decode_exploited(data, file="f")
