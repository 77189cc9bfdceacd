"""Archives of advisories: tar, tar.gz, tar.zst, zip (docs/reference/advisories.md)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from allod.advisories.intake_archives import FILE_CAP, Ignored
from allod.advisories.intake_files import files_of


def target(data: bytes) -> None:
    """Read all files of it; none leads out of it, and none is larger than what is read."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for one in files_of(Path(file.name), Ignored()):
            if one.path.startswith("/") or ".." in one.path.split("/"):
                raise RuntimeError(f"{one.path!r} leads out")
            if len(one.data) > FILE_CAP + 1:
                raise RuntimeError("more is read than is allowed")
