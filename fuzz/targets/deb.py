"""Debian packages, of which a bill of materials is made (docs/spec/sbom.md)."""

from __future__ import annotations

import contextlib

from allod.packaging.bill_system import deb_component, read_control


def target(data: bytes) -> None:
    """Read its control file; a reason in words is a good answer."""
    with contextlib.suppress(ValueError):
        deb_component(read_control(data), None)
