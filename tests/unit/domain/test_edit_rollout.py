"""Rollouts as edits: what begins one, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from allod.domain import edit, edit_rollout
from allod.domain.desired import (
    ConfigurationOrder,
    Level,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.ids import FleetId, ProviderName, Purl, Version, group_scope, parse_group, sha256
from allod.domain.rollout import Stage
from allod.errors import Conflict, InvalidInput

PACKAGE = Purl("pkg:generic/acme/toaster")
STAGES = (Stage(datetime(2026, 5, 1, tzinfo=UTC), 100),)
BLUE, RED = sha256(b"blue"), sha256(b"red")


def order(version: str) -> ReleaseOrder:
    return ReleaseOrder(
        ProviderName("acme"), Version(version), sha256(version.encode()), Level.ACTIVE
    )


@pytest.fixture
def first() -> StateDocument:
    """Toaster 1, blue."""
    scope = group_scope(parse_group("kitchen"))
    document = edit.deploy(edit.empty(FleetId("f" * 64), scope), PACKAGE, order("1"))
    return edit.configure(document, PACKAGE, BLUE)


def staged(before: StateDocument, after: StateDocument, name: str = "r1") -> StateDocument:
    return edit_rollout.stage(before, after, PACKAGE, name, STAGES)


def test_what_stood_before_stays_in_the_plan(first: StateDocument) -> None:
    """Only the half that changes is part of it; abort brings back exactly what was."""
    made = staged(first, edit.deploy(first, PACKAGE, order("2")))
    plan = made.packages[PACKAGE].rollout
    assert plan is not None
    assert plan.before == first.packages[PACKAGE].software
    assert plan.before_configuration is None
    assert edit_rollout.abort(made, "r1") == first
    finished = edit_rollout.finish(made, "r1")
    assert finished == edit.deploy(first, PACKAGE, order("2"))
    assert edit_rollout.rollouts_in(made).keys() == {"r1"}
    assert edit_rollout.abort(made, "r2") == edit_rollout.finish(made, "r2") == made


def test_a_configuration_is_rolled_out_alone(first: StateDocument) -> None:
    """And while that goes on, another is refused, not mixed in; another release ends it."""
    made = staged(first, edit.configure(first, PACKAGE, RED))
    plan = made.packages[PACKAGE].rollout
    assert plan is not None
    assert (plan.before, plan.before_configuration) == (None, ConfigurationOrder(digest=BLUE))
    with pytest.raises(Conflict, match="finish r1"):
        edit.configure(made, PACKAGE, None)
    assert edit_rollout.abort(made, "r1") == first


def test_one_rollout_at_a_time(first: StateDocument) -> None:
    """A second plan would leave devices between the two without a word; a plain order ends it."""
    made = staged(first, edit.deploy(first, PACKAGE, order("2")))
    third = edit.deploy(made, PACKAGE, order("3"))
    with pytest.raises(Conflict, match="r1 is open"):
        staged(made, third, "r2")
    assert third.packages[PACKAGE].rollout is None
    assert edit.delete(made, PACKAGE).packages[PACKAGE].rollout is None
    assert edit.delete(made, PACKAGE, Version("1")).packages[PACKAGE].rollout is None


def test_nothing_to_roll_out(first: StateDocument) -> None:
    """An order of what is there already makes no rollout."""
    with pytest.raises(InvalidInput, match="it is so already"):
        staged(first, edit.deploy(first, PACKAGE, order("1")))


def test_before_the_first_release_there_is_none(first: StateDocument) -> None:
    """Where the scope wanted nothing of it, nothing is wanted until the stage comes."""
    empty = replace(first, packages={})
    plan = staged(empty, edit.deploy(empty, PACKAGE, order("1"))).packages[PACKAGE].rollout
    assert plan is not None
    assert plan.before == Software()
