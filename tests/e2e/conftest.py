"""What tests with real processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.home import Home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One fleet with its server, for all files of a worker, in any order.

    So each test has groups, devices and providers that no other test names.
    """
    made = Home(tmp_path_factory.mktemp("home"))
    try:
        yield made
    finally:
        made.close()
