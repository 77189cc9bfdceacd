"""A server with one fleet, for every test of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture

from allod.testing.server import ServerRig


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerRig]:
    """A server with one admitted fleet; a test can be asked of another place for its logs."""
    made = ServerRig.make(tmp_path / "server", logs=getattr(request, "param", "directory"))
    yield made
    made.server.close()
