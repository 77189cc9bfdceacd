"""Whole fleets by seed: in none does a device make a change that the terms in force did not allow."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from allod.testing.fleet import play_alone
from allod.testing.fleet_oracle import Oracle
from allod.testing.fleet_scenes import begin
from allod.testing.fleet_watch import PACKAGES, Watcher
from allod.testing.fleet_world import FleetWorld

QUICK = 12  #: seeds of the default suite
ALL = 1_000
CHUNK = 20  #: seeds of one test, so that workers can share them


def lawful(seeds: range) -> dict[str, int]:
    """Play them all; how many changes of each kind were made, all of them lawful."""
    made: dict[str, int] = {}
    for seed in seeds:
        played = play_alone(seed)
        assert not played.violations, f"seed {seed}: {played.violations[:3]}"
        for kind, count in played.made.items():
            made[kind] = made.get(kind, 0) + count
    return made


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    """What devices refuse is in the trace."""
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, QUICK, 3))
def test_a_few_fleets_do_nothing_unlawful(first: int) -> None:
    """Thirty seeds, and they do enough to be worth the name."""
    made = lawful(range(first, first + 3))
    assert made["activated"] > 4
    assert made["transferred"] > 4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(QUICK, ALL, CHUNK))
def test_a_thousand_fleets_do_nothing_unlawful(first: int) -> None:
    """The thousand seeds, in parts."""
    lawful(range(first, min(first + CHUNK, ALL)))


def test_a_seed_replays_exactly() -> None:
    """The same seed gives the same trace, line by line; another gives another."""
    one, again, other = play_alone(11), play_alone(11), play_alone(12)
    assert one.trace == again.trace
    assert one.digest == again.digest != other.digest


@pytest.mark.parametrize(("fails", "blamed"), [(True, 0), (False, 1)])
def test_what_a_failing_run_takes_back_is_no_deletion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool, blamed: int
) -> None:
    """Staging that failed after it took effect is undone; without a fault it would be a deletion."""
    world = FleetWorld(0, tmp_path)
    watcher = Watcher(world)
    begin(watcher)
    name, member = next((n, m) for n, m in world.members.items() if m.memory.known is not None)
    monkeypatch.setattr(Oracle, "may_have", lambda *_: [])
    monkeypatch.setattr(Oracle, "may_delete", lambda *_: ["wanted"])
    monkeypatch.setattr(type(member.device), "runs", lambda _: {})
    monkeypatch.setattr(Watcher, "_stopped", lambda *_: None)
    if fails:
        watcher._rough.add(name)
    watcher._told(name, "installed", PACKAGES[0], "sha256:new")
    watcher._told(name, "removed", PACKAGES[0], "sha256:new")
    assert len(watcher.violations) == blamed
