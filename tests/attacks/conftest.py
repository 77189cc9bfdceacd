"""What attack tests against a whole fleet share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.home import Home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One fleet with its server; each test has devices and groups that no other names."""
    made = Home(tmp_path_factory.mktemp("attacked"))
    try:
        yield made
    finally:
        made.close()
