"""The update machine's table."""

from __future__ import annotations

import pytest

from allod.domain.machine import (
    BETWEEN,
    REST,
    TABLE,
    Effect,
    Event,
    IllegalTransitionError,
    State,
    as_markdown,
    step,
)


def test_every_row_is_what_step_answers() -> None:
    """`step` adds nothing to the table."""
    for (state, event), after in TABLE.items():
        assert step(state, event) == after


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_what_is_not_in_the_table_cannot_happen(state: State, event: Event) -> None:
    """An illegal transition raises; there is no default."""
    if (state, event) not in TABLE:
        with pytest.raises(IllegalTransitionError):
            step(state, event)


@pytest.mark.parametrize("state", [state for state in State if state not in REST])
def test_every_state_under_way_can_be_recovered(state: State) -> None:
    """A power cut in any state that the journal can hold has a row."""
    assert (state, Event.INTERRUPTED) in TABLE


@pytest.mark.parametrize("state", sorted(REST))
def test_states_of_rest_are_never_interrupted(state: State) -> None:
    """Nothing is under way in them, so the journal never holds them."""
    assert (state, Event.INTERRUPTED) not in TABLE


def test_every_state_is_reached_and_left() -> None:
    """No state is dead: each comes after something, and but for `active` and `failed` goes on."""
    reached = {after.state for after in TABLE.values()}
    left = {state for state, _ in TABLE}
    assert set(State) - reached == set()
    assert set(State) - left == {State.ACTIVE, State.FAILED}


def test_from_every_state_between_old_and_new_there_is_a_way_to_both_ends() -> None:
    """Old or new: `active` is reached from probation, and `failed` from all but the commit."""

    def ends(state: State) -> set[State]:
        seen, todo = {state}, [state]
        while todo:
            at = todo.pop()
            for (before, _), after in TABLE.items():
                if before is at and after.state not in seen:
                    seen.add(after.state)
                    todo.append(after.state)
        return seen & {State.ACTIVE, State.FAILED}

    for state in BETWEEN - {State.COMMITTING, State.REVERTING}:
        assert ends(state) == {State.ACTIVE, State.FAILED}
    assert ends(State.COMMITTING) == {State.ACTIVE}
    assert ends(State.REVERTING) == {State.FAILED}


def test_only_undo_leads_out_of_reverting_and_only_commit_to_active() -> None:
    """What runs is never called active before its commit, nor failed before its undo."""
    for after in TABLE.values():
        if after.state is State.REVERTING:
            assert after.effect is Effect.UNDO
        if after.state is State.COMMITTING:
            assert after.effect is Effect.COMMIT
    assert [key for key, after in TABLE.items() if after.state is State.ACTIVE] == [
        (State.COMMITTING, Event.COMMITTED)
    ]


def test_the_documentation_is_the_table() -> None:
    """One row a transition."""
    assert as_markdown().count("\n") == len(TABLE) + 2
