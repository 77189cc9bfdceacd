"""A bill of materials made from a payload: what can be told of it honestly (docs/spec/sbom.md).

Read is what says its own name and version: installed Python distributions and wheels, packages of
Debian and Alpine, and lock files at the top of the tree. Nothing is guessed from names of files or
from their content, so the list may lack parts, and says so. The same payload is always the same
list: whoever has the payload can make it again and compare.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final

from allod.domain.release import Release
from allod.domain.sbom import ALLOD, Sbom, SbomComponent
from allod.errors import InvalidInput
from allod.packaging import bill_locks as locks
from allod.packaging import bill_system as system
from allod.packaging.archive import MAX_BYTES, MAX_ENTRIES
from allod.packaging.bill_python import METADATA_CAP, is_metadata, read_metadata, read_wheel_file
from allod.packaging.extract import CarefulInfo

FILE_CAP: Final = 128 * 1024 * 1024  #: bytes of a wheel or .deb that is looked into
FORMAT: Final = "CycloneDX 1.6"
_TOP_LOCKS: Final = frozenset(
    {*locks.PYTHON_LOCKS, *locks.OTHER_LOCKS, *locks.GO_LOCKS, locks.REQUIREMENTS}
)
_PYTHON: Final = tuple(locks.PYTHON_LOCKS.items())
_NODE: Final = "node_modules/.package-lock.json"
_DAMAGED: Final = (tarfile.TarError, zlib.error, EOFError, OSError, UnicodeError)


@dataclass(slots=True)
class _Seen:
    """What of a payload says what it is."""

    found: dict[SbomComponent, None] = field(default_factory=dict)
    systems: dict[str, SbomComponent] = field(default_factory=dict)  #: root -> its os-release
    databases: list[tuple[str, str, bytes]] = field(default_factory=list)  #: kind, root, content
    debs: list[Mapping[str, str]] = field(default_factory=list)  #: their control files
    node: list[tuple[str, bytes]] = field(default_factory=list)
    tops: dict[str, bytes] = field(default_factory=dict)  #: files at the top: lock files
    faults: list[str] = field(default_factory=list)

    def take(self, place: str, read: Callable[[], Iterable[SbomComponent]]) -> None:
        """Add what a file says; one that cannot be read is a fault, and none of it counts."""
        try:
            said = list(read())
        except (ValueError, TypeError) as error:
            self.faults.append(f"{place[:200]}: {str(error)[:200]}")
            return
        if any(not one.name for one in said):
            self.faults.append(f"{place[:200]}: an entry has no name")
        self.found.update(dict.fromkeys(one for one in said if one.name))


def bill_of(
    layers: Iterable[BinaryIO],
    releases: Iterable[Release],
    beside: Mapping[str, bytes] | None = None,
) -> Sbom | None:
    """The list for a release; None: nothing in it says what it is.

    Args:
        layers: of all its platforms; each is read once.
        releases: what it says of itself, one a platform.
        beside: lock files of the described directory where the tree is only a part of it.

    Raises:
        InvalidInput: `bad-archive`, `too-large`: a layer is damaged, or has more than the release
            says that it installs.
    """
    said = tuple(releases)
    seen = _Seen(tops=dict(beside or {}))
    cap = min(sum(one.installed_size for one in said), MAX_BYTES)
    for layer in layers:
        for path, data in _files(layer, seen, cap):
            _look(path, data, seen)
    _conclude(seen)
    if not seen.found and not seen.faults:
        return None
    first = said[0]
    own = SbomComponent(
        first.package.rpartition("/")[2],
        first.version,
        f"{first.package}@{first.version}",
        kind="application",
    )
    return Sbom(FORMAT, tuple(sorted(seen.found)), own, (ALLOD,), tuple(sorted(seen.faults)))


def is_lock(path: str) -> bool:
    """Whether a file at the top of a directory is read as a lock file."""
    return "/" not in path and (path in _TOP_LOCKS or path.endswith((".txt", ".in")))


def _files(layer: BinaryIO, seen: _Seen, cap: int) -> Iterator[tuple[str, bytes]]:
    """The files that are read, with their content; of all together at most `cap` bytes."""
    total = count = 0
    try:
        with tarfile.open(fileobj=layer, mode="r|*", tarinfo=CarefulInfo) as tar:
            for info in tar:
                total += info.size if info.isreg() else 0
                count += 1
                if total > cap or count > MAX_ENTRIES:
                    raise InvalidInput("too-large", "cannot list what a layer holds: it is a bomb")
                path = info.name.removeprefix("./")
                most = _cap(path) if info.isreg() else 0
                if most and info.size > most:
                    seen.faults.append(f"{path[:200]}: larger than {most} bytes, not looked into")
                elif most:
                    file = tar.extractfile(info)
                    yield path, b"" if file is None else file.read(most)
    except _DAMAGED as error:
        raise InvalidInput("bad-archive", f"cannot list what a layer holds: {error}") from error


def _cap(path: str) -> int:
    """How much of a file is read; 0: it says nothing of what it is."""
    if is_metadata(path):
        return METADATA_CAP
    if path.endswith((".whl", ".deb")):
        return FILE_CAP
    if is_lock(path) or path.endswith(_NODE) or _database(path):
        return locks.LOCK_CAP
    return METADATA_CAP if system.OS_RELEASE.fullmatch(path) else 0


def _database(path: str) -> tuple[str, str] | None:
    """The kind of a distribution's database, and the root of its system in the payload."""
    for kind, pattern in (("dpkg", system.DPKG), ("apk", system.APK)):
        fits = pattern.fullmatch(path)
        if fits is not None and not path.endswith((".md5sums", ".list")):
            return kind, fits["root"]
    return None


