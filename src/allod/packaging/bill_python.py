"""Python distributions in a payload: installed ones and wheels, by their own METADATA."""

from __future__ import annotations

import io
import re
import zipfile
from email.parser import HeaderParser
from typing import Final

from allod.domain.sbom import SbomComponent
from allod.packaging.purl import purl

METADATA_CAP: Final = 4 * 1024 * 1024
DIRECTORY_CAP: Final = 8 * 1024 * 1024  #: bytes of a wheel's list of files
_END: Final = b"PK\x05\x06"  #: begins the last record of a zip file
_END64: Final = b"PK\x06\x07"
_TAIL: Final = 22 + 0xFFFF
_INSTALLED: Final = re.compile(
    r"(?:.*/)?[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)"
)


def is_metadata(path: str) -> bool:
    """Whether a file describes an installed distribution."""
    return _INSTALLED.fullmatch(path) is not None


def python_component(name: str, version: str) -> SbomComponent:
    """A distribution by name and version."""
    shown = re.sub(r"[-_.]+", "-", name).lower()
    return SbomComponent(name, version, purl("pypi", "", shown, version))


def read_metadata(data: bytes) -> SbomComponent:
    """Core metadata. Raises ValueError in words."""
    said = HeaderParser().parsestr(data.decode("utf-8", "replace"), headersonly=True)
    name, version = str(said.get("Name", "")).strip(), str(said.get("Version", "")).strip()
    if not name:
        raise ValueError("it has no Name")
    return python_component(name, version)


def read_wheel_file(data: bytes) -> SbomComponent:
    """A wheel. Raises ValueError in words."""
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [one for one in archive.namelist() if is_metadata(one) and one.count("/") == 1]
            if len(names) != 1:
                raise ValueError("it has not exactly one dist-info")
            with archive.open(names[0]) as file:
                return read_metadata(file.read(METADATA_CAP))
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def _check_directory(data: bytes) -> None:
    """Refuse a list of files that would fill the memory, before it is read. Raises ValueError."""
    tail = data[-_TAIL - 20 :]
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:  # noqa: PLR2004 - the record's length
        raise ValueError("it is no zip file")
    if _END64 in tail or int.from_bytes(tail[at + 12 : at + 16], "little") > DIRECTORY_CAP:
        raise ValueError("it lists too many files")
