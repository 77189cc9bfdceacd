"""Lock files in a payload: what a build takes, exactly.

What only development needs is left out where the file tells. An entry without a version that is
fixed stays, without one: it is unknown, and not left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput
from allod.packaging.bill_python import python_component
from allod.packaging.purl import purl
from allod.wire.codec import parse_strict

LOCK_CAP: Final = 32 * 1024 * 1024
TOML_CAP: Final = 8 * 1024 * 1024  #: it is read slowly
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)"
)
_PIN: Final = re.compile(r"={2,3}\s*(?P<version>[A-Za-z0-9.!+_-]+)")
_WHEEL: Final = re.compile(
    r"/(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)-[^/]+\.whl(?:[#?]|$)"
)
_EGG: Final = re.compile(r"[#&]egg=(?P<name>[A-Za-z0-9._-]+)")
_EDITABLE: Final = re.compile(r"(?:-e|--editable)(?:\s+|=)(?=\S+://)")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement)(?:\s+|=)(?P<name>\S+)")
_MODULE: Final = re.compile(r"(?P<path>[^\s()]+)\s+(?P<version>v[^\s()]+)")
_PRUNED: Final = (1, 17)  #: since this version of Go, go.mod lists all modules

Files = Mapping[str, bytes]


def read_requirements(files: Files, name: str) -> Iterator[SbomComponent]:
    """requirements.txt, and the files that it includes."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at in seen or at not in files:
            continue
        seen.add(at)
        for stated in _lines(files[at].decode("utf-8-sig", "replace")):
            line = _EDITABLE.sub("", stated)
            included = _INCLUDE.match(line)
            if included is not None:
                waiting.append(included["name"].removeprefix("./"))
            elif not line.startswith("-"):
                yield from _required(line)


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").replace("\\\r\n", " ").splitlines():
        plain = re.sub(r"(?:^|\s)#.*", "", line).strip()
        if plain:
            yield plain


def _required(line: str) -> Iterator[SbomComponent]:
    line = line.partition(" --")[0].strip()
    fits = _REQUIREMENT.fullmatch(line)
    wheel = _WHEEL.search(line)
    if fits is None or "://" in line.partition(" @ ")[0] or fits["rest"].startswith("/"):
        if wheel is not None:
            yield python_component(wheel["name"], wheel["version"])
        elif "://" in line:  # it has no version, and a name only if its address tells one
            named = _EGG.search(line)
            address = re.split(r"[?#@]", line.rpartition("/")[2])[0]
            yield SbomComponent((address if named is None else named["name"]) or "?")
        return
    rest = fits["rest"].partition(";")[0].strip()
    pin = _PIN.fullmatch(rest.strip("() "))
    version = "" if pin is None else pin["version"]
    if rest.startswith("@") and wheel is not None:
        version = wheel["version"]
    yield python_component(fits["name"], version)


