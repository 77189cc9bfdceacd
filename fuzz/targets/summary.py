"""Verification summaries (docs/spec/evidence.md): what a device reads."""

from __future__ import annotations

from allod.wire.summary import decode_summary, level_of


def target(data: bytes) -> None:
    """Read the statement, and its level."""
    level_of(decode_summary(data).predicate.verified_levels)
