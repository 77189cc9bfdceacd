"""The controller's judgement against a naive model that recounts every device at every moment.

Never before the signed time; silence is no success; nothing opens after a halt; and counting by
differences comes to what counting everything comes to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.domain.ids import DeviceId
from allod.domain.rollout import Needs, Rollout, Stage, stage_of
from allod.domain.rollout_course import (
    Halt,
    Open,
    StageCount,
    Standing,
    Standpoint,
    Track,
    Word,
    heard,
    judge,
)

START = datetime(2026, 5, 1, tzinfo=UTC)
DEVICES = tuple(DeviceId(f"{number:064x}") for number in range(3))
HOUR = timedelta(hours=1)


@st.composite
def plans(draw: st.DrawFn) -> Rollout:
    """Stages that rise, with canaries or without."""
    count = draw(st.integers(1, 4))
    percents = sorted(draw(st.lists(st.sampled_from([0, 50, 100]), min_size=count, max_size=count)))
    hours = sorted(draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    canaries = draw(st.frozensets(st.sampled_from(DEVICES), max_size=2))
    stages = tuple(
        Stage(
            START + hours[number] * HOUR,
            percents[number],
            canaries if number == 0 else frozenset(),
            needs=Needs.SUCCESS if number and draw(st.booleans()) else Needs.TIME,
            bake_seconds=draw(st.sampled_from([0, 1800, 7200])),
            max_failed=draw(st.sampled_from([0.0, 20.0, 50.0])),
            max_silent=draw(st.sampled_from([0.0, 50.0, 100.0])),
            timeout_seconds=draw(st.sampled_from([1800, 14400])),
        )
        for number in range(count)
    )
    return Rollout("r", stages)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 90),  # minutes that pass before it
        st.sampled_from(DEVICES),
        st.sampled_from([Standing.SUCCEEDED, Standing.SUCCEEDED, *Standing]),
    ),
    max_size=40,
)


@dataclass
class Model:
    """Everything that was ever said, recounted whenever somebody asks."""

    plan: Rollout
    words: dict[DeviceId, list[Word]] = field(default_factory=dict)
    opened: dict[int, datetime] = field(default_factory=dict)

    def members(self, number: int) -> list[DeviceId]:
        return [one for one in DEVICES if stage_of(self.plan, one) == number]

    def newest(self, device: DeviceId) -> Standing:
        said = self.words.get(device, [])
        return said[-1].standing if said else Standing.UNDERWAY

    def ran_for(self, device: DeviceId) -> timedelta | None:
        """How long its last words in a row say that it runs; None: they do not."""
        row: list[Word] = []
        for word in reversed(self.words.get(device, [])):
            if word.standing is not Standing.SUCCEEDED:
                break
            row.append(word)
        return row[0].received - row[-1].received if row else None

    def lawful(self, number: int, now: datetime) -> bool:
        """Whether the plan allows that the stage opens now."""
        stage = self.plan.stages[number]
        if now < stage.at or (number and number - 1 not in self.opened):
            return False
        if number == 0:
            return True
        bake = timedelta(seconds=stage.bake_seconds)
        if now < self.opened[number - 1] + bake:
            return False
        past = [one for earlier in range(number) for one in self.members(earlier)]
        failed = [one for one in past if self.newest(one) is Standing.FAILED]
        if len(failed) * 100 > stage.max_failed * len(past):
            return False
        good = [
            one
            for one in past
            if (ran := self.ran_for(one)) is not None
            and (ran >= bake or stage_of(self.plan, one) != number - 1)
        ]
        unsure = len(past) - len(good) - len(failed)
        if unsure * 100 > stage.max_silent * len(past):
            return False
        return not (stage.needs is Needs.SUCCESS and not good)


def counts_of(model: Model, tracks: dict[DeviceId, Track], counts: list[StageCount]) -> None:
    """Counting by differences comes to what counting everything comes to."""
    for number, count in enumerate(counts):
        members = model.members(number)
        stand = [tracks.get(one, Track()) for one in members]
        assert count.devices == len(members)
        assert count.succeeded == sum(one.standing is Standing.SUCCEEDED for one in stand)
        assert count.failed == sum(one.standing is Standing.FAILED for one in stand)
        assert count.baked == sum(one.baked for one in stand)


@settings(max_examples=300, deadline=None)
@given(plans(), EVENTS)
def test_no_gate_opens_that_the_plan_does_not_allow(
    plan: Rollout, events: list[tuple[int, DeviceId, Standing]]
) -> None:
    """Whatever devices say, in whatever order: every opening is lawful in the naive model."""
    model, now = Model(plan), START
    counts = [StageCount() for _ in plan.stages]
    for device in DEVICES:
        number = stage_of(plan, device)
        if number is not None:
            counts[number].devices += 1
    tracks: dict[DeviceId, Track] = {}
    halted = False
    for minutes, device, standing in [*events, (0, DEVICES[0], Standing.UNDERWAY)]:
        now += timedelta(minutes=minutes)
        for _ in range(len(plan.stages) + 1):
            verdict = judge(plan, counts, Standpoint(now))
            halted = halted or isinstance(verdict, Halt)
            if halted or not isinstance(verdict, Open):
                break
            assert model.lawful(verdict.stage, now), (verdict, now)
            assert verdict.stage == len(model.opened), "in order, none left out"
            counts[verdict.stage].opened = model.opened[verdict.stage] = now
        number = stage_of(plan, device)
        if number is None or number not in model.opened:
            continue
        word = Word(standing, now, now)
        model.words.setdefault(device, []).append(word)
        bake = plan.stages[number + 1].bake_seconds if number + 1 < len(plan.stages) else 0
        before = tracks.get(device)
        tracks[device] = heard(before, word, timedelta(seconds=bake))
        counts[number].move(before, tracks[device])
        counts_of(model, tracks, counts)


@given(plans(), st.integers(0, 400))
def test_silence_opens_nothing_that_needs_success(plan: Rollout, hours: int) -> None:
    """If nobody ever says anything, only stages open whose plan asks for no more than the time."""
    now = START + hours * HOUR
    counts = [StageCount() for _ in plan.stages]
    for device in DEVICES:
        number = stage_of(plan, device)
        if number is not None:
            counts[number].devices += 1
    for _ in plan.stages:
        verdict = judge(plan, counts, Standpoint(now))
        if not isinstance(verdict, Open):
            break
        assert now >= plan.stages[verdict.stage].at
        assert plan.stages[verdict.stage].needs is Needs.TIME or verdict.stage == 0
        counts[verdict.stage].opened = now


@given(plans(), st.integers(1, 6))
def test_more_failures_never_open_more(plan: Rollout, more: int) -> None:
    """Where a stage opens with failures, it opens with fewer too."""
    now = START + 30 * HOUR
    few, many = ([StageCount() for _ in plan.stages] for _ in range(2))
    for counts, failed in ((few, 0), (many, more)):
        counts[0].opened = START
        counts[0].devices = 10
        counts[0].succeeded = counts[0].baked = 10 - failed
        counts[0].failed = failed
    if isinstance(judge(plan, many, Standpoint(now)), Open):
        assert isinstance(judge(plan, few, Standpoint(now)), Open)
