"""What a verified report says of a rollout: success only of what really runs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from allod.domain.desired import Software
from allod.domain.overview_words import RANK
from allod.domain.rollout_course import Standing, Word
from allod.errors import InvalidInput
from allod.server.services.rollout_plans import OpenRollout
from allod.wire.codec import parse_instant
from allod.wire.report import ChangeReport, PackageReport, Report

_ACTIVE: Final = "active"
_BEGINS: Final = frozenset({"activated", "configured"})
_WHY: Final = 200  #: characters that are kept of a device's own words


def word_of(rollout: OpenRollout, report: Report, received: datetime) -> Word:
    """The word of one report; what it leaves out is no success."""
    package = next((one for one in report.packages if one.package == rollout.package), None)
    changes = [one for one in report.changes if one.package == rollout.package]
    at = parse_instant(report.at)
    why = _failure(rollout, package, changes, report)
    if why:
        return Word(Standing.FAILED, at, received, why=why[:_WHY])
    if not _runs(rollout, package):
        return Word(Standing.UNDERWAY, at, received)
    try:
        activated = _activated(rollout, changes)
    except InvalidInput:  # a device's own rubbish, where a time belongs, proves nothing
        return Word(Standing.UNDERWAY, at, received)
    return Word(Standing.SUCCEEDED, at, received, activated)


def _failure(
    rollout: OpenRollout,
    package: PackageReport | None,
    changes: list[ChangeReport],
    report: Report,
) -> str:
    """Why it failed there; empty: it did not."""
    wanted = _digests(rollout)
    if package is not None and wanted & set(package.failed):
        return next((one.why for one in reversed(changes) if one.why), "it failed")
    runs = _runs(rollout, package)
    for change in reversed(changes):
        ours = change.after in wanted or rollout.plan.before_configuration is not None
        if change.outcome != "done" and ours:
            if not runs and not rollout.plan.retries:
                return change.why or change.outcome
            break
    refused = [one for one in report.refusals if one.subject == rollout.package]
    if refused and not runs:
        return f"refused: {refused[0].code}"
    ill = package is not None and package.healthy is False and _active(package) in wanted
    return "it runs and is not healthy" if ill else ""


def _digests(rollout: OpenRollout) -> set[str]:
    """What a failure of the rollout names."""
    software = rollout.software
    found: set[str] = set() if software is None else {one.digest for one in software.releases}
    if rollout.plan.before is not None and rollout.plan.before.releases:
        found -= {one.digest for one in rollout.plan.before.releases}
        if rollout.digest is not None:
            found.add(rollout.digest)
    configuration = rollout.after.configuration
    if rollout.plan.before_configuration is not None and configuration is not None:
        found.update(filter(None, [configuration.digest]))
    return found


def _active(package: PackageReport) -> str | None:
    return next((one.digest for one in package.releases if one.level == _ACTIVE), None)


def _runs(rollout: OpenRollout, package: PackageReport | None) -> bool:
    """Whether what comes after holds there whole, as the device itself measures it."""
    if rollout.software is not None and not _software_there(rollout.software, package):
        return False
    if package is None:
        return rollout.plan.before_configuration is None
    order = rollout.after.configuration
    own = rollout.plan.before_configuration is not None
    if order is not None and (own or order.digest is not None):
        measured = package.configuration.measured
        if package.configuration.digest != order.digest or (measured and not measured.ok):
            return False
    return package.healthy is not False


def _software_there(software: Software, package: PackageReport | None) -> bool:
    """Whether every release is as far as it is wanted, and nothing else runs."""
    has = {one.digest: one for one in (package.releases if package is not None else ())}
    for order in software.releases:
        held = has.get(order.digest)
        if held is None or RANK[order.level] > _RANKS[held.level]:
            return False
        if order.level == _ACTIVE and held.measured is not None and not held.measured.ok:
            return False
    if not software.releases:
        return not has
    wanted = None if software.active is None else software.active.digest
    return package is None or _active(package) == wanted


_RANKS: Final = {str(level): rank for level, rank in RANK.items()}


def _activated(rollout: OpenRollout, changes: list[ChangeReport]) -> datetime | None:
    """When what comes after began to run, where the report tells."""
    wanted = _digests(rollout)
    times = [one.at for one in changes if one.what in _BEGINS and one.after in wanted]
    return parse_instant(times[-1]) if times else None
