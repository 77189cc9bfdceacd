"""Attack 29: two delegates say the opposite of one package."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.domain.plan_world import (
    World,
    delegation,
    document,
    entry,
    managed,
    order,
    ordering,
)
from tests.unit.domain.term_facts import HOUSE, KITCHEN, TOASTER

from allod.domain.desired import Software, StateDocument
from allod.domain.resolution import ResolvedSoftware

NAMES = ("ops", "acme", "initech")
VERSIONS = ("2.0.0", "2.0.2", "3.0.0")
BOTH = frozenset({KITCHEN, HOUSE})


@settings(max_examples=100)
@given(
    managers=st.lists(st.sampled_from([*NAMES, None]), min_size=2, max_size=2),
    said=st.dictionaries(
        st.sampled_from(NAMES), st.tuples(st.sampled_from(VERSIONS), st.booleans())
    ),
    shuffle=st.randoms(use_true_random=False),
)
def test_attack_29_only_the_word_of_who_manages_counts(
    managers: list[str | None], said: dict[str, tuple[str, bool]], shuffle: Any
) -> None:
    """In the first scope that names the package, for that scope; in whatever order they come."""
    words = [
        ordering(
            delegation(name, scopes=BOTH, packages=(TOASTER,)),
            {TOASTER: entry(order(version), change=name)},
            KITCHEN if kitchen else HOUSE,
        )
        for name, (version, kitchen) in said.items()
    ]
    plans = []
    for _ in range(2):
        shuffle.shuffle(words)
        world = World().delegates_to(*words)
        for scope, manager in zip((KITCHEN, HOUSE), managers, strict=True):
            packages = {} if manager is None else {TOASTER: managed(manager)}
            world.owns(document(packages, scope))
        plans.append((world.plan(), world.resolved))
    assert plans[0] == plans[1]
    deciding = next(
        ((one, at) for one, at in zip(managers, (True, False), strict=True) if one), None
    )
    found = plans[0][1].packages[TOASTER].software
    if deciding is None:
        assert found.scope is None
        return
    manager, kitchen = deciding
    has_word = manager in said and said[manager][1] is kitchen
    assert isinstance(found, ResolvedSoftware) is has_word
    if isinstance(found, ResolvedSoftware):
        assert (found.manager, found.active) == (manager, order(said[manager][0]))


def test_attack_29_the_owners_own_list_is_contradicted_by_nobody() -> None:
    """Delegates that were never asked change nothing."""
    mine = StateDocument("f" * 64, KITCHEN, {TOASTER: entry(order("2.0.1"))})  # type: ignore[arg-type]
    words = [
        ordering(delegation(name), {TOASTER: entry(order(version), change=name)})
        for name, version in zip(NAMES, VERSIONS, strict=True)
    ]
    with_them = World().owns(mine).delegates_to(*words)
    assert with_them.plan() == World().owns(mine).plan()
    assert with_them.resolved.packages[TOASTER].software.manager == Software().manager
