"""A device on a disk that does not wait: only the order of effects matters here, not their speed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made below it


@pytest.fixture
def swift_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh directory in memory; fsync costs nothing there and is left out."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        yield Path(place)
