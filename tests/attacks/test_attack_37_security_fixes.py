"""Attack 37: 'security fixes only', and somebody with the provider's key calls malware a fix."""

from __future__ import annotations

import pytest
from tests.unit.domain.plan_world import Grounds, World, did, digest, followed, refused, release

from allod.domain.terms import PROVIDER, VersionRule, Versions

FLAW = "CVE-2022-31015"


def waiting_for_fixes(*evidence: str, access: tuple[str, ...] = ()) -> World:
    """A device that takes security fixes from the channel, by these words; 2.0.2 says it is one."""
    world = followed(Versions(VersionRule.SECURITY, frozenset(evidence)), mends=(FLAW,))
    world.releases |= {"2.0.2": release("2.0.2", *access, mends=(FLAW,))}
    return world


@pytest.mark.parametrize("evidence", [(), ("pypa",), ("pypa", "ghsa")])
def test_attack_37_the_thiefs_word_is_not_asked_for(evidence: tuple[str, ...]) -> None:
    """Where the owner takes only the word of sources of advisories, the provider's moves nothing."""
    found = waiting_for_fixes(*evidence).plan()
    assert (did(found), refused(found)) == ([], ["version-rule"])


def test_attack_37_a_verifiers_word_is_what_moves_it() -> None:
    """By the very same rule the same release comes in once somebody of the owner's says that it mends
    what runs, by a source that is named; by another source it does not.
    """
    word = Grounds(mends={digest("2.0.2"): frozenset({("pypa", FLAW)})})
    assert did(waiting_for_fixes("pypa").plan(grounds=word)) == ["Transfer"]
    assert refused(waiting_for_fixes("ghsa").plan(grounds=word)) == ["version-rule"]


def test_attack_37_a_fix_that_needs_more_is_no_fix() -> None:
    """Even where the provider's word counts: what opens something new goes by no such rule."""
    assert did(waiting_for_fixes(PROVIDER).plan()) == ["Transfer"]
    found = waiting_for_fixes(PROVIDER, access=("network.outbound",)).plan()
    assert did(found) == []
    assert {"version-rule", "new-access"} <= set(refused(found))
