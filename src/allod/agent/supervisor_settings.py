"""What the supervisor reads of `agent.json`, forgivingly: the worker is the one who complains."""

from __future__ import annotations

import json
import os
import pwd


def json_object(text: str) -> dict[str, object]:
    """A JSON object, or an empty one if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def number(given: dict[str, object], name: str, default: float) -> float:
    """A number that is not negative, or the default."""
    value = given.get(name)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return float(value) if usable and isinstance(value, (int, float)) else default


def keeps_services(given: dict[str, object]) -> bool:
    """Whether the agent itself looks after services."""
    manager = given.get("service_manager")
    if manager in {"systemd", "process"}:
        return manager == "process"
    return not os.path.isdir("/run/systemd/system")


def users(given: object) -> frozenset[int]:
    """The numbers of users who are given by name or number; those that do not exist are left out."""
    found = set()
    for user in given if isinstance(given, list) else []:
        if isinstance(user, int) and not isinstance(user, bool):
            found.add(user)
        elif isinstance(user, str):
            try:
                found.add(pwd.getpwnam(user).pw_uid)
            except KeyError:
                pass
    return frozenset(found)
