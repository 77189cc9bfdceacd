"""At which commit a git checkout stands.

Found without running git: a checkout's own settings could make it run other programs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GIT: Final = ".git"  #: what git keeps for itself
_CAP: Final = 16 * 1024 * 1024  #: bytes of a list of references
_COMMIT: Final = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
_REFERENCE: Final = re.compile("refs(/[A-Za-z0-9_+@=-][A-Za-z0-9._+@=-]*)+")


def revision_of(path: Path) -> str:
    """The commit; empty: it is no checkout, or one of a form that is not known."""
    git = path / GIT
    try:
        head = _read(git / "HEAD")
        name = head.removeprefix("ref: ")
        if name == head:
            found = head
        elif not _REFERENCE.fullmatch(name):
            found = ""
        elif (git / name).is_file():
            found = _read(git / name)
        else:
            lines = _read(git / "packed-refs").splitlines()
            found = next((one.partition(" ")[0] for one in lines if one.endswith(f" {name}")), "")
    except (OSError, ValueError):
        return ""
    return found if _COMMIT.fullmatch(found) else ""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_CAP).decode("ascii").strip()
