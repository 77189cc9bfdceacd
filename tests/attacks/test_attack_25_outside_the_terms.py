"""Attack 25: a delegate, inside its own path, orders what its delegation does not let it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.domain.plan_world import (
    BUTLER,
    ConfigurationOrder,
    Grounds,
    Level,
    PackageEntry,
    World,
    delegation,
    did,
    digest,
    document,
    document_of,
    entry,
    handed,
    managed,
    note,
    order,
    ordering,
    refused,
)
from tests.unit.domain.term_facts import ACME, DAY, HOUSE, KITCHEN, NOW, TOASTER

from allod.domain.condition import Term, Verb
from allod.domain.desired import Window
from allod.domain.ids import ProviderName
from allod.domain.terms import (
    Approvals,
    Consent,
    Lease,
    Rate,
    Soak,
    Until,
    VersionRule,
    Versions,
    Windows,
)

STAGED = {"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED, "3.0.0": Level.INSTALLED}
RISES = frozenset({Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"scopes": frozenset({HOUSE})}, "outside-scope"),
        ({"packages": (BUTLER,)}, "outside-packages"),
        ({"packages": ("pkg:generic/initech/*",)}, "outside-packages"),
        ({"verbs": frozenset({Verb.TRANSFER, Verb.INSTALL})}, "outside-verbs"),
        ({"verbs": frozenset[Verb]()}, "outside-verbs"),
    ],
)
def test_attack_25_outside_the_frame_nothing_is_fetched(given: dict, code: str) -> None:
    """Other groups, other packages, other kinds of change."""
    for held in ({"2.0.1": Level.INSTALLED}, STAGED):
        found = handed(**given).plan(held=held)
        assert (did(found), set(refused(found))) == ([], {code})


@pytest.mark.parametrize(
    ("term", "code"),
    [
        (Versions(VersionRule.SECURITY), "version-rule"),
        (Approvals((("qa", 1),)), "approvals-missing"),
        (Lease(3600), "lease-unproved"),
        (Until(NOW), "ended"),
    ],
)
def test_attack_25_what_a_term_refuses_is_not_fetched(term: Term, code: str) -> None:
    """However far the release came already."""
    for held in ({"2.0.1": Level.INSTALLED}, STAGED):
        found = handed(term).plan(held=held)
        assert (did(found), refused(found)) == ([], [code])


@pytest.mark.parametrize(
    ("term", "code"),
    [
        (Windows((Window(frozenset({0}), 0, 60),)), "window"),
        (Soak(86_400), "soak"),
        (Rate(1, 86_400), "rate"),
        (Consent(), "consent"),
    ],
)
def test_attack_25_what_is_too_early_is_not_run(term: Term, code: str) -> None:
    """It may lie there, and waits; a configuration and a removal wait as well."""
    remembered = Grounds({digest("2.0.2"): NOW}, (NOW - timedelta(hours=1),))
    world = handed(term)
    world.grounds = remembered
    found = world.plan(held=STAGED)
    assert not {"Activate"} & set(did(found))
    assert code in found.waiting[0].codes
    remove = handed(term).delegates_to(
        ordering(delegation("ops", term), {TOASTER: entry(change="theirs")})
    )
    remove.grounds = remembered
    if not isinstance(term, Soak):  # nothing comes that could be known
        assert "Activate" not in did(remove.plan())


def test_attack_25_windows_of_the_owner_hold_for_delegates_too() -> None:
    """A scope's terms bind whoever decides there."""
    shut = Windows((Window(frozenset({0}), 0, 60),))
    world = handed().owns(document({TOASTER: managed("ops")}, terms=(shut,)))
    found = world.plan(held={"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED})
    assert (did(found), found.waiting[0].codes) == ([], ("window",))


def test_attack_25_a_document_decides_on_nothing_that_was_not_handed_over() -> None:
    """The owner's list stands, whatever a delegate writes of that package."""
    world = World().owns(document({TOASTER: entry(order("2.0.1"))}))
    world.delegates_to(ordering(delegation(), {TOASTER: entry(order("3.0.0"), change="theirs")}))
    assert world.plan().actions == ()
    configured = PackageEntry(
        configuration=ConfigurationOrder(digest=document_of("a")), change=note("theirs")
    )
    both = replace(entry(order("3.0.0"), change="theirs"), configuration=configured.configuration)
    half = handed().delegates_to(ordering(delegation(), {TOASTER: both}))
    found = half.plan(held=STAGED)
    members = [one for action in found.actions for one in getattr(action, "members", ())]
    assert [one.configuration for one in members] == [None], "only the software was handed over"


def test_attack_25_settings_and_terms_of_a_delegate_are_nobodys() -> None:
    """A delegate sets no windows, holds nothing, and softens no term."""
    theirs = document(
        {TOASTER: entry(order("2.0.2"), change="theirs", overrides=frozenset({"soak"}))},
        author="ops",
        hold="mine",
    )
    world = handed(Soak(86_400))
    world.delegates_to(
        replace(world.delegates["ops"], documents={KITCHEN: theirs}),
    )
    assert world.resolved.holds == ()
    assert world.plan(held=STAGED).waiting[0].codes == ("soak",)
    world.grounds = Grounds({digest("2.0.2"): NOW - DAY})
    assert "Activate" in did(world.plan())


def test_attack_25_a_foreign_providers_release_is_still_checked() -> None:
    """What a delegate calls another provider's is held against the description."""
    lie = replace(order("2.0.2"), provider=ProviderName("initech"))
    assert lie.provider != ACME
    world = handed().delegates_to(ordering(delegation(), {TOASTER: entry(lie, change="theirs")}))
    assert refused(world.plan()) == ["wrong-release"]
