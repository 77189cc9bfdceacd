"""What tests with real processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.home import Home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One fleet with its server; each test uses groups of its own."""
    made = Home(tmp_path_factory.mktemp("home"))
    try:
        yield made
    finally:
        made.close()