def _look(path: str, data: bytes, seen: _Seen) -> None:
    if is_metadata(path):
        seen.take(path, partial(_one, read_metadata, data))
    elif path.endswith(".whl"):
        seen.take(path, partial(_one, read_wheel_file, data))
    elif path.endswith(".deb"):
        _deb(path, data, seen)
    elif (at := _database(path)) is not None:
        seen.databases.append((*at, data))
    elif (fits := system.OS_RELEASE.fullmatch(path)) is not None:
        named = system.read_os_release(data)
        if named is not None:
            seen.systems.setdefault(fits["root"], named)
    elif path.endswith(_NODE):
        seen.node.append((path, data))
    else:
        seen.tops[path] = data


def _one(read: Callable[[bytes], SbomComponent], data: bytes) -> list[SbomComponent]:
    return [read(data)]


def _deb(path: str, data: bytes, seen: _Seen) -> None:
    try:
        seen.debs.append(system.read_control(data))
    except ValueError as error:
        seen.faults.append(f"{path[:200]}: {str(error)[:200]}")


def _conclude(seen: _Seen) -> None:
    """What can be told only once all files were seen."""
    seen.found.update(dict.fromkeys(seen.systems.values()))
    only = next(iter(seen.systems.values())) if len(seen.systems) == 1 else None
    for fields in seen.debs:
        seen.found[system.deb_component(fields, only)] = None
    for kind, root, data in seen.databases:
        read = system.read_dpkg if kind == "dpkg" else system.read_apk
        seen.take(f"{root}{kind}", partial(read, data, seen.systems.get(root, only)))
    _python_locks(seen)
    for path, data in seen.node:
        seen.take(path, partial(locks.read_npm, data))
    for name, reader in locks.OTHER_LOCKS.items():
        instead = name == "package-lock.json" and seen.node
        if name in seen.tops and not instead:
            seen.take(name, partial(reader, seen.tops[name]))
    if any(name in seen.tops for name in locks.GO_LOCKS):
        seen.take("go.mod", partial(locks.read_go, seen.tops))


def _python_locks(seen: _Seen) -> None:
    """One of them, the most exact first; of what is there itself, that counts and no lock."""
    there = {_plain(one) for one in seen.found}
    readers = {name: partial(reader, seen.tops.get(name, b"")) for name, reader in _PYTHON}
    readers[locks.REQUIREMENTS] = partial(locks.read_requirements, seen.tops, locks.REQUIREMENTS)
    chosen = next((name for name in readers if name in seen.tops), None)
    if chosen is not None:
        read = readers[chosen]
        seen.take(chosen, lambda: [one for one in read() if _plain(one) not in there])


def _plain(component: SbomComponent) -> str:
    return component.purl.partition("@")[0]
