"""`agent.json`: what whoever runs the machine says about it (docs/reference/agent-settings.md).

Nothing here carries authority over software or configuration; that is the owner's signature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from allod.errors import InvalidInput

BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"
PROPOSAL_FILE: Final = "/etc/allod/proposal.json"
_CAP: Final = 256 * 1024


def _default_service_manager() -> str:
    return "systemd" if Path("/run/systemd/system").is_dir() else "process"


@dataclass(frozen=True, slots=True)
class Settings:
    """The agent's settings, read once at start. Every one has a default."""

    service_manager: str = field(default_factory=_default_service_manager)  #: systemd or process
    restarter: str = "systemd"  #: systemd or command
    restart_command: tuple[str, ...] = ()  #: what the restarter `command` runs
    boot_id_file: str = BOOT_ID_FILE  #: its content differs after every restart of the machine
    facts: Mapping[str, str] = field(default_factory=dict)  #: override what is found on the machine
    poll_seconds: float = 300.0  #: longest time between two looks without news; jitter comes on top
    wait_seconds: float = 240.0  #: how long the server is asked to hold a question for news
    spread_seconds: float = 0.0  #: wait a random part of this after news: for large fleets
    bandwidth: int | None = (
        None  #: bytes a second for transfers; None: no limit of the machine's own
    )
    background: bool = True  #: work at idle priority
    complain: bool = False  #: report access that is missing instead of denying it
    measure_seconds: float = 6 * 3600.0  #: time between two measurements of all that is installed
    heartbeat_seconds: float = 3600.0  #: time between two reports that say nothing new
    verify_seconds: float = 900.0  #: a new agent that has no verified run by then goes back
    reserve_bytes: int = 32 * 1024 * 1024  #: room on the disk that transfers leave alone
    proposal_file: str = PROPOSAL_FILE  #: a delegation that is proposed to the owner at bind
    consent_users: tuple[str | int, ...] = ()  #: who may answer for the device, besides root


_YEAR: Final = 366 * 86400.0
_NUMBERS: Final[dict[str, tuple[type[int | float], float, float]]] = {
    "poll_seconds": (float, 0.05, _YEAR),
    "wait_seconds": (float, 0.0, 3600.0),
    "spread_seconds": (float, 0.0, 86400.0),
    "bandwidth": (int, 1024, 1 << 50),
    "measure_seconds": (float, 0.0, _YEAR),
    "heartbeat_seconds": (float, 0.0, _YEAR),
    "verify_seconds": (float, 0.05, _YEAR),
    "reserve_bytes": (int, 0, 1 << 50),
}


def decode_settings(data: bytes, *, what: str = "agent.json") -> Settings:
    """Read settings; unknown ones are ignored, so that an older agent can read a newer file.

    Raises:
        InvalidInput: `bad-settings`, naming the one that cannot be used.
    """
    if len(data) > _CAP:
        raise InvalidInput("bad-settings", f"cannot read {what}: more than {_CAP} bytes")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("bad-settings", f"cannot read {what}: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidInput("bad-settings", f"cannot read {what}: it must be a JSON object")
    known = {entry.name for entry in fields(Settings)}
    given = {name: _setting(name, raw[name], what) for name in known & raw.keys()}
    settings = Settings(**given)
    if settings.restarter == "command" and not settings.restart_command:
        raise InvalidInput(
            "bad-settings", f"cannot use {what}: restarter 'command' wants a restart_command"
        )
    return settings


def load_settings(path: Path) -> Settings:
    """The settings in the file `path`; without one, the defaults.

    Raises:
        InvalidInput: `bad-settings`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise InvalidInput("bad-settings", f"cannot read {path}: {error.strerror}") from error
    return decode_settings(data, what=str(path))


def _setting(name: str, value: Any, what: str) -> Any:
    fits = _FITS.get(name)
    if fits is not None:
        if not fits(value):
            raise _bad(name, value, what)
        return tuple(value) if isinstance(value, list) else value
    kind, least, most = _NUMBERS[name]
    if name == "bandwidth" and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not least <= value <= most:
        raise _bad(name, value, what)
    return kind(value)


def _bad(name: str, value: Any, what: str) -> InvalidInput:
    return InvalidInput("bad-settings", f"cannot use {name} = {value!r} in {what}", name=name)


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_user(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    "service_manager": lambda value: value in ("systemd", "process"),
    "restarter": lambda value: value in ("systemd", "command"),
    "facts": lambda value: isinstance(value, dict) and _are_texts(value.values()),
    "restart_command": lambda value: isinstance(value, list) and _are_texts(value),
    "proposal_file": lambda value: isinstance(value, str) and value.startswith("/"),
    "boot_id_file": lambda value: isinstance(value, str) and value.startswith("/"),
    "background": lambda value: isinstance(value, bool),
    "complain": lambda value: isinstance(value, bool),
    "consent_users": lambda value: isinstance(value, list) and all(map(_is_user, value)),
}
