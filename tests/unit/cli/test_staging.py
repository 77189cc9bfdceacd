"""The options of a rollout: which plan they make, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from allod.cli.staging import STAGING, Staging
from allod.domain.ids import DeviceId, group_scope, parse_group
from allod.domain.reported import Member
from allod.domain.rollout import Needs
from allod.errors import InvalidInput

NOW = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=UTC)
KITCHEN = parse_group("kitchen")
HALL = Member(DeviceId("a" * 64), 1, (KITCHEN,), label="hall")
SHED = Member(DeviceId("b" * 64), 1, (parse_group("garden"),), label="shed")


def plan(**options: Any) -> tuple[Any, ...]:
    picture: Any = SimpleNamespace(now=NOW, devices=(HALL, SHED))
    return Staging(**options).plan(picture, group_scope(KITCHEN))


def test_canaries_come_first_and_every_later_stage_needs_them() -> None:
    """Times, percentages and thresholds as they were given; times are whole seconds."""
    first, second, third = plan(
        canary=("hall",), stages="25,100", every="12h", bake="30m", max_failed=1.5
    )
    assert (first.canaries, first.percent, first.needs) == ({HALL.device}, 0, Needs.TIME)
    assert first.at == NOW.replace(microsecond=0)
    assert [one.percent for one in (second, third)] == [25, 100]
    assert {one.needs for one in (second, third)} == {Needs.SUCCESS}
    assert third.at - first.at == timedelta(hours=24)
    assert (second.bake_seconds, second.max_failed, second.max_silent) == (1800, 1.5, 10)
    assert not second.canaries


def test_without_canaries_time_and_thresholds_decide() -> None:
    """There is nobody whose success could be proved."""
    stages = plan(stages="5,100", start="+2h")
    assert {one.needs for one in stages} == {Needs.TIME}
    assert stages[0].at == (NOW + timedelta(hours=2)).replace(microsecond=0)


@pytest.mark.parametrize(
    "options",
    [
        {"stages": "50,5"},
        {"stages": "0,100"},
        {"stages": "five"},
        {"stages": "101"},
        {"stages": "5,5"},
        {"stages": "nan"},
        {"stages": "5", "max_failed": 101.0},
        {"stages": "5", "retries": 21},
        {"bake": "2h"},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Before anything is fetched or signed."""
    with pytest.raises(InvalidInput) as caught:
        Staging(**options).check()
    assert caught.value.code == "bad-arguments"


def test_a_canary_is_a_device_of_the_scope() -> None:
    """Another would never get it, and the rollout would wait for it in vain."""
    with pytest.raises(InvalidInput) as caught:
        plan(canary=("shed",))
    assert caught.value.code == "not-in-scope"
    STAGING.check()
    assert not STAGING.wanted
