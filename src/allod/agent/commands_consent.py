"""`allod-agent pending`, `approve` and `decline`: what somebody at the device is asked."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

from allod.agent import supervisor_consent as consent
from allod.errors import AllodError, InvalidInput, Refused, Unavailable

_ANSWER_SECONDS: Final = 10.0
_NAME_CAP: Final = 64
_ANSWER_CAP: Final = 4 * 1024 * 1024


def pending(given: argparse.Namespace) -> int:
    """What waits for somebody to agree."""
    found = _questions(given)
    if given.json:
        _say(json.dumps(found, indent=2, sort_keys=True))
        return 0
    for one in found:
        _say("\n".join(in_words(one)))
    if not found:
        _say("Nothing waits for an answer.")
    return 0


def in_words(question: dict[str, Any]) -> list[str]:
    """A question for people: first what would happen, then all that is known of it."""
    name, version = question.get("package") or "this device", question.get("version") or ""
    runs = f" (now {question['runs']})" if question.get("runs") else ""
    said = ", declined" if question.get("answered") == "declined" else ""
    lines = [f"{question['id']}  {question['what']} {name} {version}".rstrip() + runs + said]
    manager = question.get("manager") or ""
    if manager:
        who = "the owner" if manager == "owner" else f"the delegation {manager}"
        lines.append(f"  wanted by {who}, for {question.get('scope') or 'this device'}")
    if question.get("digest"):
        lines.append(f"  release {question['digest']}")
    if question.get("access"):
        lines.append(f"  new access: {', '.join(question['access'])}")
    if question.get("mends"):
        lines.append(f"  mends, as its provider says: {', '.join(question['mends'])}")
    if question.get("interrupts"):
        seconds = question.get("interrupts_seconds") or 0
        length = f", about {seconds} s" if seconds else ""
        lines.append(f"  interrupts: {question['interrupts']}{length}")
    return lines


def approve(given: argparse.Namespace) -> int:
    """Agree to what is asked."""
    return _answer(given, "approve")


def decline(given: argparse.Namespace) -> int:
    """Say no to what is asked."""
    return _answer(given, "decline")


def _answer(given: argparse.Namespace, act: str) -> int:
    meant = _meant(_questions(given), given.package)
    if _is_own(given):
        why = consent.answer(_root(given), meant["id"], consent.ANSWERS[act], _who())
        if not why:
            from allod.agent.supervisor import poke

            poke(_root(given))
    else:
        why = str(_ask(given, {"consent": act, "id": meant["id"]}).get("refused") or "")
    if why:
        raise _refused(why)
    if given.json:
        _say(json.dumps({"answered": act, "question": meant}, indent=2, sort_keys=True))
        return 0
    done = "Agreed to" if act == "approve" else "Declined"
    _say(f"{done}: " + "\n".join(in_words({**meant, "answered": ""})))
    return 0


def _refused(why: str) -> AllodError:
    """Why an answer was not taken."""
    if why == "not-allowed":
        says = "cannot speak for the device: this user may not; agent.json names who may"
        return Refused("not-allowed", says)
    if why == consent.NO_QUESTION:
        says = "cannot answer: it is not asked any more; 'allod-agent pending' shows what is"
        return InvalidInput("no-question", says)
    if why == consent.TOO_MANY:
        says = "cannot answer: too many answers wait to be taken in; try again later"
        return Unavailable("too-many-answers", says)
    return Unavailable("no-state", f"cannot answer: the state directory can't be used ({why})")


def _meant(found: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    """The one question that somebody means: by its id, package or package@version."""
    if wanted is None:
        matching = found
    else:
        name, _, version = wanted.partition("@")
        matching = [
            one
            for one in found
            if wanted == one["id"]
            or (
                name in {one["package"], str(one["package"]).rpartition("/")[2]}
                and version in {"", one.get("version")}
            )
        ]
    if len(matching) == 1:
        return matching[0]
    which = ", ".join(f"{one['id']} ({one['package']})" for one in matching or found)
    if not found:
        raise InvalidInput("no-question", "cannot answer: nothing is asked")
    if matching or wanted is None:
        raise InvalidInput("which-question", f"cannot tell which question is meant: {which}")
    raise InvalidInput(
        "no-question", f"cannot answer about {wanted[:80]!r}: what is asked is {which}"
    )


def _root(given: argparse.Namespace) -> str:
    return str(Path(given.state).absolute())


def _is_own(given: argparse.Namespace) -> bool:
    """Whether the state directory is the caller's own, so that no supervisor has to help."""
    root = Path(_root(given))
    if not root.is_dir():
        raise Unavailable("no-state", f"cannot find the state directory {root}; name it: --state")
    return root.stat().st_uid == os.geteuid()


def _who() -> str:
    login = os.environ.get("SUDO_USER") or ""
    tame = login.isprintable() and 0 < len(login) <= _NAME_CAP
    as_whom = f" (sudo by {login})" if tame else ""
    return f"user {os.getuid()}{as_whom}, command line"


def _questions(given: argparse.Namespace) -> list[dict[str, Any]]:
    if _is_own(given):
        return consent.shown(_root(given))
    found = _ask(given, {"consent": "pending"})
    if "refused" in found:
        raise _refused(str(found["refused"]))
    return [one for one in found.get("pending", []) if isinstance(one, dict)]


def _ask(given: argparse.Namespace, line: dict[str, Any]) -> dict[str, Any]:
    """Say a line to the running supervisor (supervisor_inhibit.py)."""
    from allod.agent.inhibit import SOCKET

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_ANSWER_SECONDS)
            where = os.open(_root(given), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                link.connect(f"/proc/self/fd/{where}/{SOCKET}")
            finally:
                os.close(where)
            link.sendall(json.dumps(line).encode() + b"\n")
            with link.makefile("rb") as answers:
                found = json.loads(answers.readline(_ANSWER_CAP))
    except (OSError, ValueError) as error:
        raise Unavailable(
            "not-running", f"cannot ask: no allod-agent runs over {_root(given)}"
        ) from error
    return found if isinstance(found, dict) else {}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
