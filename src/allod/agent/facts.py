"""What the device says about itself: names, hardware, operating system. Settings overrule."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FACT_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}(?:\.[a-z0-9_-]{1,32}){1,3}", re.ASCII)
VALUE_CAP: Final = 256
MAX_FACTS: Final = 100


def read_facts(
    overrides: Mapping[str, str] | None = None, *, root: Path = Path("/")
) -> dict[str, str]:
    """The facts, by name.

    `device.name`, `device.hostname`, `device.architecture`, `device.hardware` (space-separated,
    the most exact first), `os.id`, `os.version`, `kernel.release`; and `os`, which is both of
    the system's, like "debian-12".

    Args:
        overrides: facts of the device's settings, which win and may add names of their own.
        root: where /etc and /sys are looked for.
    """
    system = os.uname()
    release = _os_release(root)
    facts = {
        "device.hostname": system.nodename,
        "device.architecture": system.machine,
        "device.hardware": " ".join(_hardware(root)),
        "os.id": release.get("ID", "linux"),
        "os.version": release.get("VERSION_ID", ""),
        "kernel.release": system.release,
    }
    given = list((overrides or {}).items())[:MAX_FACTS]
    facts |= {name: value for name, value in given if FACT_NAME.fullmatch(name)}
    facts.setdefault("device.name", facts["device.hostname"])
    facts["os"] = "-".join(filter(None, (facts["os.id"], facts["os.version"])))
    return {name: _clean(value) for name, value in sorted(facts.items())}


def _clean(value: str) -> str:
    return "".join(sign for sign in value if sign.isprintable())[:VALUE_CAP].strip()


def _small(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""


def _hardware(root: Path) -> list[str]:
    """Device tree 'compatible' if there is one, else maker and product of the firmware (DMI)."""
    tree = [
        name
        for name in _small(root / "sys/firmware/devicetree/base/compatible").split("\0")
        if name
    ]
    if tree:
        return [_word(name) for name in tree]
    dmi = root / "sys/class/dmi/id"
    maker, product = (_word(_small(dmi / name)) for name in ("sys_vendor", "product_name"))
    return [name for name in (f"{maker},{product}" if maker and product else "", product) if name]


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9.,+_-]+", "-", text.strip().lower()).strip("-")


def _os_release(root: Path) -> dict[str, str]:
    found = {}
    for line in _small(root / "etc/os-release").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip().strip("\"'")
    return found
