"""Attack 17: a release that was withdrawn is still offered, or waits for a restart."""

from __future__ import annotations

from tests.unit.domain.plan_world import (
    Armed,
    Level,
    When,
    World,
    did,
    digest,
    document,
    entry,
    followed,
    handed,
    only,
    order,
    refused,
)
from tests.unit.domain.term_facts import TOASTER

from allod.domain.actions import Activate

GONE = {digest("2.0.2"): "it burns bread"}
STAGED = {"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED}


def test_attack_17_a_withdrawn_release_comes_no_further() -> None:
    """Whoever orders it, and however far it came: not fetched, not installed, not activated."""
    owners = World().owns(document({TOASTER: entry(order("2.0.2"))}))
    levels = (None, Level.TRANSFERRED, Level.INSTALLED)
    for world in (owners, handed(), followed()):
        for level in levels:
            held = {"2.0.1": Level.INSTALLED} | ({} if level is None else {"2.0.2": level})
            for unknown in (frozenset[str](), frozenset({"2.0.2"})):
                found = world.plan(held=held, withdrawn=GONE, unknown=unknown)
                assert (did(found), refused(found)) == ([], ["withdrawn"])


def test_attack_17_what_waits_for_a_restart_is_taken_back() -> None:
    """Before the restart, and where it took place already."""
    world = World().owns(document({TOASTER: entry(order("2.0.2", when=When.RESTART))}))
    done = only(world.plan(held=STAGED))
    assert isinstance(done, Activate)
    world.armed = Armed(done.members[0].attempt, "boot 1", (TOASTER,))
    for boot in ("boot 1", "boot 2"):
        found = world.plan(boot=boot, withdrawn=GONE)
        assert (did(found), refused(found)) == (["Cancel"], ["withdrawn"])


def test_attack_17_what_runs_is_not_removed() -> None:
    """A withdrawal stops what comes; what runs is for the owner to decide."""
    world = World().owns(document({TOASTER: entry(order("2.0.2"))}))
    found = world.plan(held=STAGED, running="2.0.2", withdrawn=GONE)
    assert did(found) == ["Delete"]
    assert digest("2.0.2") not in {one.digest for one in found.actions if hasattr(one, "digest")}
    assert refused(found) == []
