"""What somebody at the device is asked, and their answers, as files.

    consent/pending.json    what the worker asks: a list of questions, each with its `id`
    consent/answers/…       answers that the worker has yet to take in, one file each

An answer names the whole attempt of the question that stood when it was given: a newer order is
another attempt, and is asked about again. It is durable when `answer` returns. Standard library
only: the supervisor answers for those who may not enter the state directory.
"""

from __future__ import annotations

import json
import os
import time

from allod.agent.supervisor_worker import write

DIRECTORY = "consent"
MAX_ANSWERS = 64  #: that wait to be taken in
_CAP = 1024 * 1024

ANSWERS = {"approve": True, "decline": False}
NO_QUESTION = "no-question"
TOO_MANY = "too-many-answers"


def questions(state: str) -> list[dict[str, object]]:
    """What is asked now."""
    try:
        with open(os.path.join(state, DIRECTORY, "pending.json"), "rb") as file:
            found = json.loads(file.read(_CAP))
    except (OSError, ValueError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def shown(state: str) -> list[dict[str, object]]:
    """What is asked now, without what only the worker needs."""
    return [
        {name: value for name, value in one.items() if name != "attempt"}
        for one in questions(state)
    ]


def answer(state: str, question: str, agrees: bool, by: str) -> str:
    """Answer a question, by its id.

    Args:
        state: the state directory.
        question: its id.
        agrees: whether it may happen.
        by: who answers, in words.

    Returns:
        '' once the answer is durable, else why it was not taken: `no-question`, `too-many-answers`.

    Raises:
        OSError: the disk refused.
    """
    meant = [one for one in questions(state) if one.get("id") == question]
    if len(meant) != 1:
        return NO_QUESTION
    place = os.path.join(state, DIRECTORY, "answers")
    if sum(name.endswith(".json") for name in os.listdir(place)) >= MAX_ANSWERS:
        return TOO_MANY
    said = {
        "package": meant[0].get("package"),
        "attempt": meant[0].get("attempt"),
        "digest": meant[0].get("digest"),
        "agrees": agrees,
        "by": by,
    }
    name = f"{time.time_ns():020d}-{os.urandom(4).hex()}.json"
    write(os.path.join(place, name), json.dumps(said))
    return ""
