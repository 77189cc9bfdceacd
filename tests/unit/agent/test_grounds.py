"""What terms are judged by: kept within bounds, never loosened by what is lost or mixed up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture

from allod.agent.grounds import (
    DEVICE,
    MAX_ACTIVATED,
    MAX_ANSWERS,
    MAX_ROLLOUTS,
    MAX_SEEN,
    Beat,
    GroundsStore,
)
from allod.domain.ids import Digest, Purl, sha256

NOW = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
TOASTER = Purl("pkg:generic/acme/toaster")
BUTLER = Purl("pkg:generic/acme/butler")


def digest(number: int) -> Digest:
    """One of many releases."""
    return sha256(str(number).encode())


def later(seconds: float) -> datetime:
    """Some time after now."""
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def store(tmp_path: Path) -> GroundsStore:
    """An empty one."""
    (tmp_path / "grounds").mkdir()
    return GroundsStore(tmp_path / "grounds")


def test_what_is_wanted_is_never_forgotten_as_seen(store: GroundsStore) -> None:
    """A flood of releases pushes out older ones, but not the one that is ordered all along."""
    ordered = digest(0)
    for number in range(3 * MAX_SEEN):
        store.see(TOASTER, {ordered, digest(number + 1)}, later(number))
    seen = store.of(TOASTER, {"ops"}, later(1000)).seen
    assert seen[ordered] == NOW
    assert len(seen) <= MAX_SEEN + 2
    store.see(TOASTER, {digest(1)}, later(2000))
    assert store.of(TOASTER, {"ops"}, later(2000)).seen[digest(1)] == later(2000)


def test_as_many_changes_are_kept_as_a_rate_can_count(store: GroundsStore) -> None:
    """Of each manager by itself: one that changes much makes room for nobody else."""
    store.activate(TOASTER, "first", {"ops"}, NOW)
    for number in range(MAX_ACTIVATED + 5):
        store.activate(TOASTER, number, {"owner"}, later(number))
    assert store.of(TOASTER, {"ops"}, later(9)).activated == (NOW,)
    assert len(store.of(TOASTER, {"owner"}, later(9)).activated) == MAX_ACTIVATED


def test_the_same_change_is_counted_once(store: GroundsStore) -> None:
    """Whoever goes on after a cut counts it again under the same number."""
    for _ in range(3):
        store.activate(TOASTER, 7, {"ops"}, NOW)
    assert len(store.of(TOASTER, {"ops"}, NOW).activated) == 1


def test_answers_and_rollouts_are_bounded(store: GroundsStore) -> None:
    """The newest are kept."""
    for number in range(2 * MAX_ANSWERS):
        store.answer(TOASTER, f"attempt-{number}", agrees=True, now=later(number))
    known = store.of(TOASTER, {"ops"}, NOW).consent
    assert len(known) == MAX_ANSWERS
    assert f"attempt-{2 * MAX_ANSWERS - 1}" in known
    for number in range(2 * MAX_ROLLOUTS):
        store.arrive({f"plan-{number}", "kept"}, later(number))
    came = store.came(NOW)
    assert len(came) <= MAX_ROLLOUTS + 2
    assert "kept" in came


def test_another_packages_file_is_none(tmp_path: Path) -> None:
    """Whoever mixes files up by name gains nothing: it counts as damaged."""
    (tmp_path / "grounds").mkdir()
    store = GroundsStore(tmp_path / "grounds")
    store.answer(BUTLER, "attempt", agrees=True, now=NOW)
    for number in (1, 2):
        found = (tmp_path / "grounds" / f"generic~acme~butler.{number}").read_bytes()
        (tmp_path / "grounds" / f"generic~acme~toaster.{number}").write_bytes(found)
    again = GroundsStore(tmp_path / "grounds")
    known = again.of(TOASTER, {"ops"}, NOW)
    assert known.consent == {}
    assert len(known.activated) == MAX_ACTIVATED
    assert again.damaged == {TOASTER}


def test_what_is_lost_is_lost_since_then_for_good(tmp_path: Path) -> None:
    """The budget is used up as of the moment at which the loss was found, not again at each start."""
    (tmp_path / "grounds").mkdir()
    for moment in (NOW, later(3600)):
        known = GroundsStore(tmp_path / "grounds", lambda _: True).of(TOASTER, {"ops"}, moment)
        assert set(known.activated) == {NOW}
    assert GroundsStore(tmp_path / "grounds").of(DEVICE, {"ops"}, NOW).activated == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(["pass", "set", "boot"]), st.integers(0, 200_000)), max_size=12
    )
)
@settings(max_examples=60, deadline=None)
def test_age_is_never_more_than_the_time_that_passed(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]
) -> None:
    """However often the clock is set forward, and wherever the machine restarts with a look in
    between: what the store says is known for so long was known for so long, but for the minute
    of each boot by which clocks may part unnoticed.
    """
    place = tmp_path_factory.mktemp("grounds")
    boots, ticks, now, passed = 1, 100.0, NOW, 0.0

    def age() -> float:
        store = GroundsStore(place, beat=lambda: Beat(f"boot-{boots}", ticks))
        store.see(TOASTER, {digest(1)}, now)
        seen = store.of(TOASTER, {"ops"}, now).seen[digest(1)]
        return (now - seen).total_seconds()

    age()
    for move, seconds in moves:
        if move == "boot":
            boots, ticks = boots + 1, 0.0
        else:
            now += timedelta(seconds=seconds)
        if move == "pass":
            ticks += seconds
            passed += seconds
        assert passed <= age() <= passed + 62 * boots
