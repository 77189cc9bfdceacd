"""The simulator sees: a bug that is planted in the agent shows within a few fleets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

import pytest

from allod.agent import engine_context
from allod.domain import permission, resolution
from allod.domain.condition import Change, ChangeFacts, Term
from allod.domain.decision import Decision, decide
from allod.testing.fleet import play_alone

SEEDS = 80  #: within which each of them has to show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    """What devices refuse is in the trace."""
    caplog.set_level(logging.CRITICAL)


def found() -> str:
    """The first thing that was unlawful, in all seeds; empty: none."""
    for seed in range(SEEDS):
        violations = play_alone(seed).violations
        if violations:
            return violations[0]
    return ""


@pytest.mark.parametrize("name", ["consent", "verbs", "window"])
def test_a_term_that_is_not_asked_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices that leave out one term do what it forbids, and the oracle says which it was."""

    def careless(
        change: Change, terms: Iterable[Term], facts: ChangeFacts, now: datetime
    ) -> Decision:
        return decide(change, [term for term in terms if term.name != name], facts, now)

    for module in (permission, engine_context):
        monkeypatch.setattr(module, "decide", careless)
    assert name in found()


def test_a_delegate_who_is_held_to_nothing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delegates' terms are dropped where documents are resolved."""
    monkeypatch.setattr(resolution, "_delegate_terms", lambda *_: ())
    assert found()


def test_a_hold_that_is_not_heard_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's hold is left out."""
    monkeypatch.setattr(resolution, "holds_of", lambda _: ())
    assert "hold" in found()
