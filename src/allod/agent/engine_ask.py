"""Asking whoever is at the device: what waits for their consent, with all there is to know of it."""

from __future__ import annotations

from allod.agent.consent import Question, ask, declined, question_id, read_questions
from allod.agent.engine_context import Outcome
from allod.agent.state_dir import StateDir
from allod.domain.access import new_access
from allod.domain.actions import Waiting
from allod.domain.observed import Observed


def put_questions(state: StateDir, outcome: Outcome) -> None:
    """Ask whoever is at the device about what waits for their consent. Raises OSError."""
    waits = [*outcome.plan.waiting, *outcome.findings.waiting]
    asked = {
        question_id(one.package, one.attempt): _question(outcome, one)
        for one in waits
        if "consent" in one.codes
    }
    refused = {one.subject for one in outcome.findings.refusals if one.code == "consent-declined"}
    for before in read_questions(state):
        if before.package in refused and before.id not in asked:
            asked[before.id] = declined(before)  # they may think again
    ask(state, asked.values())


def _question(outcome: Outcome, waiting: Waiting) -> Question:
    wanted = outcome.resolved.packages.get(waiting.package)
    has = outcome.observed.get(waiting.package, Observed(waiting.package))
    running = has.running_release
    release = None if waiting.digest is None else has.described.get(waiting.digest)
    had = frozenset() if running is None else running.access
    half = None
    if wanted is not None:
        half = wanted.configuration if waiting.what == "configure" else wanted.software
    return Question(
        id=question_id(waiting.package, waiting.attempt),
        package=waiting.package,
        attempt=waiting.attempt,
        what=waiting.what,
        version=waiting.version,
        digest=waiting.digest,
        runs="" if running is None else running.version,
        manager="" if half is None else half.manager,
        scope="" if half is None or half.scope is None else str(half.scope),
        access=() if release is None else tuple(sorted(new_access(had, release.access))),
        mends=() if release is None else release.mends,
        interrupts="" if release is None else release.interrupts,
        interrupts_seconds=0 if release is None else release.interrupts_seconds,
        reasons=(waiting.waits_for,),
    )
