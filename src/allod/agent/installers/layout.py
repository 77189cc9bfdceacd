"""Which names a tree may hold: pure rules, so that they can be tested on names alone.

T5 (places), attack 43 (links), attack 51 (numbers of things).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from allod.agent.installers.archive import Entry, Form, refuse

MAX_ENTRIES: Final = 200_000
MAX_PATH: Final = 1024
MAX_NAME: Final = 255
MAX_DEPTH: Final = 64
MAX_LINKS: Final = 40  #: links followed on the way to one place

Path = tuple[str, ...]


def parse_path(name: str) -> Path:
    """The components of an entry's name; empty for the root itself.

    Refused are absolute names, '..', empty components, control characters, backslashes and
    names that are too long or too deep.
    """
    trimmed = name.removeprefix("./").removesuffix("/")
    if trimmed in {"", "."}:
        if name in {".", "./"}:
            return ()
        refuse(f"{name[:120]!r} is no name")
    parts = tuple(trimmed.split("/"))
    for part in parts:
        _check_component(part, name)
    if len(name.encode()) > MAX_PATH or len(parts) > MAX_DEPTH:
        refuse(f"the path {name[:120]!r} is too long or too deep")
    return parts


def _check_component(part: str, name: str) -> None:
    if part in {"", ".", ".."}:
        refuse(f"{name[:120]!r} is not a plain path below the tree")
    if len(part.encode()) > MAX_NAME:
        refuse(f"a component of {name[:120]!r} is too long")
    if "\\" in part or any(unicodedata.category(sign) in {"Cc", "Cf", "Cs"} for sign in part):
        refuse(f"{name[:120]!r} holds a sign that has no place in a name")


def check_mode(entry: Entry) -> None:
    """No set-user-id, set-group-id or sticky bit."""
    if entry.mode & 0o7000:
        refuse(f"{entry.name[:120]!r} has the mode {entry.mode:o}: no special bits are allowed")


class Layout:
    """The names seen so far; refuses duplicates, collisions by case and links that lead out."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size
        self.forms: dict[Path, Form] = {(): Form.DIRECTORY}
        self.links: dict[Path, str] = {}
        self._folded: dict[Path, Path] = {}

    def add(self, entry: Entry) -> Path | None:
        """Take `entry` in; None if it is a directory that is already there."""
        check_mode(entry)
        path = parse_path(entry.name)
        known = self.forms.get(path)
        if known is not None:
            if known is entry.form is Form.DIRECTORY:
                return None
            refuse(f"{entry.name[:120]!r} stands twice")
        for depth in range(1, len(path)):
            self._directory(path[:depth])
        self._name(path, entry.form)
        if entry.form is Form.LINK:
            self.links[path] = entry.target
        self._left -= entry.size
        if self._left < 0:
            refuse(f"it unpacks to more than the {self._size} bytes that the release declares")
        return path

    def _directory(self, path: Path) -> None:
        known = self.forms.get(path)
        if known is None:
            self._name(path, Form.DIRECTORY)
        elif known is not Form.DIRECTORY:
            refuse(f"{'/'.join(path)[:120]!r} is a {known.value} and has something below it")

    def _name(self, path: Path, form: Form) -> None:
        folded = tuple(unicodedata.normalize("NFKC", part).casefold() for part in path)
        other = self._folded.setdefault(folded, path)
        if other != path:
            refuse(f"{'/'.join(path)[:120]!r} and {'/'.join(other)[:120]!r} differ only by case")
        self.forms[path] = form
        if len(self.forms) > MAX_ENTRIES:
            refuse(f"it has more than {MAX_ENTRIES} entries")

    def check_links(self) -> None:
        """Every link must end inside the tree, whatever links it passes on its way."""
        for path, target in self.links.items():
            if not target or len(target.encode()) > MAX_PATH or "\0" in target:
                refuse(f"the link {'/'.join(path)[:120]!r} has no usable target")
            self._follow(path)

    def _follow(self, link: Path) -> None:
        place: list[str] = list(link[:-1])
        ahead = self.links[link].split("/")[::-1]
        if ahead[-1] == "":
            refuse(f"the link {'/'.join(link)[:120]!r} is absolute")
        followed = 0
        while ahead:
            part = ahead.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if not place:
                    refuse(f"the link {'/'.join(link)[:120]!r} leads out of the tree")
                place.pop()
                continue
            place.append(part)
            onward = self.links.get(tuple(place))
            if onward is not None:
                followed += 1
                if followed > MAX_LINKS or onward.startswith("/"):
                    refuse(
                        f"the link {'/'.join(link)[:120]!r} leads in a circle or out of the tree"
                    )
                place.pop()
                ahead.extend(onward.split("/")[::-1])
