"""Copies of a package's data, taken before an activation and brought back when it goes back.

    data/<package>/               what the service writes
    snapshots/<package>/<n>/      the data as it was before activation n

A copy shares blocks with the data where the filesystem can (reflink) and never a file (no hard
links): what the service writes later does not reach it. Take one only while the service rests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from allod.agent.files import copy_tree, names_in, remove_tree, replace_tree, settle_tree
from allod.domain.ids import Purl, file_name
from allod.durable import make_directory, sync_directory
from allod.errors import InvalidInput


class DataSnapshots:
    """The snapshots of all packages (port `Snapshots`).

    Args:
        directory: `snapshots` of the state directory.
        data: `data` of the state directory.
    """

    def __init__(self, directory: Path, data: Path) -> None:
        self._directory = directory
        self._data = data

    def _place(self, package: Purl, number: int) -> Path:
        return self._directory / file_name(package) / str(number)

    def data(self, package: Purl) -> Path:
        """The package's data directory, made if it is missing."""
        place = self._data / file_name(package)
        settle_tree(place, _beside(place, "old"))
        make_directory(place)
        return place

    def numbers(self, package: Purl) -> frozenset[int]:
        """The activations before which a snapshot was taken."""
        names = names_in(self._directory / file_name(package))
        return frozenset(int(name) for name in names if name.isdigit())

    def take(self, package: Purl, number: int) -> None:
        """Copy the data; one that is there already stays (it is older, and what is gone back to).

        Raises:
            Unavailable: `no-space`.
        """
        place = self._place(package, number)
        if place.exists():
            return
        source = self.data(package)
        make_directory(place.parent)
        partial = _beside(place, "partial")
        remove_tree(partial)
        try:
            copy_tree(source, partial)
            partial.rename(place)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(partial)
            raise
        sync_directory(place.parent)

    def restore(self, package: Purl, number: int) -> None:
        """Put the data back as the snapshot has them; the snapshot stays. May be done again.

        Raises:
            InvalidInput: `no-snapshot`.
            Unavailable: `no-space`.
        """
        place = self._place(package, number)
        if not place.is_dir():
            raise InvalidInput(
                "no-snapshot",
                f"cannot take the data of {package} back: there is no snapshot {number}",
            )
        target = self.data(package)
        partial = _beside(target, "partial")
        remove_tree(partial)
        try:
            copy_tree(place, partial)
            replace_tree(partial, target, _beside(target, "old"))
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(partial)
            raise

    def prune(self, package: Purl, keep: Iterable[int]) -> None:
        """Remove all snapshots of the package but those in `keep`, and what is half-done."""
        home = self._directory / file_name(package)
        wanted = {str(number) for number in keep}
        for name in names_in(home):
            if name not in wanted:
                remove_tree(home / name)


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f".{place.name}.{suffix}")
