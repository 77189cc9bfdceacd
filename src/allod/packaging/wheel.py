"""A pure-Python wheel and its dependencies as a tree: `site/` with the packages, `bin/` to start.

Nothing is fetched and nothing of the wheels is run: dependencies must lie in a directory that is
given, every file is checked against its wheel's RECORD, and what a wheel would put elsewhere
(headers, data) is refused. The device brings the Python interpreter.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Final

from allod.errors import Conflict, InvalidInput
from allod.packaging.description import ME
from allod.packaging.draft import PYTHON, Draft, Sketch, name_like, package_of

MAX_FILES: Final = 50_000
MAX_BYTES: Final = 2 * 1024**3
_META_CAP: Final = 4 * 1024 * 1024
_FILE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(?:-[0-9][^-]*)?"
    r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl",
    re.ASCII,
)
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA: Final = re.compile(r"\bextra\s*==")
_ENTRY: Final = re.compile(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)(?:\s*\[.*\])?", re.ASCII)
_START: Final = '''\
"""Start {name}; written by `allod release init`."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "site"))

from {module} import {root}

sys.exit({call}())
'''


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel file that was looked at."""

    path: Path
    name: str  #: normalised (PEP 503)
    version: str
    requires: tuple[tuple[str, bool], ...]  #: normalised name, and whether it holds on all devices
    scripts: tuple[tuple[str, str], ...]  #: console scripts: name -> "module:function"


@dataclass(slots=True)
class _Room:
    """What unpacking may still use."""

    files: int = MAX_FILES
    size: int = MAX_BYTES
    seen: dict[str, str] = field(default_factory=dict)


def normal(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _bad(path: Path, why: str) -> InvalidInput:
    return InvalidInput("bad-wheel", f"cannot use the wheel {path.name}: {why}")


def read_wheel(path: Path) -> Wheel:
    """Look at a wheel. Raises InvalidInput `bad-wheel`."""
    fits = _FILE.fullmatch(path.name)
    if fits is None:
        raise _bad(path, "its name is not that of a wheel")
    if fits["abi"] != "none" or fits["platform"] != "any":
        raise _bad(path, "it holds compiled code; only pure Python runs on every device")
    try:
        with zipfile.ZipFile(path) as archive:
            base = _info(path, archive)
            meta = HeaderParser().parsestr(_text(archive, f"{base}/METADATA"))
            scripts = _scripts(_text(archive, f"{base}/entry_points.txt"))
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise _bad(path, str(error)) from error
    name, version = str(meta.get("Name", "")), str(meta.get("Version", ""))
    if normal(name) != normal(fits["name"]) or not version:
        raise _bad(path, "its METADATA names another project")
    return Wheel(path, normal(name), version, _requires(meta.get_all("Requires-Dist", [])), scripts)


def _info(path: Path, archive: zipfile.ZipFile) -> str:
    found = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    if len(found) != 1:
        raise _bad(path, "it has not exactly one dist-info")
    return found.pop()


def _text(archive: zipfile.ZipFile, name: str) -> str:
    try:
        with archive.open(name) as file:
            return file.read(_META_CAP).decode("utf-8", "replace")
    except KeyError:
        return ""


def _requires(lines: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    found = []
    for line in lines:
        head, _, marker = str(line).partition(";")
        fits = _REQUIREMENT.match(head)
        if fits is not None and not _EXTRA.search(marker):
            found.append((normal(fits.group(1)), not marker.strip()))
    return tuple(found)


def _scripts(text: str) -> tuple[tuple[str, str], ...]:
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        return ()
    return tuple(parser.items("console_scripts")) if parser.has_section("console_scripts") else ()


def collect(wheel: Wheel, dependencies: Path | None) -> tuple[list[Wheel], list[str]]:
    """A wheel with everything that it needs, out of a directory of wheels; and remarks.

    Raises:
        InvalidInput: `missing-dependency`, `bad-wheel`, `two-versions`.
    """
    present: dict[str, Path] = {}
    for path in sorted(dependencies.glob("*.whl")) if dependencies is not None else ():
        fits = _FILE.fullmatch(path.name)
        if fits is not None and present.setdefault(normal(fits["name"]), path) != path:
            raise InvalidInput(
                "two-versions", f"cannot choose: {dependencies} holds two wheels of {fits['name']}"
            )
    chosen = {wheel.name: wheel}
    remarks = []
    waiting = [(wheel, need) for need in wheel.requires]
    while waiting:
        asking, (name, always) = waiting.pop()
        if name in chosen:
            continue
        if name in present:
            chosen[name] = read_wheel(present[name])
            waiting += [(chosen[name], need) for need in chosen[name].requires]
        elif always:
            raise InvalidInput(
                "missing-dependency",
                f"cannot ship {wheel.name}: {asking.name} needs {name}; put its wheel into "
                f"{dependencies or 'a directory and give --dependencies'} (pip download does)",
            )
        else:
            remarks.append(f"{asking.name} may need {name} on some devices; it is not shipped.")
    return list(chosen.values()), remarks


def draft_wheel(
    path: Path,
    into: Path,
    *,
    dependencies: Path | None = None,
    entry: str | None = None,
    provider: str = ME,
) -> Draft:
    """Unpack a wheel with its dependencies into the empty directory `into`, and draft a release.

    Args:
        path: the wheel.
        into: gets `site/` and `bin/`.
        dependencies: a directory of wheels.
        entry: which console script starts the service, if the wheel has several.
        provider: whose release it will be.

    Raises:
        Conflict: `exists`, the directory holds something.
        InvalidInput: `bad-wheel`, `missing-dependency`, `which-entry`.
    """
    if into.exists() and any(into.iterdir()):
        raise Conflict("exists", f"cannot unpack into {into}: it is not empty")
    wheel = read_wheel(path)
    wheels, remarks = collect(wheel, dependencies)
    script = _choose(wheel, entry)
    site = into / "site"
    site.mkdir(parents=True)
    room = _Room()
    for one in wheels:
        _unpack(one, site, room)
    name = name_like(wheel.name)
    sketch = Sketch(
        {
            "package": package_of(name, provider),
            "version": re.sub(r"[^0-9A-Za-z._-]", "-", wheel.version),
            "provider": provider,
        },
        [f"Made of {', '.join(f'{one.name} {one.version}' for one in wheels)}.", *remarks],
    )
    if script is None:
        sketch.notes.append("The wheel starts nothing: add [service] with a command.")
    else:
        command = _write_start(into, *script)
        sketch.table["service"] = {
            "name": name,
            "command": command,
            "environment": {"PYTHONPATH": "{tree}/site"},
        }
        sketch.table["health"] = [{"kind": "running", "hold": 3.0}]
        sketch.notes.append("Add the arguments that it needs to its command, and 'access'.")
    return sketch.done()


def _choose(wheel: Wheel, entry: str | None) -> tuple[str, str] | None:
    scripts = dict(wheel.scripts)
    if entry is not None:
        if entry not in scripts:
            known = ", ".join(sorted(scripts)) or "none"
            raise InvalidInput("which-entry", f"cannot find the script {entry!r}; it has: {known}")
        return entry, scripts[entry]
    if len(scripts) == 1:
        return next(iter(scripts.items()))
    if wheel.name in scripts:
        return wheel.name, scripts[wheel.name]
    if scripts:
        raise InvalidInput(
            "which-entry",
            f"cannot tell what starts {wheel.name}: give --entry with one of "
            f"{', '.join(sorted(scripts))}",
        )
    return None


def _write_start(into: Path, script: str, target: str) -> list[str]:
    fits = _ENTRY.fullmatch(target.strip())
    if fits is None:
        raise InvalidInput("which-entry", f"cannot use the entry point {target[:80]!r}")
    module, call = fits.groups()
    file = into / "bin" / name_like(script)
    file.parent.mkdir(exist_ok=True)
    text = _START.format(name=script, module=module, root=call.split(".")[0], call=call)
    file.write_text(text, encoding="utf-8")
    return [*PYTHON, f"{{tree}}/bin/{file.name}"]


def _unpack(wheel: Wheel, site: Path, room: _Room) -> None:
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            base = _info(wheel.path, archive)
            record = _record(_text(archive, f"{base}/RECORD"))
            for info in archive.infolist():
                if not info.is_dir():
                    _unpack_file(wheel, archive, info, record, site, room)
    except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError) as error:
        raise _bad(wheel.path, str(error)) from error


def _record(text: str) -> dict[str, str]:
    rows = csv.reader(io.StringIO(text))
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _unpack_file(
    wheel: Wheel,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    record: dict[str, str],
    site: Path,
    room: _Room,
) -> None:
    target = _target(wheel, info.filename)
    room.files -= 1
    room.size -= info.file_size
    if room.files < 0 or room.size < 0:
        raise _bad(wheel.path, f"more than {MAX_FILES} files or {MAX_BYTES} bytes")
    if room.seen.setdefault(target, wheel.name) != wheel.name:
        raise _bad(wheel.path, f"{target[:120]} comes from {room.seen[target]} too")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    told = record.get(info.filename, "")
    own = info.filename.rpartition("/")[2] in {"RECORD", "RECORD.jws", "RECORD.p7s"}
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    if not own and told != f"sha256={digest}":
        raise _bad(wheel.path, f"{info.filename[:120]} is not what its RECORD says")
    path = site / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _target(wheel: Wheel, name: str) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise _bad(wheel.path, f"the file {name[:120]!r} leads out of it")
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in {"purelib", "platlib"}:  # noqa: PLR2004
            raise _bad(wheel.path, f"it puts {name[:120]} outside of Python's packages")
        return "/".join(parts[2:])
    return "/".join(parts)
