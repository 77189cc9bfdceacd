"""Records of the OSV schema in YAML (docs/reference/advisories.md)."""

from __future__ import annotations

from allod.advisories.osv import advisory_of
from allod.advisories.reading_yaml import read_yaml


def target(data: bytes) -> None:
    """Read it as a record."""
    advisory_of(read_yaml(data, file="f"), source="s", file="f")
