"""The simulator sees: a bug that is planted in the agent shows within a few fleets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from allod.agent import engine_context
from allod.domain import judgement, permission, resolution
from allod.domain.condition import Change, ChangeFacts, Term
from allod.domain.decision import Decision, decide
from allod.domain.delegation import Delegation
from allod.testing.fleet import play_alone
from allod.trust import accepted, delegates
from allod.trust.floors import Floors

SEEDS = 40  #: within which each of them has to show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    """What devices refuse is in the trace."""
    caplog.set_level(logging.CRITICAL)


def found(says: str, seeds: Iterable[int] = range(SEEDS)) -> str:
    """The first thing that was unlawful for this reason, in all seeds; empty: none."""
    for seed in seeds:
        for violation in play_alone(seed).violations:
            if says in violation:
                return f"{seed}: {violation}"
    return ""


def without_term(name: str) -> Plant:
    """Devices leave out one term, wherever they ask."""

    def careless(
        change: Change, terms: Iterable[Term], facts: ChangeFacts, now: datetime
    ) -> Decision:
        return decide(change, [term for term in terms if term.name != name], facts, now)

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (permission, engine_context):
            monkeypatch.setattr(module, "decide", careless)

    return plant


def held_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delegates' terms are dropped where documents are resolved."""
    monkeypatch.setattr(resolution, "_delegate_terms", lambda *_: ())


def revoked_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delegation that was read once holds for good."""
    read, known = delegates.read_delegation, dict[tuple[int, str], Delegation]()

    def remembered(repository: Any, name: str) -> Any:
        new = yield from read(repository, name)
        here = (0, name)
        if new is not None:
            known[here] = new
        return known.get(here)

    monkeypatch.setattr(delegates, "read_delegation", remembered)


def delegates_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a delegate claims to accept counts."""
    real = resolution._own_software

    def generous(
        scope: Any, entry: Any, software: Any, reading: Any, terms: Any, owners: Any, **more: Any
    ) -> Any:
        owners = replace(owners, accepts=entry.accepts)
        return real(scope, entry, software, reading, terms, owners, **more)

    monkeypatch.setattr(resolution, "_own_software", generous)


def delegates_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a delegate claims to override counts."""
    real = resolution._own_software

    def generous(
        scope: Any, entry: Any, software: Any, reading: Any, terms: Any, owners: Any, **more: Any
    ) -> Any:
        owners = replace(owners, overrides=entry.overrides)
        return real(scope, entry, software, reading, terms, owners, **more)

    monkeypatch.setattr(resolution, "_own_software", generous)


def withdrawn_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recalled release is like any other."""
    real = judgement._barred

    def deaf(order: Any, at: Any) -> Any:
        return [one for one in real(order, at) if one[0] != "withdrawn"]

    monkeypatch.setattr(judgement, "_barred", deaf)


def no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's hold is left out."""
    monkeypatch.setattr(resolution, "holds_of", lambda _: ())


def no_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors of roles are not asked, and fall; nor are the cache and the log, which hold them too."""

    def fallen(self: Floors, role: str, version: int, digest: str) -> Floors:
        roles: Mapping[str, int] = {**self.roles, role: version}
        return replace(self, roles=roles, digests={**self.digests, role: digest})

    monkeypatch.setattr(Floors, "raised", fallen)
    monkeypatch.setattr(accepted, "check_floor", lambda *_: None)
    for name in ("check_listed", "check_not_less"):
        monkeypatch.setattr(accepted, name, lambda *_: None)
    for name in ("_cached_role", "require_logged"):
        monkeypatch.setattr(accepted.Repository, name, lambda *_: None)


#: What is planted, and what the oracle says of it.
PLANTED: Mapping[str, tuple[Plant, str]] = {
    "version": (without_term("version"), "version"),
    "soak": (without_term("soak"), "soak"),
    "window": (without_term("window"), "window"),
    "rate": (without_term("rate"), "rate"),
    "approvals": (without_term("approvals"), "approvals"),
    "consent": (without_term("consent"), "consent"),
    "verbs": (without_term("verbs"), "verbs"),
    "packages": (without_term("packages"), "packages"),
    "lease": (without_term("lease"), "lease"),
    "held to nothing": (held_to_nothing, ""),
    "revoked lives on": (revoked_lives_on, ""),
    "delegates accept": (delegates_accept, "access"),
    "delegates set aside": (delegates_set_aside, ""),
    "withdrawn ignored": (withdrawn_ignored, "withdrawn"),
    "no hold": (no_hold, "hold"),
    "no floors": (no_floors, ""),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device does what it must not, and the oracle says what forbids it."""
    plant, says = PLANTED[name]
    plant(monkeypatch)
    assert found(says)
