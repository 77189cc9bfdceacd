"""A first `allod.toml`, guessed from a directory. People read it and mend it; nothing is built."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from allod.domain.ids import parse_name
from allod.durable import write_atomic
from allod.errors import Conflict, InvalidInput
from allod.packaging.description import FILE, ME, parse_description, write_description

PYTHON: Final = ("/usr/bin/env", "python3", "-B")  #: -B: a tree is never written to
_MAIN_FILES: Final = ("main.py", "app.py", "server.py", "__main__.py")
_RUNNERS: Final = ("run", "start", "run.sh", "start.sh")
_READ_CAP: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Draft:
    """What `release init` is about to write."""

    table: dict[str, Any]
    notes: tuple[str, ...] = ()  #: what was guessed, and what the reader should look at


@dataclass(slots=True)
class Sketch:
    """A draft in the making."""

    table: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def done(self) -> Draft:
        """The draft."""
        return Draft(self.table, tuple(self.notes))


def name_like(text: str) -> str:
    """`text` as a name: lower case, and '-' for what no name may hold."""
    plain = re.sub(r"[^a-z0-9._-]+|\.\.+", "-", text.lower()).strip("._-")[:63].strip("._-")
    return parse_name(plain or "app")


def package_of(name: str, provider: str = ME) -> str:
    """The purl that a draft gives to `name`."""
    return f"pkg:generic/{provider}/{name}"


def draft_directory(directory: Path, *, name: str | None = None, provider: str = ME) -> Draft:
    """Look at a directory and guess.

    Raises:
        InvalidInput: `bad-tree`, there is no such directory; `bad-name`.
    """
    if not directory.is_dir():
        raise InvalidInput("bad-tree", f"cannot describe {directory}: it is no directory")
    sketch = Sketch()
    called, version = _project(directory)
    chosen = name_like(name or called or directory.resolve().name)
    sketch.table = {
        "package": package_of(chosen, provider),
        "version": version or "0.1.0",
        "provider": provider,
    }
    command = next((found for look in _GUESSES if (found := look(directory, chosen))), None)
    if command is None:
        sketch.notes.append(
            "No service was found: add [service] with a command, or leave it if there is none."
        )
    else:
        sketch.notes.append(f"Guessed the service's command: {' '.join(command)}")
        sketch.table["service"] = {"name": chosen, "command": list(command)}
        sketch.table["health"] = [{"kind": "running", "hold": 3.0}]
        sketch.notes.append("Declare what it needs in 'access', like network.listen:tcp/8080.")
    _configuration(directory, sketch)
    return sketch.done()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_READ_CAP).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _project(directory: Path) -> tuple[str, str]:
    """Name and version that the project's own files say."""
    try:
        project = tomllib.loads(_read(directory / "pyproject.toml")).get("project", {})
    except tomllib.TOMLDecodeError:
        project = {}
    if not project:
        try:
            project = json.loads(_read(directory / "package.json") or "{}")
        except ValueError:
            project = {}
    if not isinstance(project, dict):
        return "", ""
    name, version = project.get("name", ""), project.get("version", "")
    usable = isinstance(version, str) and re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", version)
    return (name if isinstance(name, str) else ""), (version if usable else "")


def _executable(directory: Path, name: str) -> tuple[str, ...] | None:
    for candidate in (*_RUNNERS, name, f"bin/{name}"):
        path = directory / candidate
        if path.is_file() and os.access(path, os.X_OK):
            return (f"{{tree}}/{candidate}",)
    return None


def _python(directory: Path, name: str) -> tuple[str, ...] | None:
    scripts = sorted(path.name for path in directory.glob("*.py"))
    only = scripts if len(scripts) == 1 else []
    for candidate in (*_MAIN_FILES, f"{name}.py", f"{name.replace('-', '_')}.py", *only):
        if (directory / candidate).is_file():
            return (*PYTHON, f"{{tree}}/{candidate}")
    return None


def _node(directory: Path, name: str) -> tuple[str, ...] | None:
    del name
    try:
        main = json.loads(_read(directory / "package.json") or "{}").get("main", "index.js")
    except (ValueError, AttributeError):
        return None
    if isinstance(main, str) and ".." not in main and (directory / main).is_file():
        return ("/usr/bin/env", "node", f"{{tree}}/{main}")
    return None


def _lone_executable(directory: Path, name: str) -> tuple[str, ...] | None:
    del name
    found = [
        path.name
        for path in sorted(directory.iterdir())
        if path.is_file() and os.access(path, os.X_OK) and not path.name.startswith(".")
    ]
    return (f"{{tree}}/{found[0]}",) if len(found) == 1 else None


_GUESSES: Final[tuple[Callable[[Path, str], tuple[str, ...] | None], ...]] = (
    _executable,
    _python,
    _node,
    _lone_executable,
)


def _configuration(directory: Path, sketch: Sketch) -> None:
    for schema in ("config.schema.json", "schema.json"):
        if (directory / schema).is_file():
            sketch.table["configuration"] = {"schema": schema, "file": "config.json"}
            sketch.notes.append(f"Took the schema of the configuration from {schema}.")
            return


def write_draft(draft: Draft, directory: Path, *, overwrite: bool = False) -> Path:
    """Write a draft as `allod.toml`, once it is known to be one that can be read again.

    Raises:
        Conflict: `exists`.
        InvalidInput: the draft is no valid description.
    """
    path = directory / FILE
    if path.exists() and not overwrite:
        raise Conflict("exists", f"cannot write {path}: it is there already; give --overwrite")
    text = write_description(
        draft.table, ["docs/spec/release.md explains every field.", *draft.notes]
    )
    parse_description(text.encode(), directory)
    write_atomic(path.absolute(), text.encode(), mode=0o644)
    return path
