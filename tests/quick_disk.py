"""For tests that look at no crash: files need not reach the disk."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is left to the tests of durability, which are elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
