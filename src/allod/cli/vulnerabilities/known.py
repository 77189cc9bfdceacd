"""What this machine knows of advisories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from allod.cli.fleet import home_directory

if TYPE_CHECKING:
    from allod.advisories.store import AdvisoryStore


def advisories_path() -> Path:
    """Where it lies."""
    return home_directory() / "advisories" / "advisories.sqlite3"


def anything_known() -> bool:
    """Whether anybody ever imported advisories here."""
    return advisories_path().exists()


@contextmanager
def advisories() -> Iterator[AdvisoryStore]:
    """The store, to be asked. Raises Unavailable `no-advisories`."""
    from allod.advisories.store import AdvisoryStore

    with AdvisoryStore(advisories_path()).open(readonly=True) as store:
        yield store
