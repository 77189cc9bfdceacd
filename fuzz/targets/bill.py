"""Payloads, of which a bill of materials is made (docs/spec/sbom.md)."""

from __future__ import annotations

import io

from allod.domain.ids import Purl, Version, parse_provider
from allod.domain.release import Kind, Release
from allod.packaging.bill import bill_of

_RELEASE = Release(
    Purl("pkg:generic/me/x"), Version("1"), parse_provider("me"), Kind.TREE, installed_size=1 << 30
)


def target(data: bytes) -> None:
    """Read a layer."""
    bill_of([io.BytesIO(data)], [_RELEASE])
