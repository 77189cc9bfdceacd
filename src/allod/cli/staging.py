"""Options of a rollout, and the plan that they make."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from allod.cli.phrases import parse_moment, parse_span
from allod.cli.scopes import find_device, touched
from allod.domain import edit_rollout
from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import DeviceId, Purl, Scope, package_name
from allod.domain.reported import Member
from allod.domain.resolution import Unresolved, resolve
from allod.domain.rollout import Needs, Stage, stage_of
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.cli.picture import Picture

_WHOLE: Final = 100.0
_STAGES: Final = 64
_RETRIES: Final = 20


@Parameter(name="*")
@dataclass(frozen=True)
class Staging:
    """How a change comes to devices stage by stage; without these options it comes to all at once.

    Args:
        canary: A device that has it first; several times. Each later stage needs its success.
        stages: Percentages of the devices, like 5,25,100.
        every: Time between two stages, at the least.
        start: When the first stage opens, like +2h or '2026-05-01 02:00'; at once unless given.
        bake: For how long a stage has to run well before the next opens.
        max_failed: Percent of the devices of earlier stages that may fail; more halt it.
        max_silent: Percent of them that may say nothing.
        silent_after: When a device that said nothing counts as silent.
        retries: How often a device tries again what failed there.
    """

    canary: tuple[str, ...] = ()
    stages: str | None = None
    every: str = "24h"
    start: str | None = None
    bake: str = "1h"
    max_failed: float = 2.0
    max_silent: float = 10.0
    silent_after: str = "24h"
    retries: Annotated[int, Parameter(show_default=False)] = 0

    @property
    def wanted(self) -> bool:
        """Whether there is to be a rollout at all."""
        return bool(self.canary) or self.stages is not None

    def check(self) -> None:
        """Raises InvalidInput `bad-arguments`."""
        self._percents()
        shares = (self.max_failed, self.max_silent)
        if not all(0 <= one <= _WHOLE for one in shares) or not 0 <= self.retries <= _RETRIES:
            raise _bad(f"percentages are 0 to 100, and at most {_RETRIES} retries")
        if not self.wanted and self != STAGING:
            raise _bad("say who comes first: --canary NAME, or --stages 5,25,100")

    def plan(self, picture: Picture, scope: Scope) -> tuple[Stage, ...]:
        """The stages. Raises InvalidInput."""
        first = picture.now if self.start is None else parse_moment(self.start, picture.now)
        first = first.replace(microsecond=0)
        every = parse_span(self.every)
        canaries = frozenset(_canary(picture, scope, one) for one in self.canary)
        percents = ([0.0] if canaries else []) + self._percents()
        return tuple(
            Stage(
                first + number * every,
                percent,
                canaries if number == 0 else frozenset(),
                needs=Needs.SUCCESS if canaries and number else Needs.TIME,
                bake_seconds=_seconds(self.bake) if number else 0,
                max_failed=self.max_failed,
                max_silent=self.max_silent,
                timeout_seconds=max(1, _seconds(self.silent_after)),
            )
            for number, percent in enumerate(percents)
        )

    def _percents(self) -> list[float]:
        try:
            found = [float(one) for one in (self.stages or "100").split(",")]
        except ValueError as error:
            raise _bad(f"{self.stages!r} are no percentages like 5,25,100") from error
        rising = all(a < b for a, b in itertools.pairwise(found))
        if not rising or not all(0 < one <= _WHOLE for one in found) or len(found) >= _STAGES:
            raise _bad("percentages rise, and are more than 0 and at most 100")
        return found


STAGING: Final = Staging()


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-arguments", f"cannot plan the rollout: {why}")


def _seconds(text: str) -> int:
    return int(parse_span(text) / timedelta(seconds=1))


def _canary(picture: Picture, scope: Scope, name: str) -> DeviceId:
    """A device of the scope by its label or the beginning of its id."""
    device = find_device(name, picture.devices).device
    if all(one.device != device for one in touched(scope, picture.devices)):
        raise InvalidInput(
            "not-in-scope", f"cannot let {name} go first: it is no device of {scope}"
        )
    return device


def staged(
    picture: Picture,
    before: StateDocument,
    after: StateDocument,
    package: Purl,
    staging: Staging,
) -> tuple[StateDocument, tuple[str, ...]]:
    """The document with the plan in its entry, and what is to be said of it.

    Raises:
        InvalidInput: `not-in-scope`, `nothing-before`, `nothing-to-roll-out`.
        Conflict: `rollout-open`.
    """
    if not staging.wanted:
        return after, ()
    _check_before(picture, before, after, package)
    stages = staging.plan(picture, before.scope)
    name = f"r{stages[0].at:%Y%m%d-%H%M}-{secrets.token_hex(3)}"
    made = edit_rollout.stage(before, after, package, name, stages, staging.retries)
    return made, tuple(_stage_lines(picture, made, package))


def _check_before(
    picture: Picture, before: StateDocument, after: StateDocument, package: Purl
) -> None:
    """What a scope said nothing of cannot hold there meanwhile, if devices have it from elsewhere.

    Raises:
        InvalidInput: `nothing-before`.
    """
    was = before.packages.get(package, PackageEntry())
    entry = after.packages[package]
    for half in ("software", "configuration"):
        if getattr(was, half) is not None or getattr(entry, half) is None:
            continue
        for member in touched(before.scope, picture.devices):
            if _has(picture, member, package, half):
                raise InvalidInput(
                    "nothing-before",
                    f"cannot roll out the {half} of {package_name(package)} in {before.scope}: "
                    f"{member.shown} has one by another word, and would lose it until its stage; "
                    f"let {before.scope} want what it has first",
                )


def _has(picture: Picture, member: Member, package: Purl, half: str) -> bool:
    """Whether a device has it, or another document wants it there."""
    actual = None if member.actual is None else member.actual.packages.get(package)
    if actual is not None and (half == "software" or actual.configuration is not None):
        return True
    found = resolve(member.scopes, picture.members.documents()).packages.get(package)
    return found is not None and not isinstance(getattr(found, half), Unresolved)


def _stage_lines(picture: Picture, document: StateDocument, package: Purl) -> Iterator[str]:
    """How many of the devices that are known come in which stage."""
    plan = document.packages[package].rollout
    if plan is None:
        return
    members = [one for one in touched(document.scope, picture.devices) if not one.retired]
    places = [stage_of(plan, one.device) for one in members]
    for number, stage in enumerate(plan.stages):
        yield f"Stage {number}: {_devices(places.count(number))}, from {_moment(stage.at)}."
    if left := places.count(None):
        yield f"! {_devices(left)} {'is' if left == 1 else 'are'} in no stage: the plan ends below 100 %."


def _devices(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
