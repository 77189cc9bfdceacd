"""nextcloud-snap#327: somebody else has full control over updates. Here only by its name, and shown."""

from __future__ import annotations

from datetime import UTC, datetime

from allod.cli.delegate_words import full_control, words
from allod.domain.condition import AGENT, Change, ChangeFacts, Verb
from allod.domain.decision import decide
from allod.domain.delegation import Delegation
from allod.domain.ids import ProviderName, Purl, Version, group_scope, parse_group
from allod.domain.release import Kind, Release
from allod.domain.resolution import resolve
from allod.domain.terms import NewAccess

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KITCHEN = group_scope(parse_group("kitchen"))
DRIVER = Purl("pkg:generic/acme/driver")


def delegation(*packages: str) -> Delegation:
    """Everything that can be given, on these packages."""
    wide = NewAccess(frozenset({"root"}))
    return Delegation("acme", frozenset({KITCHEN}), packages, frozenset(Verb), (wide,))


def refusals(given: Delegation, package: Purl, *access: str) -> set[str]:
    """Why the delegate may not run a release."""
    release = Release(
        package, Version("1"), ProviderName("acme"), Kind.TREE, access=frozenset(access)
    )
    change = Change(Verb.ACTIVATE, KITCHEN, package, release)
    return {one.code for one in decide(change, given.all_terms, ChangeFacts(), NOW).refusals}


def test_pain_23_full_control_is_given_by_name_or_not_at_all() -> None:
    """No pattern covers the agent or what runs as root; a name does, and then it is said."""
    wide = delegation("pkg:generic/acme/*", "pkg:generic/allod/*")
    assert refusals(wide, AGENT) == {"full-control"}
    assert refusals(wide, DRIVER, "root") == {"full-control"}
    assert refusals(wide, DRIVER) == set()
    assert full_control(wide, frozenset({DRIVER})) == ()

    named = delegation(str(AGENT), str(DRIVER))
    assert refusals(named, AGENT) == set()
    assert refusals(named, DRIVER, "root") == set()
    said = words(named, root=frozenset({DRIVER}))
    assert sum(line.startswith("! full control") for line in said) == 2


def test_pain_23_without_a_delegation_nobody_but_the_owner_decides() -> None:
    """A device whose owner delegated nothing wants nothing, whoever publishes what."""
    assert resolve([KITCHEN], {}).packages == {}
