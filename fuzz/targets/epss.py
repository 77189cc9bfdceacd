"""Scores of EPSS (docs/reference/advisories.md)."""

from __future__ import annotations

from allod.advisories.epss import decode_epss


def target(data: bytes) -> None:
    """Read all lines."""
    for one in decode_epss(data, file="f"):
        if not (0 <= one.score <= 1 and 0 <= one.percentile <= 1):
            raise RuntimeError("a score is no share")
