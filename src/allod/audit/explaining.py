"""What ran on a device, since when and why, out of the reports that it signed.

Times are the device's own word; order is that of its reports. What no report says is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from allod.errors import AllodError
from allod.trust.report import SignedReport
from allod.wire.codec import parse_instant
from allod.wire.report import (
    Authority,
    ChangeReport,
    PackageReport,
    Pending,
    Refusal,
    ReleaseOnDevice,
    Report,
)

_RUNS = {"activated": True, "deactivated": False}


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the package, and in which report the device said so."""

    change: ChangeReport
    report: int

    @property
    def authority(self) -> Authority | None:
        """Under which document it was done."""
        return self.change.authority


@dataclass(frozen=True, slots=True)
class Declined:
    """Something that the device was told on the way and did not do."""

    refusal: Refusal
    first: int  #: report in which it was said first
    last: int


@dataclass(slots=True)
class Story:
    """A package on a device at a moment.

    Attributes:
        known: whether any report up to then speaks of the package at all.
        running: digest of the release that runs; None: none does.
        release: as the device names it.
        configuration: digest of the configuration in force; None: the default, or not said.
        said: the report that speaks last, and what it says of the time.
        since: the change by which it runs; None: it ran before the first report that is kept.
        configured: the change by which its configuration is in force, if it is another one.
        steps: every change of the package up to then, oldest first.
        failed: those between the last release and this one that failed or went back.
        refused: what was refused on the way to it.
        pending: what the device was about to do.
        now: refusals in the report that speaks last.
    """

    known: bool = False
    running: str | None = None
    release: ReleaseOnDevice | None = None
    configuration: str | None = None
    said: tuple[int, str] | None = None
    since: Step | None = None
    configured: Step | None = None
    steps: list[Step] = field(default_factory=list)
    failed: list[Step] = field(default_factory=list)
    refused: list[Declined] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    now: list[Refusal] = field(default_factory=list)


def tell(
    reports: Sequence[SignedReport],
    package: str,
    subjects: frozenset[str],
    at: datetime | None = None,
) -> Story:
    """What the reports of a device say of a package.

    Args:
        reports: verified, of one binding, in the order of their numbers.
        package: which.
        subjects: whose refusals concern it: the package, and the documents that speak of it.
        at: the moment; None: as of the last report.
    """
    story = Story()
    named = {one.digest: one for report in reports for one in _releases(report.report, package)}
    for signed in reports:
        if not _take(story, signed.report, package, at):
            break
    story.release = None if story.running is None else named.get(story.running)
    _trace(story)
    _on_the_way(story, [one.report for one in reports], subjects)
    return story


def _take(story: Story, report: Report, package: str, at: datetime | None) -> bool:
    """Take a report, as far as it is of the time; whether later ones can be."""
    changes = [change for change in report.changes if change.package == package]
    past = [change for change in changes if not _after(change.at, at)]
    for change in past:
        story.known = True
        story.steps.append(Step(change, report.sequence))
        _apply(story, change)
    if _after(report.at, at):
        # Changes are reported after they were made; these were made in time.
        return bool(past)
    story.said = (report.sequence, report.at)
    entry = next((one for one in report.packages if one.package == package), None)
    story.pending = [] if entry is None else list(entry.pending)
    story.now = list(report.refusals)
    if entry is not None:
        story.known = True
        story.running = _active(entry)
        story.configuration = entry.configuration.digest if story.running is not None else None
    elif story.known:
        story.running = story.configuration = None  # it is not there any more
    return True


def _apply(story: Story, change: ChangeReport) -> None:
    if change.outcome != "done":
        return
    if change.what in _RUNS:
        story.running = change.after if _RUNS[change.what] else None
    elif change.what == "configured":
        story.configuration = change.after


def _trace(story: Story) -> None:
    """Since when: the last change that made run what runs, with nothing else after it."""
    for step in reversed(story.steps):
        change = step.change
        if change.outcome != "done" or change.what not in {*_RUNS, "configured"}:
            continue
        if change.what == "configured":
            story.configured = story.configured or step
            continue
        if change.after == story.running:
            story.since = step
        break


def _on_the_way(story: Story, reports: Sequence[Report], subjects: frozenset[str]) -> None:
    """What was refused or failed between the release before and this one."""
    end = story.since.report if story.since is not None else _last(story)
    before = [
        step
        for step in story.steps
        if step is not story.since and step.change.what in _RUNS and step.change.outcome == "done"
    ]
    begin = max((step.report for step in before if step.report <= end), default=0)
    story.failed = [
        step for step in story.steps if step.change.outcome != "done" and begin <= step.report
    ]
    found: dict[tuple[str, str], Declined] = {}
    for report in reports:
        if not begin <= report.sequence < end:
            continue
        for refusal in report.refusals:
            if refusal.subject in subjects:
                key = (refusal.code, refusal.subject)
                first = found[key].first if key in found else report.sequence
                found[key] = Declined(refusal, first, report.sequence)
    story.refused = list(found.values())


def _last(story: Story) -> int:
    said = 0 if story.said is None else story.said[0]
    return max([said, *(step.report for step in story.steps)])


def _releases(report: Report, package: str) -> Iterator[ReleaseOnDevice]:
    for one in report.packages:
        if one.package == package:
            yield from one.releases


def _active(entry: PackageReport) -> str | None:
    return next((one.digest for one in entry.releases if one.level == "active"), None)


def _after(text: str, at: datetime | None) -> bool:
    """Whether what the device calls this time is after the moment."""
    if at is None:
        return False
    try:
        return parse_instant(text) > at
    except AllodError:
        return False