def _toml(data: bytes) -> list[dict[str, Any]]:
    """The entries of `[[package]]`. Raises ValueError."""
    if len(data) > TOML_CAP:
        raise ValueError(f"it has more than {TOML_CAP} bytes")
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    found = table.get("package", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("it has no list of packages")
    return found


def read_uv(data: bytes) -> Iterator[SbomComponent]:
    """uv.lock: what its own projects need, without their groups for development."""
    packages = _toml(data)
    own = [one for one in packages if _own(one)]
    wanted = _reached(packages, own) if own else {_word(one, "name") for one in packages}
    for one in packages:
        if not _own(one) and _word(one, "name") in wanted:
            yield python_component(_word(one, "name"), _word(one, "version"))


def _own(package: Mapping[str, Any]) -> bool:
    source = package.get("source")
    return isinstance(source, dict) and bool({"virtual", "editable", "directory"} & source.keys())


def _reached(packages: Iterable[dict[str, Any]], roots: Iterable[dict[str, Any]]) -> set[str]:
    needs: dict[str, set[str]] = {}
    for one in packages:
        optional = one.get("optional-dependencies")
        groups = list(optional.values()) if isinstance(optional, dict) else []
        listed = [one.get("dependencies"), *groups]
        names = {
            _word(need, "name")
            for group in listed
            if isinstance(group, list)
            for need in group
            if isinstance(need, dict)
        }
        needs.setdefault(_word(one, "name"), set()).update(names)
    found: set[str] = set()
    waiting = [_word(one, "name") for one in roots]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found


def read_poetry(data: bytes) -> Iterator[SbomComponent]:
    """poetry.lock: what is not only of groups for development, as far as it says so."""
    for one in _toml(data):
        groups = one.get("groups", ["main"])
        main = "main" in groups if isinstance(groups, list) else True
        if main and one.get("category", "main") == "main":
            yield python_component(_word(one, "name"), _word(one, "version"))


def read_pipfile(data: bytes) -> Iterator[SbomComponent]:
    """Pipfile.lock: the default group."""
    for name, said in _object(_json(data), "default").items():
        pinned = _PIN.fullmatch(_word(said, "version")) if isinstance(said, dict) else None
        yield python_component(name, "" if pinned is None else pinned["version"])


def read_cargo(data: bytes) -> Iterator[SbomComponent]:
    """Cargo.lock: all crates but the project's own."""
    for one in _toml(data):
        if "source" in one:
            name, version = _word(one, "name"), _word(one, "version")
            yield SbomComponent(name, version, purl("cargo", "", name, version))


def read_npm(data: bytes) -> Iterator[SbomComponent]:
    """package-lock.json, versions 1 to 3, without what only development needs."""
    document = _json(data)
    if "packages" in document:
        for path, said in _object(document, "packages").items():
            if not isinstance(said, dict) or not path.rpartition("node_modules/")[1]:
                continue
            if not said.get("dev") and not said.get("link"):
                name = _word(said, "name") or path.rpartition("node_modules/")[2]
                yield npm_component(name, _word(said, "version"))
        return
    waiting = [_object(document, "dependencies")]
    while waiting:
        for name, said in waiting.pop().items():
            if isinstance(said, dict) and not said.get("dev"):
                yield npm_component(name, _word(said, "version"))
                waiting.append(_object(said, "dependencies"))


def npm_component(name: str, version: str) -> SbomComponent:
    """An npm package; a scope is its namespace."""
    scope, _, plain = name.rpartition("/")
    return SbomComponent(name, version, purl("npm", scope, plain, version))


def read_go(files: Files) -> Iterator[SbomComponent]:
    """go.mod where it lists all modules (since Go 1.17), else what go.sum has the content of."""
    module = files.get("go.mod", b"").decode("utf-8", "replace")
    fits = re.search(r"^go\s+(\d{1,4})\.(\d{1,4})", module, re.MULTILINE)
    if fits is not None and (int(fits[1]), int(fits[2])) >= _PRUNED:
        yield from _go_mod(module)
        return
    for line in files.get("go.sum", b"").decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) == 3 and not words[1].endswith("/go.mod"):  # noqa: PLR2004
            yield _go_module(words[0], words[1])


def _go_mod(text: str) -> Iterator[SbomComponent]:
    """Requirements, after replacements; a directory in the place of a module is own code."""
    required: dict[str, str] = {}
    replaced: dict[str, tuple[str, str] | None] = {}
    block = ""
    for line in text.splitlines():
        words = line.partition("//")[0].split()
        if not words:
            continue
        if words[0] == ")":
            block = ""
        elif words[-1] == "(":
            block = words[0]
        else:
            kind, rest = (block, words) if block else (words[0], words[1:])
            if kind == "require" and len(rest) == 2:  # noqa: PLR2004
                required[rest[0]] = rest[1]
            elif kind == "replace" and "=>" in rest:
                new = rest[rest.index("=>") + 1 :]
                replaced[rest[0]] = (new[0], new[1]) if len(new) == 2 else None  # noqa: PLR2004
    for path, version in required.items():
        found = replaced.get(path, (path, version))
        if found is not None:
            yield _go_module(*found)


def _go_module(path: str, version: str) -> SbomComponent:
    namespace, _, name = path.rpartition("/")
    return SbomComponent(path, version, purl("golang", namespace, name, version))


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = parse_strict(data, cap=LOCK_CAP, what="the lock file")
    except InvalidInput as error:
        raise ValueError(error.message) from error
    if not isinstance(document, dict):
        raise TypeError("it is no JSON object")
    return document


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    said = document.get(key, {})
    if not isinstance(said, dict):
        raise TypeError(f"{key} is no object")
    return said


def _word(package: Mapping[str, Any], key: str) -> str:
    said = package.get(key, "")
    if not isinstance(said, str):
        raise TypeError(f"{key} is no string")
    return said


PYTHON_LOCKS: Final[Mapping[str, Callable[[bytes], Iterator[SbomComponent]]]] = {
    "uv.lock": read_uv,
    "poetry.lock": read_poetry,
    "Pipfile.lock": read_pipfile,
}
REQUIREMENTS: Final = "requirements.txt"
OTHER_LOCKS: Final[Mapping[str, Callable[[bytes], Iterator[SbomComponent]]]] = {
    "Cargo.lock": read_cargo,
    "package-lock.json": read_npm,
}
GO_LOCKS: Final = ("go.mod", "go.sum")
