"""Packages of distributions in a payload: .deb files, and the databases of dpkg and apk."""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from allod.domain.sbom import OPERATING_SYSTEM, SbomComponent
from allod.packaging.extract import CarefulInfo
from allod.packaging.purl import purl

DPKG: Final = re.compile(r"(?P<root>(?:.*/)?)var/lib/dpkg/(?:status|status\.d/[^/]+)")
APK: Final = re.compile(r"(?P<root>(?:.*/)??)(?:usr/)?lib/apk/db/installed")
OS_RELEASE: Final = re.compile(r"(?P<root>(?:.*/)?)(?:etc|usr/lib)/os-release")
CONTROL_CAP: Final = 16 * 1024 * 1024
_SOURCE: Final = re.compile(r"(?P<name>[^\s(]+)(?:\s*\((?P<version>[^)]+)\))?")
_AR: Final = b"!<arch>\n"
_AR_HEADER: Final = 60


def read_os_release(data: bytes) -> SbomComponent | None:
    """The operating system that a payload brings; its name and version as "debian", "12"."""
    said = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            said[key.strip()] = value.strip().strip("\"'")
    name = said.get("ID", "")
    return SbomComponent(name, said.get("VERSION_ID", ""), kind=OPERATING_SYSTEM) if name else None


def read_dpkg(data: bytes, system: SbomComponent | None) -> Iterator[SbomComponent]:
    """The packages that dpkg's database says are installed."""
    for fields in _paragraphs(data.decode("utf-8", "replace")):
        state = fields.get("status", "install ok installed").split()
        if fields.get("package") and state[-1:] == ["installed"]:
            yield deb_component(fields, system)


def read_control(data: bytes) -> dict[str, str]:
    """The control file of a .deb: names of fields in lower case. Raises ValueError in words."""
    try:
        for name, content in _members(data):
            if name.startswith("control.tar"):
                return _control(name, content)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError) as error:
        raise ValueError(str(error)) from error
    raise ValueError("it has no control archive")


def deb_component(fields: Mapping[str, str], system: SbomComponent | None) -> SbomComponent:
    """A binary package, with its source package, which advisories speak of."""
    name, version = fields.get("package", ""), fields.get("version", "")
    fits = _SOURCE.match(fields.get("source", ""))
    source = "" if fits is None else fits["name"]
    if fits is not None and fits["version"]:
        source = f"{source}@{fits['version']}"
    qualifiers = {"arch": fields.get("architecture", ""), "upstream": source}
    if system is not None and system.version:
        qualifiers["distro"] = f"{system.name}-{system.version}"
    vendor = "ubuntu" if "ubuntu" in version else "debian"
    if system is not None:
        vendor = system.name
    return SbomComponent(name, version, purl("deb", vendor, name, version, qualifiers))


def read_apk(data: bytes, system: SbomComponent | None) -> Iterator[SbomComponent]:
    """The packages that apk's database says are installed."""
    vendor = "alpine" if system is None else system.name
    for block in data.decode("utf-8", "replace").split("\n\n"):
        said = {line[0]: line[2:] for line in block.splitlines() if line[1:2] == ":"}
        if "P" not in said:
            continue
        qualifiers = {"arch": said.get("A", ""), "upstream": said.get("o", "")}
        if system is not None and system.version:
            qualifiers["distro"] = f"{system.name}-{system.version}"
        name, version = said["P"], said.get("V", "")
        yield SbomComponent(name, version, purl("apk", vendor, name, version, qualifiers))


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Debian's control format: first lines of fields, names in lower case."""
    fields: dict[str, str] = {}
    for line in (*text.splitlines(), ""):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace():
            key, colon, value = line.partition(":")
            if colon:
                fields[key.strip().lower()] = value.strip()


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of an ar archive. Raises ValueError."""
    if not data.startswith(_AR):
        raise ValueError("it is no ar archive")
    at = len(_AR)
    while at + _AR_HEADER <= len(data):
        header = data[at : at + _AR_HEADER]
        size = header[48:58].strip()
        if header[58:60] != b"`\n" or not size.isdigit():
            raise ValueError("its ar archive is damaged")
        at += _AR_HEADER
        yield header[:16].decode("latin-1").strip().rstrip("/"), data[at : at + int(size)]
        at += int(size) + int(size) % 2


def _control(name: str, content: bytes) -> dict[str, str]:
    raw = _decompressed(name, content)
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", tarinfo=CarefulInfo) as tar:
        for member in tar:
            if member.isreg() and member.name in {"control", "./control"}:
                file = tar.extractfile(member)
                text = b"" if file is None else file.read(CONTROL_CAP)
                for fields in _paragraphs(text.decode("utf-8", "replace")):
                    if fields.get("package"):
                        return fields
    raise ValueError("its control archive has no control file")


def _decompressed(name: str, content: bytes) -> bytes:
    """The tar within. Raises ValueError if it is too large."""
    if name.endswith(".gz"):
        raw = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, CONTROL_CAP + 1)
    elif name.endswith(".xz"):
        raw = lzma.LZMADecompressor().decompress(content, CONTROL_CAP + 1)
    elif name.endswith(".zst"):
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(content) as reader:
            try:
                raw = reader.read(CONTROL_CAP + 1)
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from error
    else:
        raw = content
    if len(raw) > CONTROL_CAP:
        raise ValueError("its control archive is too large")
    return raw
