"""Reports of devices (docs/spec/report.md)."""

from __future__ import annotations

from allod.wire.codec import decode
from allod.wire.report import REPORT_CAP, Report


def target(data: bytes) -> None:
    """Read the payload."""
    decode(data, Report, cap=REPORT_CAP, what="the report")
