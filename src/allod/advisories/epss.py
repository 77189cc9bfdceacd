"""Reading EPSS scores (FIRST, CSV): `cve,epss,percentile` below a line about the model's run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from allod.advisories.finding import Epss
from allod.advisories.reading import fault
from allod.errors import InvalidInput

EPSS_CAP: Final = 64 * 1024 * 1024
_DATE: Final = re.compile(r"score_date:([0-9T:+.Z-]{10,40})")
_CVE: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")
_HEAD: Final = "cve,epss,percentile"
_NUMBER: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,20})?(?:[eE]-[0-9]{1,3})?")


def is_epss(data: bytes) -> bool:
    """Whether a file is meant as such a list."""
    return data.startswith((b"#model_version", _HEAD.encode()))


def decode_epss(data: bytes, *, file: str) -> Iterator[Epss]:
    """The scores, line by line.

    Raises:
        InvalidInput: `too-large`, or `bad-document` with the number of the line.
    """
    if len(data) > EPSS_CAP:
        raise InvalidInput(
            "too-large",
            f"cannot read {file[:200]!r}: {len(data)} bytes, at most {EPSS_CAP} are allowed",
        )
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise fault(file, str(error)) from error
    at, start = "", 0
    if lines and lines[0].startswith("#"):
        said = _DATE.search(lines[0])
        at, start = (said.group(1) if said else ""), 1
    if lines[start : start + 1] != [_HEAD]:
        raise fault(file, f"line {start + 1} is not {_HEAD!r}")
    for number, line in enumerate(lines[start + 1 :], start + 2):
        cve, _, rest = line.partition(",")
        score, _, percentile = rest.partition(",")
        if not _CVE.fullmatch(cve):
            raise fault(file, f"line {number}: {cve[:40]!r} is no CVE")
        yield Epss(cve, _share(score, number, file), _share(percentile, number, file), at)


def _share(text: str, number: int, file: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0 <= value <= 1:
        raise fault(file, f"line {number}: {text[:40]!r} is no number from 0 to 1")
    return value
