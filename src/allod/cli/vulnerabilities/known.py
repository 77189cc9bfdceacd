"""What this machine knows of advisories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from allod.cli.fleet import home_directory
from allod.errors import AllodError, Unavailable

if TYPE_CHECKING:
    from allod.advisories.store import AdvisoryStore


def advisories_path() -> Path:
    """Where it lies."""
    return home_directory() / "advisories" / "advisories.sqlite3"


def anything_known() -> bool:
    """Whether there are advisories here, and any of them count; damaged ones are, and say so."""
    if not advisories_path().exists():
        return False
    from allod.advisories.store import AdvisoryStore

    try:
        with AdvisoryStore(advisories_path()) as store:
            return _counts(store)
    except AllodError:
        return True  # whoever looks something up is told why it cannot be


def _counts(store: AdvisoryStore) -> bool:
    return any(one.counts and one.records for one in store.sources())


@contextmanager
def advisories() -> Iterator[AdvisoryStore]:
    """The store, to be asked.

    Raises:
        Unavailable: `no-advisories`: nobody could answer, and silence is no good answer.
    """
    from allod.advisories.store import AdvisoryStore

    with AdvisoryStore(advisories_path()).open(readonly=True) as store:
        if not _counts(store):
            raise Unavailable(
                "no-advisories",
                "cannot look anything up: no source of advisories counts here; see "
                "'allod advisories sources' and 'allod advisories import --help'",
            )
        yield store
