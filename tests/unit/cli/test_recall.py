"""What a recall says before it is signed: where the release runs on, and where it is replaced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.unit.domain.plan_world import digest
from tests.unit.domain.term_facts import KITCHEN, TOASTER
from tests.unit.domain.test_foresight import member

from allod.cli.recall import met


def told(*scopes: Any) -> list[str]:
    """The lines about 2.0.1, which a device of the kitchen runs, with 2.0.2 in its place there."""
    base = SimpleNamespace(states={}, delegated={}, delegations={})
    picture: Any = SimpleNamespace(devices=(member(0),), base=base)
    found: Any = SimpleNamespace(digest=digest("2.0.1"), package=TOASTER)
    return list(met(picture, found, SimpleNamespace(version="2.0.2"), frozenset(scopes)))  # type: ignore[arg-type]


def test_a_replacement_is_promised_only_where_it_comes() -> None:
    """Where no document of the owner wants the recalled release, nothing takes its place."""
    (there,) = told(KITCHEN)
    assert "until 2.0.2 takes its place, on 1" in there
    (elsewhere,) = told()
    assert "until" not in elsewhere
    assert "no document of yours wants it there" in elsewhere
