"""A draft from an existing systemd unit: its command, environment and sandbox settings.

What a unit does not forbid it may do; what is guessed from it is therefore listed in the notes,
for people to narrow. Programs that the unit runs must lie in the directory that is shipped, or
on the device.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from allod.domain.access import parse_access
from allod.errors import AllodError, InvalidInput
from allod.packaging.description import ME
from allod.packaging.draft import Draft, Sketch, name_like, package_of

CAP: Final = 256 * 1024
_PREFIXES: Final = "@-:+!"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNITS: Final = {"": 1, "s": 1, "sec": 1, "min": 60, "ms": 0.001}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|min|ms|)", re.ASCII)

Unit = Mapping[str, Mapping[str, list[str]]]


def parse_unit(text: str) -> Unit:
    """Sections of a unit file: key -> all its values, in order; an empty value clears (systemd.syntax).

    Raises:
        InvalidInput: `bad-unit` with the line.
    """
    sections: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    joined = re.sub(r"\\\n", " ", text)
    for number, raw in enumerate(joined.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        if not equals or not section:
            raise InvalidInput("bad-unit", f"cannot read the unit: line {number}: {line[:80]!r}")
        if value.strip():
            sections[section][key.strip()].append(value.strip())
        else:
            sections[section][key.strip()].clear()
    return sections


def draft_unit(path: Path, *, root: str = "", version: str = "0.1.0", provider: str = ME) -> Draft:
    """A draft from the unit file `path`.

    Args:
        path: like toaster.service.
        root: the directory on the old machine whose content is the tree: programs below it
            become `{tree}/…`; "" leaves all paths as they are.
        version: as people call it.
        provider: whose release it will be.

    Raises:
        InvalidInput: `bad-unit`.
    """
    try:
        with path.open("rb") as file:
            text = file.read(CAP + 1)[:CAP].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput("bad-unit", f"cannot read the unit {path}: {why}") from error
    unit = parse_unit(text)
    service = unit.get("Service", {})
    name = name_like(path.name.removesuffix(".service"))
    sketch = Sketch(
        {"package": package_of(name, provider), "version": version, "provider": provider}
    )
    access = _access(service, sketch)
    if access:
        sketch.table["access"] = sorted(access)
    sketch.table["service"] = _service(service, name, root, sketch)
    sketch.table["health"] = [{"kind": "running", "hold": 3.0}]
    if service.get("StateDirectory"):
        sketch.table["data"] = {"schema": 1}
        sketch.notes.append("StateDirectory: the service keeps its data in {data} from now on.")
    description = unit.get("Unit", {}).get("Description", [])
    if description:
        sketch.table["interrupts"] = {"what": description[-1][:200], "seconds": 10}
    for key in ("ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost", "EnvironmentFile"):
        if service.get(key):
            sketch.notes.append(
                f"{key} has no counterpart and was left out: {service[key][0][:120]}"
            )
    return sketch.done()


def _service(
    service: Mapping[str, list[str]], name: str, root: str, sketch: Sketch
) -> dict[str, Any]:
    starts = service.get("ExecStart", [])
    if len(starts) != 1:
        raise InvalidInput(
            "bad-unit", f"cannot use the unit: it has {len(starts)} lines ExecStart, one is needed"
        )
    command = [_placed(word, root) for word in _words(starts[0].lstrip(_PREFIXES))]
    table: dict[str, Any] = {"name": name, "command": command}
    environment = _environment(service)
    if environment:
        table["environment"] = {key: _placed(value, root) for key, value in environment.items()}
    seconds = _seconds(service.get("TimeoutStopSec", service.get("TimeoutSec", [])))
    if seconds is not None:
        table["stop_seconds"] = seconds
    user = service.get("User", [])
    if user and user[-1] not in {"root", "0"}:
        sketch.notes.append(
            f"It ran as the user {user[-1]}; the agent gives every service a user of its own."
        )
    return table


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidInput("bad-unit", f"cannot read ExecStart: {error}") from error
    if not words or any("%" in re.sub("%%", "", word) or "$" in word for word in words):
        raise InvalidInput(
            "bad-unit",
            f"cannot use ExecStart={line[:120]!r}: write specifiers (%) and variables ($) out",
        )
    return [word.replace("%%", "%") for word in words]


def _placed(word: str, root: str) -> str:
    base = root.rstrip("/")
    if base and (word == base or word.startswith(base + "/")):
        return "{tree}" + word[len(base) :]
    if base and f"={base}/" in word:
        return word.replace(f"={base}/", "={tree}/")
    return word


def _environment(service: Mapping[str, list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in service.get("Environment", []):
        try:
            pairs = shlex.split(line)
        except ValueError as error:
            raise InvalidInput("bad-unit", f"cannot read Environment: {error}") from error
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if equals and _VARIABLE.fullmatch(key):
                found[key] = value
    return found


def _seconds(values: list[str]) -> float | None:
    fits = _DURATION.fullmatch(values[-1]) if values else None
    return None if fits is None else float(fits.group(1)) * _UNITS[fits.group(2)]


def _truth(service: Mapping[str, list[str]], key: str) -> bool:
    values = service.get(key, [])
    return bool(values) and values[-1].lower() in {"yes", "true", "on", "1"}


def _access(service: Mapping[str, list[str]], sketch: Sketch) -> set[str]:
    """What the unit's settings leave to the service, in our names."""
    found: set[str] = set()
    if not service.get("User") and not _truth(service, "DynamicUser"):
        found.add("root")
        sketch.notes.append("It runs as root: take 'root' out of access if it need not.")
    if not _truth(service, "PrivateNetwork") and not _without_internet(service):
        found.add("network.outbound")
        sketch.notes.append("It may use the network: name ports that it listens on in access.")
    for value in " ".join(service.get("AmbientCapabilities", [])).split():
        found.add(f"privilege:{value}")
    for line in service.get("DeviceAllow", []):
        found.add(_device(line.split()[0]))
    for key in ("ReadWritePaths", "ReadWriteDirectories", "BindPaths"):
        found |= _paths(service.get(key, []), "path.write")
    for key in ("ReadOnlyPaths", "BindReadOnlyPaths"):
        found |= _paths(service.get(key, []), "path.read")
    logs = [f"/var/log/{one}" for one in " ".join(service.get("LogsDirectory", [])).split()]
    found |= _paths(logs, "path.write")
    return {name for name in found if _known(name, sketch)}


def _without_internet(service: Mapping[str, list[str]]) -> bool:
    """Whether RestrictAddressFamilies leaves neither IPv4 nor IPv6."""
    words = " ".join(service.get("RestrictAddressFamilies", [])).split()
    internet = {"AF_INET", "AF_INET6"}
    if words and words[0].startswith("~"):
        return internet <= {word.lstrip("~") for word in words}
    return bool(words) and not internet & set(words)


def _device(path: str) -> str:
    if path == "char-alsa" or path.startswith("/dev/snd"):
        return "microphone"
    if path.startswith("/dev/video") or path == "char-video4linux":
        return "camera"
    return f"device:{path}"


def _paths(values: list[str], kind: str) -> set[str]:
    found = set()
    for word in " ".join(values).split():
        path = word.lstrip("-+").partition(":")[0]
        if path.startswith("/"):
            found.add(f"{kind}:{PurePosixPath(path)}")
    return found


def _known(name: str, sketch: Sketch) -> bool:
    try:
        parse_access([name])
    except AllodError:
        sketch.notes.append(
            f"There is no access for this setting, so it was left out: {name[:120]}"
        )
        return False
    return True
