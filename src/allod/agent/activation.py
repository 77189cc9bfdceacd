"""Activations: `packages/<package>/activations/<n>/{tree, config}` and the links that choose one.

`current` names what runs; software and configuration switch together when that one link is
renamed. `next` names what waits for a restart, `previous` what can be gone back to.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from allod import durable
from allod.agent.files import remove_tree
from allod.agent.state_dir import StateDir
from allod.domain.ids import Purl

CURRENT: Final = "current"
NEXT: Final = "next"
PREVIOUS: Final = "previous"

_LINK: Final = re.compile(r"activations/([1-9][0-9]{0,17})", re.ASCII)


class Activations:
    """The activations of all packages."""

    def __init__(self, state: StateDir) -> None:
        self._state = state

    def number(self, package: Purl, link: str = CURRENT) -> int | None:
        """The activation that a link names; None if there is none, or it leads elsewhere."""
        try:
            target = str((self._state.package(package) / link).readlink())
        except OSError:
            return None
        found = _LINK.fullmatch(target)
        return None if found is None else int(found.group(1))

    def directory(self, package: Purl, number: int) -> Path:
        """Where an activation stands."""
        return self._state.package(package) / "activations" / str(number)

    def running(self, package: Purl) -> Path:
        """The way to whatever is active, also after the next switch."""
        return self._state.package(package) / CURRENT

    def prepare(
        self, package: Purl, number: int, tree: Path, configure: Callable[[Path], None]
    ) -> None:
        """Make an activation beside what runs; one from before a cut is made again.

        Args:
            package: whose.
            number: of the activation.
            tree: the staged release.
            configure: writes the configuration into the directory that it is given.
        """
        final = self.directory(package, number)
        building = final.parent / f".{number}.new"
        durable.make_directory(final.parent, mode=0o755)
        remove_tree(building)
        building.mkdir(mode=0o755)
        (building / "tree").symlink_to(os.path.relpath(tree, final))
        (building / "config").mkdir(mode=0o755)
        configure(building / "config")
        durable.sync_directory(building / "config")
        durable.sync_directory(building)
        remove_tree(final)
        building.rename(final)
        durable.sync_directory(final.parent)

    def leads_to(self, package: Purl, number: int, tree: Path) -> bool:
        """Whether an activation's tree is still the release that it was made of."""
        place = self.directory(package, number)
        try:
            return str((place / "tree").readlink()) == os.path.relpath(tree, place)
        except OSError:
            return False

    def lead(self, package: Purl, number: int, tree: Path) -> None:
        """Make an activation's tree the release again that it was made of."""
        place = self.directory(package, number)
        durable.switch_link(place / "tree", os.path.relpath(tree, place))

    def switch(self, package: Purl, number: int | None, before: int | None) -> None:
        """Make `number` what runs (None: nothing), and `before` what can be gone back to."""
        directory = self._state.package(package)
        if before is not None and before != number:
            durable.switch_link(directory / PREVIOUS, f"activations/{before}")
        elif self.number(package, PREVIOUS) == number:
            durable.remove_file(directory / PREVIOUS)
        self._point(package, CURRENT, number)

    def arm(self, package: Purl, number: int | None) -> None:
        """Make `number` what runs after the next restart; None takes it back."""
        self._point(package, NEXT, number)

    def _point(self, package: Purl, link: str, number: int | None) -> None:
        path = self._state.package(package) / link
        if number is None:
            durable.remove_file(path)
        elif self.number(package, link) != number:
            durable.switch_link(path, f"activations/{number}")

    def drop(self, package: Purl, number: int) -> None:
        """Remove an activation that no link names."""
        with contextlib.suppress(FileNotFoundError):
            remove_tree(self.directory(package, number))

    def numbers(self, package: Purl) -> frozenset[int]:
        """The activations that are there."""
        directory = self._state.package(package) / "activations"
        if not directory.is_dir():
            return frozenset()
        return frozenset(int(one.name) for one in directory.iterdir() if one.name.isdecimal())
