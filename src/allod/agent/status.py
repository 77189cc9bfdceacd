"""What a device can say of itself to whoever stands before it; read from its files, changing none."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from allod.agent.bound import load_bound
from allod.agent.commands_consent import in_words as in_words_of
from allod.agent.inhibit import held
from allod.agent.supervisor_consent import shown
from allod.agent.view import load_view
from allod.errors import AllodError
from allod.wire.codec import instant, parse_strict
from allod.wire.report import REPORT_CAP

if TYPE_CHECKING:
    from allod.agent.state_dir import StateDir

_ENVELOPE_CAP: Final = 4 * REPORT_CAP


def newest_report(state: StateDir) -> bytes | None:
    """The newest signed report (an envelope), if there is one."""
    try:
        with (state.reports / "newest.json").open("rb") as file:
            return file.read(_ENVELOPE_CAP)
    except OSError:
        return None


def collect(state: StateDir) -> dict[str, Any]:
    """Owner, trust, packages, refusals and alarms, as JSON values."""
    found: dict[str, Any] = {"bound": False, "alarms": [], "packages": []}
    try:
        bound = load_bound(state)
    except AllodError as error:
        found["alarms"].append({"code": error.code, "says": error.message})
        bound = None
    if bound is not None:
        found |= {
            "bound": True,
            "fleet": bound.fleet,
            "name": bound.name,
            "device": bound.device,
            "epoch": bound.epoch,
            "groups": list(bound.groups),
            "handedIn": bound.handed_in,
        }
    try:
        view = load_view(state.accepted)
    except AllodError as error:
        found["alarms"].append({"code": error.code, "says": error.message})
        view = None
    if bound is not None and view is not None:
        found["groups"] = list(view.groups)
        found["retired"] = view.retired
    envelope = newest_report(state)
    if envelope is not None:
        said = _payload(envelope)
        found["reported"] = {name: said.get(name) for name in ("at", "sequence", "kind")}
        found["alarms"] += said.get("alarms", [])
        for name in ("packages", "refusals", "restarts", "trust", "constraints"):
            found[name] = said.get(name, [])
    found["asked"] = shown(str(state.root))
    found["inhibitors"] = [
        {"name": one.name, "why": one.why, "since": instant(one.since)}
        for one in held(state.inhibitors)
    ]
    return found


def in_words(found: dict[str, Any]) -> str:
    """`collect`, for people."""
    lines = []
    if not found["bound"]:
        lines.append("This device belongs to nobody. Bind it: allod-agent bind INVITE")
    else:
        groups = ", ".join(found["groups"]) or "no group"
        lines.append(f"{found['name']}: device {found['device'][:16]}…, {groups}")
        if not found["handedIn"]:
            lines.append("The fleet does not know this device yet.")
        if found.get("retired"):
            lines.append("The owner has retired this device.")
    for package in found["packages"]:
        active = [one for one in package["releases"] if one["level"] == "active"]
        runs = f"runs {active[0]['version']}" if active else package["state"]
        waits = [f"{one['what']} waits for {one['waitsFor']}" for one in _waiting(package)]
        lines.append("; ".join([f"  {package['package']}: {runs}", *waits]))
    for refusal in found.get("refusals", []):
        why = "; ".join(refusal["reasons"])
        lines.append(f"  refused: {refusal.get('subject', '')} ({refusal['code']}) {why}")
    lines += [f"  alarm: {alarm['says']} ({alarm['code']})" for alarm in found["alarms"]]
    lines += [f"  {line}" for one in found["asked"] for line in in_words_of(one)]
    if found["asked"]:
        lines.append("  Somebody here is asked: allod-agent approve, or allod-agent decline")
    busy = found["inhibitors"]
    lines += [f"  not to be disturbed: {one['name']}, {one['why']}" for one in busy]
    if "reported" in found:
        lines.append(f"As of report {found['reported']['sequence']}, {found['reported']['at']}.")
    return "\n".join(lines)


def _waiting(package: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in package.get("pending", []) if one.get("waitsFor")]


def _payload(envelope: bytes) -> dict[str, Any]:
    """What the device itself signed; nobody checks it here, since it is its own word."""
    try:
        raw = parse_strict(envelope, cap=_ENVELOPE_CAP)
        said = parse_strict(base64.b64decode(raw["payload"]), cap=_ENVELOPE_CAP)
    except (AllodError, LookupError, TypeError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
