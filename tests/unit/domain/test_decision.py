"""Whether a change is allowed: all terms are asked, and nothing else decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.domain.term_facts import DAY, HOUR, HOUSE, KITCHEN, NOW, change, release

from allod.domain.condition import ChangeFacts, Term, Verb, Verdict
from allod.domain.decision import Decision, decide
from allod.domain.terms import (
    OVERRIDABLE,
    Approvals,
    Consent,
    Lease,
    NewAccess,
    Packages,
    Rate,
    Scopes,
    Soak,
    Until,
    Verbs,
    VersionRule,
    Versions,
    Windows,
)

HERE, THERE = Scopes(frozenset({KITCHEN})), Scopes(frozenset({HOUSE}))


def decided(*terms: Term, **facts: object) -> Decision:
    """An activation under these terms."""
    return decide(change(), terms, ChangeFacts(**facts), NOW)  # type: ignore[arg-type]


def codes(decision: Decision) -> list[str]:
    """What was said, in the order of the terms."""
    return [one.code for one in decision.reasons]


def test_without_terms_everything_is_allowed() -> None:
    """The rules that hold without any term are asked elsewhere."""
    assert decided() == Decision(allowed=True, reasons=())


def test_every_term_is_asked_in_its_order() -> None:
    """One that refuses does not keep the others from being asked: a person reads all reasons."""
    found = decided(Soak(86_400), THERE, HERE, Until(NOW))
    assert codes(found) == ["soak", "outside-scope", "scopes", "ended"]
    assert [one.code for one in found.refusals] == ["outside-scope", "ended"]
    assert [one.code for one in found.waits] == ["soak"]
    assert not found.allowed


@pytest.mark.parametrize(
    ("terms", "allowed"),
    [
        ((HERE,), True),
        ((THERE,), False),
        ((HERE, THERE), False),
        ((HERE, Consent()), False),
        ((HERE, Until(NOW + HOUR)), True),
    ],
)
def test_one_that_does_not_hold_is_enough(terms: tuple[Term, ...], allowed: bool) -> None:
    """Waiting is not allowed yet."""
    assert decided(*terms).allowed is allowed


def test_until_is_when_the_last_of_them_lets_it_through() -> None:
    """Only if time alone will tell."""
    soak = {"seen_since": NOW - HOUR}
    rate = {"activated": (NOW - HOUR,)}
    assert decided(Soak(7_200), **soak).until == NOW + HOUR
    assert decided(Soak(7_200), Rate(1, 86_400), **soak, **rate).until == NOW - HOUR + DAY
    assert decided(Rate(1, 86_400), Soak(7_200), **soak, **rate).until == NOW - HOUR + DAY
    assert decided(Soak(7_200), Consent(), **soak).until is None
    assert decided(Consent()).until is None
    assert decided(HERE).until is None


#: Each may be set aside, and says no or not yet of what is asked below.
AGAINST: tuple[Term, ...] = (
    Versions(VersionRule.SECURITY),
    NewAccess(),
    NewAccess(strict=True),
    Soak(86_400),
    Windows(()),
    Rate(0, 60),
    Approvals((("qa", 1),)),
    Consent(),
)
#: None may.
FIRM: tuple[Term, ...] = (
    THERE,
    Packages(()),
    Verbs(frozenset()),
    Lease(1),
    Until(NOW - timedelta(seconds=1)),
)
WITH_CAMERA = change(release=release("2.0.1", "camera"))


@pytest.mark.parametrize("term", AGAINST, ids=lambda term: term.name)
def test_the_owner_sets_terms_aside_by_name(term: Term) -> None:
    """That name, and no other; the term is told all the same."""
    assert not decide(WITH_CAMERA, [term], ChangeFacts(), NOW).allowed
    others = replace(WITH_CAMERA, overrides=OVERRIDABLE - {term.name})
    assert not decide(others, [term], ChangeFacts(), NOW).allowed
    aside = replace(WITH_CAMERA, overrides=frozenset({term.name}))
    found = decide(aside, [term, HERE], ChangeFacts(), NOW)
    assert found.allowed
    assert [one.verdict for one in found.reasons] == [Verdict.OVERRIDDEN, Verdict.HOLDS]
    assert found.waits == found.refusals == ()
    assert found.until is None
    assert found.reasons[0].until is None
    first = found.reasons[0]
    assert found.texts[0] == f"{first.code}: {first.says} (the owner set it aside)"
    assert found.texts[1] == "scopes: only in groups/kitchen"


def test_what_somebody_declined_can_be_set_aside_with_consent() -> None:
    """The name is the term's, whatever the code of its reason."""
    aside = replace(change(), overrides=frozenset({"consent"}))
    found = decide(aside, [Consent()], ChangeFacts(consent=False), NOW)
    assert found.allowed
    assert codes(found) == ["consent-declined"]


@pytest.mark.parametrize("term", FIRM, ids=lambda term: term.name)
def test_what_a_delegation_is_cannot_be_set_aside(term: Term) -> None:
    """Not even by name."""
    aside = replace(WITH_CAMERA, overrides=OVERRIDABLE | {term.name})
    assert not decide(aside, [term], ChangeFacts(), NOW).allowed


def test_a_term_that_holds_needs_no_override() -> None:
    """What the owner would set aside and does not have to is told as it is."""
    aside = replace(change(), overrides=frozenset({"soak"}))
    found = decide(aside, [Soak(60)], ChangeFacts(seen_since=NOW - DAY), NOW)
    assert found.reasons[0].verdict is Verdict.HOLDS
    assert found.texts == (
        "soak: not before it is known for 1 minute: known since 2026-05-02T12:00:00Z",
    )


def test_what_disturbs_nobody_does_not_wait() -> None:
    """Soak, window, rate and consent let transfer and installation through."""
    terms = (Soak(86_400), Windows(()), Rate(0, 60), Consent())
    for verb in (Verb.TRANSFER, Verb.INSTALL):
        assert decide(change(verb), terms, ChangeFacts(), NOW).allowed
    for verb in (Verb.ACTIVATE, Verb.CONFIGURE, Verb.DELETE, Verb.RESTART):
        assert not decide(change(verb), terms, ChangeFacts(), NOW).allowed
