"""What runs, since when, and what was refused on the way, out of a device's own reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.trust.reports import report

from allod.audit.explaining import Story, tell
from allod.trust.report import SignedReport
from allod.wire.codec import instant
from allod.wire.report import (
    Authority,
    ChangeReport,
    ConfigurationOnDevice,
    PackageReport,
    Refusal,
    ReleaseOnDevice,
)

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOASTER = "pkg:generic/toaster"
SUBJECTS = frozenset({TOASTER, "state/groups/kitchen.json"})


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def change(minute: float, what: str, after: str | None, before: str | None = None, **more: Any):
    authority = Authority(
        document="state/groups/kitchen.json", digest="d", role="targets", version=int(minute)
    )
    return ChangeReport(
        at=instant(at(minute)), package=TOASTER, what=what, before=before, after=after,
        authority=authority, **more,
    )  # fmt: skip


def said(
    sequence: int,
    minute: float,
    active: str | None,
    *changes: ChangeReport,
    refused: str = "",
    subject: str = TOASTER,
    configuration: str | None = None,
) -> SignedReport:
    releases = [ReleaseOnDevice(provider="me", version=f"v{active}", digest=active, level="active")]
    package = PackageReport(
        package=TOASTER,
        state="active",
        releases=releases if active is not None else [],  # type: ignore[arg-type]
        configuration=ConfigurationOnDevice(digest=configuration),
    )
    refusals = [Refusal(code=refused, reasons=["no"], subject=subject)] if refused else []
    made = report(
        sequence, at=instant(at(minute)), packages=[package], changes=list(changes),
        refusals=refusals,
    )  # fmt: skip
    return SignedReport(made, f"sha256:{sequence}")


LIFE = [
    said(1, 0, None),
    said(2, 10, "A", change(9, "activated", "A")),
    said(3, 20, "A", refused="access-not-accepted"),
    said(4, 25, "A", refused="access-not-accepted"),
    said(5, 30, "A", change(29, "reverted", "B", "A", outcome="reverted"), refused="failed"),
    said(6, 35, "A", refused="no-quorum", subject="fleet"),
    said(7, 40, "C", change(39, "activated", "C", "A")),
    said(8, 50, "C", change(49, "configured", "X"), configuration="X"),
]


def story(minute: float | None = None) -> Story:
    return tell(LIFE, TOASTER, SUBJECTS, None if minute is None else at(minute))


def test_what_runs_now_and_since_when() -> None:
    """Release, configuration, the change that made each, and its authority."""
    found = story()
    assert (found.running, found.configuration) == ("C", "X")
    assert found.release is not None
    assert found.release.version == "vC"
    assert found.since is not None
    assert (found.since.report, found.since.change.at) == (7, instant(at(39)))
    assert found.since.authority is not None
    assert found.since.authority.version == 39
    assert found.configured is not None
    assert found.configured.report == 8


def test_what_was_refused_on_the_way() -> None:
    """Between the release before and this one: by code, from which report to which; and what failed."""
    found = story()
    assert [(one.refusal.code, one.first, one.last) for one in found.refused] == [
        ("access-not-accepted", 3, 4),
        ("failed", 5, 5),
    ]
    assert [step.change.after for step in found.failed] == ["B"]


def test_what_ran_at_a_time() -> None:
    """Before anything, between reports, after a change that was not reported yet."""
    assert (story(-1).known, story(-1).running) == (False, None)
    assert (story(5).known, story(5).running) == (True, None)
    between = story(9.5)
    assert (between.running, between.said) == ("A", (1, instant(at(0))))
    assert between.release is not None
    assert story(30).running == "A"
    assert story(39.5).running == "C"
    assert (story(45).configuration, story(49.5).configuration) == (None, "X")


def test_what_is_gone_is_gone() -> None:
    """Deactivated: nothing runs, since that change."""
    life = [*LIFE, said(9, 60, None, change(59, "deactivated", None, "C"))]
    found = tell(life, TOASTER, SUBJECTS)
    assert found.running is None
    assert found.since is not None
    assert found.since.change.what == "deactivated"


def test_what_ran_before_the_first_report_has_no_since() -> None:
    """Reports that are not kept any more are not made up."""
    found = tell(LIFE[2:4], TOASTER, SUBJECTS)
    assert (found.running, found.since) == ("A", None)


def test_other_packages_and_unreadable_times_do_not_count() -> None:
    """A device may write anything; what cannot be read is of no later time."""
    assert not tell(LIFE, "pkg:generic/other", SUBJECTS).known
