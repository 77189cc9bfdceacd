"""Software on the device that Allod does not manage: dpkg and pip, read from their own files.

Nothing foreign is run and nothing is imported; both databases are read with caps, and a
record that can't be read is left out.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Literal

from allod.agent.engine_ports import HostSoftware
from allod.agent.facts import read_facts
from allod.domain.observed import Facts
from allod.wire.report import HostPackage

DPKG_STATUS: Final = Path("var/lib/dpkg/status")
FILE_CAP: Final = 64 * 1024 * 1024
HEAD_CAP: Final = 64 * 1024
MAX_PACKAGES: Final = 20_000

_DPKGS: Final = "usr/lib/python3/dist-packages"  #: only packages install there (Debian's policy)
_SITES: Final = (
    "usr/lib/python3*/dist-packages",
    "usr/lib/python3*/site-packages",
    "usr/local/lib/python3*/dist-packages",
    "usr/local/lib/python3*/site-packages",
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:_!-]{0,127}", re.ASCII)
_SOURCE: Final = re.compile(rf"({_NAME.pattern})(?:[ \t]+\(({_VERSION.pattern})\))?", re.ASCII)


class SystemHost:
    """Port `HostInventory`: this machine.

    Args:
        overrides: facts of the settings.
        root: where the databases and /etc are looked for.
    """

    def __init__(
        self, overrides: Mapping[str, str] | None = None, *, root: Path = Path("/")
    ) -> None:
        self._overrides = dict(overrides or {})
        self._root = root

    def software(self) -> HostSoftware:
        """All of it, sorted."""
        return HostSoftware(tuple(read_dpkg(self._root / DPKG_STATUS)), tuple(read_pip(self._root)))

    def facts(self) -> dict[str, str]:
        """What the machine is, for reports and configurations."""
        return read_facts(self._overrides, root=self._root)

    def fitness(self) -> Facts:
        """What the machine is, as far as releases ask."""
        facts = self.facts()
        return Facts(frozenset(facts["device.hardware"].split()), facts["device.architecture"])

    def uptime(self) -> int:
        """Seconds since the machine started."""
        return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def read_dpkg(status: Path) -> list[HostPackage]:
    """The installed packages of a dpkg status file; none if there is no such file."""
    found: dict[tuple[str, str, str], HostPackage] = {}
    try:
        for stanza in _stanzas(status):
            package = _installed(stanza)
            if package is not None:
                found[package.name, package.version, package.architecture] = package
            if len(found) >= MAX_PACKAGES:
                break
    except OSError:
        return []
    return [found[key] for key in sorted(found)]


def _installed(stanza: Mapping[str, str]) -> HostPackage | None:
    """A package that is there; its source as `Source: name (version)` says, where it differs."""
    name, version = stanza.get("Package", ""), stanza.get("Version", "")
    if stanza.get("Status", "").split()[-1:] != ["installed"]:
        return None
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        return None
    source = _SOURCE.fullmatch(stanza.get("Source", ""))
    of, by = source.groups("") if source is not None else ("", "")
    return HostPackage(
        name=name,
        version=version,
        architecture=stanza.get("Architecture", "")[:32],
        source="" if of == name else of,
        source_version="" if by == version else by,
    )


def _file(path: Path) -> BinaryIO:
    """A regular file; whoever may write there could put a pipe in its place, to keep us waiting."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return file


_WANTED: Final = frozenset({"Package", "Version", "Architecture", "Status", "Source"})


def _stanzas(status: Path) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    read = 0
    with _file(status) as file:
        while (line := file.readline(HEAD_CAP)) and read < FILE_CAP:
            read += len(line)
            if line == b"\n":
                yield stanza
                stanza = {}
            elif not line.startswith((b" ", b"\t")):
                name, colon, value = line.decode("utf-8", "replace").partition(":")
                if colon and name in _WANTED:
                    stanza.setdefault(name, value.strip())
    yield stanza


def read_pip(root: Path = Path("/")) -> list[HostPackage]:
    """The distributions of the system's Pythons; those that dpkg put there say so."""
    found: set[tuple[str, str, Literal["", "dpkg"]]] = set()
    dpkgs = root / _DPKGS if (root / DPKG_STATUS).is_file() else None
    for site in sorted({site for pattern in _SITES for site in root.glob(pattern)}):
        for record in _records(site):
            entry = _head(record)
            if entry is not None:
                found.add((*entry, "dpkg" if site == dpkgs else ""))
            if len(found) >= MAX_PACKAGES:
                break
    return [
        HostPackage(name=name, version=version, manager=manager)
        for name, version, manager in sorted(found)
    ]


def _records(site: Path) -> Iterator[Path]:
    for entry in sorted(site.iterdir()):
        if entry.name.endswith(".dist-info"):
            yield entry / "METADATA"
        elif entry.name.endswith(".egg-info"):
            yield entry / "PKG-INFO" if entry.is_dir() else entry


def _head(record: Path) -> tuple[str, str] | None:
    """Name and version of a core metadata file: its first headers, before any text."""
    try:
        with _file(record) as file:
            head = file.read(HEAD_CAP).decode("utf-8", "replace").partition("\n\n")[0]
    except OSError:
        return None
    fields: dict[str, str] = {}
    for line in head.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line[:1].isspace():
            fields.setdefault(name.lower(), value.strip())
    name, version = fields.get("name", ""), fields.get("version", "")
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        return None
    return re.sub(r"[-_.]+", "-", name).lower(), version
