"""The planner without any term: levels, failures, units, restarts, and what it says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.domain.plan_world import (
    BUTLER,
    SCOPES,
    Armed,
    ConfigurationOrder,
    Level,
    When,
    World,
    did,
    digest,
    document,
    document_of,
    entry,
    only,
    order,
)
from tests.unit.domain.term_facts import NOW, TOASTER, release

from allod.domain.actions import Activate, FetchDocument, Install
from allod.domain.desired import PackageEntry
from allod.domain.observed import Failure, Grounds, Observed
from allod.domain.plan import Plan, make_plan
from allod.domain.resolution import resolve
from allod.domain.surroundings import Surroundings
from allod.domain.terms import Consent

AROUND = Surroundings(NOW, "boot 1")
STAGED = {"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED}


def owns(*, when: When = When.NOW, version: str = "2.0.2", **fields: Any) -> World:
    """The owner wants a version in the kitchen."""
    return World().owns(document({TOASTER: entry(order(version, when=when), **fields)}))


def planned(packages: dict[str, PackageEntry], *has: Observed, boot: str = "boot 1") -> Plan:
    """A plan for several packages."""
    known = document(packages)
    resolved = resolve(SCOPES, {known.scope: known}, [one.package for one in has])
    return make_plan(resolved, {one.package: one for one in has}, Surroundings(NOW, boot))


@pytest.mark.parametrize(
    ("held", "unknown", "what"),
    [
        ({}, {"2.0.2"}, "describe"),
        ({}, set(), "transfer"),
        ({"2.0.2": Level.TRANSFERRED}, set(), "install"),
        ({"2.0.2": Level.INSTALLED}, set(), "activate"),
    ],
)
def test_a_hold_is_waited_for_at_every_step(
    held: dict[str, Level], unknown: set[str], what: str
) -> None:
    """And says which step, of which release."""
    known = document({TOASTER: entry(order("2.0.2"))}, hold="why")
    world = World(unknown=frozenset(unknown)).owns(known)
    found = world.plan(held={"2.0.1": Level.INSTALLED, **held})
    assert found.actions == ()
    wait = found.waiting[0]
    assert (wait.what, wait.version, wait.digest) == (what, "2.0.2", digest("2.0.2"))
    assert (wait.waits_for, wait.until) == ("groups/kitchen holds: why", None)


def test_a_configuration_document_waits_for_a_hold_and_is_fetched_whole() -> None:
    """With the size that was signed; one that is not ordered has none."""
    configured = ConfigurationOrder(digest=document_of("new"), size=24)
    wanted = entry(order("2.0.1"), configuration=configured)
    world = World().owns(document({TOASTER: wanted}))
    assert only(world.plan()) == FetchDocument(TOASTER, document_of("new"), 24)
    held = World().owns(document({TOASTER: wanted}, hold="why")).plan()
    assert (did(held), [one.what for one in held.waiting]) == ([], ["configure"])
    lost = World(configuration="lost").owns(document({TOASTER: entry(order("2.0.2"))}))
    assert only(lost.plan(held=STAGED)) == FetchDocument(TOASTER, document_of("lost"), 0)


def test_what_failed_is_not_repeated_before_its_time() -> None:
    """Never without one; another attempt is not held up by it."""
    first = owns().plan(held=STAGED).actions[0]
    assert isinstance(first, Activate)
    failed = Failure(first.members[0].attempt, digest("2.0.2"), "it burns", NOW)

    def again(failure: Failure, **late: timedelta) -> Plan:
        world = owns()
        has = replace(
            world.has, failed=(failure,), held={digest(v): at for v, at in STAGED.items()}
        )
        now = NOW + late.get("late", timedelta())
        return make_plan(world.resolved, {TOASTER: has}, Surroundings(now, "boot 1"))

    never = again(failed)
    assert never.actions == ()
    wait = never.waiting[0]
    assert (wait.what, wait.digest, wait.until) == ("activate", digest("2.0.2"), None)
    assert wait.waits_for == "a newer order; it failed: it burns"
    assert never.failed == {TOASTER: (digest("2.0.2"),)}
    later = replace(failed, retry_at=NOW + timedelta(hours=1))
    wait = again(later).waiting[0]
    assert (wait.waits_for, wait.until) == ("the next try; it failed: it burns", later.retry_at)
    assert did(again(later, late=timedelta(hours=1))) == ["Activate"]
    assert did(again(replace(failed, attempt="another"))) == ["Activate"]


def test_an_installation_that_failed_is_not_repeated_either() -> None:
    """Its attempt is that of the activation that it is for."""
    world = owns()
    world.held = {"2.0.1": Level.INSTALLED, "2.0.2": Level.TRANSFERRED}
    install = only(world.plan())
    assert isinstance(install, Install)
    failure = Failure(install.attempt, digest("2.0.2"), "no room", NOW)
    has = replace(world.has, failed=(failure,))
    assert make_plan(world.resolved, {TOASTER: has}, Surroundings(NOW, "b")).actions == ()
    activate = only(world.plan(held=STAGED))
    assert isinstance(activate, Activate)
    assert activate.members[0].attempt == install.attempt


def test_work_that_did_not_end_comes_first() -> None:
    """Nothing else is planned for its package."""
    world = owns()
    has = replace(world.has, stuck="activating")
    found = make_plan(world.resolved, {TOASTER: has}, Surroundings(NOW, "b"))
    assert found.actions == ()
    assert [(one.what, one.waits_for) for one in found.waiting] == [("recover", "activating")]


@pytest.mark.parametrize("changed", ["version", "when", "nothing"])
def test_what_is_armed_is_taken_back_once_it_is_another(changed: str) -> None:
    """Another release, or one that does not wait for a restart any more."""
    world = owns(when=When.RESTART)
    world.held = {**STAGED, "3.0.0": Level.INSTALLED}
    armed = only(world.plan())
    assert isinstance(armed, Activate)
    assert [one.waits_for for one in world.plan().waiting] == ["restart"]
    world.armed = Armed(armed.members[0].attempt, "boot 1", (TOASTER,))
    if changed == "version":
        world.owns(document({TOASTER: entry(order("3.0.0", when=When.RESTART))}))
    elif changed == "when":
        world.owns(document({TOASTER: entry(order("2.0.2"))}))
    assert did(world.plan()) == ([] if changed == "nothing" else ["Cancel"])


def test_packages_that_go_together_wait_for_each_other() -> None:
    """All of them, or none; the one that is ready says for whom it waits."""
    described = {digest("2.0.2"): release("2.0.2")}
    butlers = {digest("2.0.2"): replace(release("2.0.2"), package=BUTLER)}
    ready = Observed(TOASTER, {digest("2.0.2"): Level.INSTALLED}, described)
    coming = Observed(BUTLER, {digest("2.0.2"): Level.TRANSFERRED}, butlers)
    both = {
        TOASTER: entry(order("2.0.2"), together=(BUTLER,)),
        BUTLER: entry(order("2.0.2"), together=(TOASTER,)),
    }
    early = planned(both, ready, coming)
    assert did(early) == ["Install"]
    assert [(one.package, one.what, one.waits_for) for one in early.waiting] == [
        (TOASTER, "activate", BUTLER)
    ]
    there = replace(coming, held={digest("2.0.2"): Level.INSTALLED})
    done = only(planned(both, ready, there))
    assert isinstance(done, Activate)
    assert [one.package for one in done.members] == [BUTLER, TOASTER]
    alone = {**both, BUTLER: entry(order("2.0.2"))}
    assert len(only(planned(alone, ready, there)).members) == 2  # type: ignore[union-attr]
    apart = planned({TOASTER: both[TOASTER]}, ready, there)
    assert did(apart) == []
    assert {one.code for one in apart.refusals} == {"together-apart"}


def test_a_stopped_package_is_told_as_deactivated() -> None:
    """In the words of the change."""
    known = document({TOASTER: entry()}, hold="why")
    assert World().owns(known).plan().waiting[0].what == "deactivate"


def test_a_unit_waits_for_the_terms_of_each_of_its_packages() -> None:
    """An answer for one of them is not enough; after a restart all of it is prepared anew."""
    wanted = order("2.0.2", when=When.RESTART)
    known = document(
        {
            TOASTER: entry(wanted, together=(BUTLER,)),
            BUTLER: entry(wanted, together=(TOASTER,)),
        },
        terms=(Consent(),),
    )
    resolved = resolve(SCOPES, {known.scope: known}, [])
    held = {digest("2.0.2"): Level.INSTALLED}
    has = {
        package: Observed(
            package, held, {digest("2.0.2"): replace(release("2.0.2"), package=package)}
        )
        for package in (BUTLER, TOASTER)
    }
    asked = {one.package: one.attempt for one in make_plan(resolved, has, AROUND).waiting}
    assert set(asked) == {BUTLER, TOASTER}
    yes = {package: Grounds(consent={attempt: True}) for package, attempt in asked.items()}
    one = make_plan(resolved, has, replace(AROUND, grounds={TOASTER: yes[TOASTER]}))
    assert one.actions == ()
    assert {(wait.package, wait.waits_for) for wait in one.waiting} == {
        (TOASTER, BUTLER),
        (BUTLER, "consent: only once somebody at the device agrees: nobody answered yet"),
    }
    both = only(make_plan(resolved, has, replace(AROUND, grounds=yes)))
    assert isinstance(both, Activate)
    assert both.at_restart
    attempts = {member.package: member.attempt for member in both.members}
    armed = {
        package: replace(one, armed=Armed(attempts[package], "boot 1", (BUTLER, TOASTER)))
        for package, one in has.items()
    }
    assert make_plan(resolved, armed, AROUND).actions == (), "it waits for a restart all the same"
    rebooted = replace(AROUND, boot="boot 2", grounds={TOASTER: yes[TOASTER]})
    assert did(make_plan(resolved, armed, rebooted)) == ["Cancel"]
    done = only(make_plan(resolved, armed, replace(rebooted, grounds=yes)))
    assert isinstance(done, Activate)
    assert (done.booted, done.at_restart) == (True, False)
