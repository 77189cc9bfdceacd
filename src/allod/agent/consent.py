"""Local consent: the worker's part. It asks, and takes in what was answered meanwhile.

The files, and how an answer gets into one, are in `supervisor_consent`. An answer is in the
grounds and in the ledger before its file goes, so that a cut loses none and tells none twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from allod import durable
from allod.agent.grounds import GroundsStore
from allod.agent.reporting import Ledger
from allod.agent.state_dir import StateDir
from allod.domain.ids import Purl, sha256
from allod.wire.codec import instant
from allod.wire.report import ChangeReport

_ID_DIGITS: Final = 16
_WHY_CAP: Final = 300
_ANSWER_CAP: Final = 64 * 1024


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody at the device is asked: all that there is to know before they agree."""

    id: str
    package: str  #: empty: the device itself, a restart
    attempt: str  #: what an answer is bound to
    what: str  #: activate, configure, deactivate, delete, restart
    version: str = ""  #: that would run
    digest: str | None = None
    runs: str = ""  #: the version that runs now
    manager: str = ""  #: who wants it
    scope: str = ""
    access: tuple[str, ...] = ()  #: that it needs and what runs does not have
    mends: tuple[str, ...] = ()  #: flaws, as its provider states
    interrupts: str = ""  #: what it interrupts, in words
    interrupts_seconds: int = 0
    reasons: tuple[str, ...] = ()  #: what the terms say of it
    answered: str = ""  #: `declined`: somebody did, and may think again


def question_id(package: str, attempt: str) -> str:
    """A short name for a question."""
    digest = sha256(f"{package}\n{attempt}".encode())
    return digest.removeprefix("sha256:")[:_ID_DIGITS]


def ask(state: StateDir, questions: Iterable[Question]) -> None:
    """Let these be what is asked. Raises OSError."""
    place = state.consent / "pending.json"
    data = msgspec.json.encode(sorted(questions, key=lambda one: (one.package, one.attempt)))
    try:
        before = place.read_bytes()
    except FileNotFoundError:
        before = b"[]"
    if data != before:
        durable.write_atomic(place, data)


def read_questions(state: StateDir) -> tuple[Question, ...]:
    """What was asked last; nothing, where that can't be read: the next run asks again."""
    try:
        data = (state.consent / "pending.json").read_bytes()
        return msgspec.json.decode(data, type=tuple[Question, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


def declined(question: Question) -> Question:
    """The same question, to which somebody said no."""
    return msgspec.structs.replace(question, answered="declined")


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    package: str
    attempt: str
    agrees: bool
    digest: str | None = None
    by: str = ""


def take_in(state: StateDir, grounds: GroundsStore, ledger: Ledger, now: datetime) -> None:
    """Take in what was answered since the last run, in order. Raises OSError; what is left waits."""
    for place in sorted((state.consent / "answers").glob("*.json")):
        try:
            answer = msgspec.json.decode(place.read_bytes()[:_ANSWER_CAP], type=_Answer)
        except msgspec.DecodeError:
            durable.remove_file(place)  # nobody's answer: the question stands
            continue
        grounds.answer(Purl(answer.package), answer.attempt, agrees=answer.agrees, now=now)
        ledger.record(
            f"answer#{place.stem}",
            ChangeReport(
                at=instant(now),
                package=answer.package,
                what="agreed" if answer.agrees else "declined",
                after=answer.digest,
                why=answer.by[:_WHY_CAP],
            ),
            path=None,
        )
        durable.remove_file(place)
