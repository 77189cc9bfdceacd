"""Wanted against actual, device by device and package by package.

What is wanted follows from the owner's verified documents, what is there from the device's own
verified report. Where no report speaks, nothing is guessed: the state is 'unknown' (attack 41).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from allod.domain.delegation import Delegate
from allod.domain.desired import OWNER, Restart, StateDocument
from allod.domain.ids import Digest, Purl, Scope
from allod.domain.overview_words import RANK, actual_words, wanted_words
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member, Remark
from allod.domain.resolution import (
    Resolved,
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedSoftware,
    Unresolved,
    resolve,
)
from allod.domain.rollout import Progress


class RowState(StrEnum):
    """How wanted and actual stand to each other; the worse, the earlier."""

    FAILED = "failed"
    DRIFTED = "drifted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  #: the device has never reported, or not for too long
    DIFFERS = "differs"  #: it knows what is wanted, and neither does it nor says why
    BEHIND = "not seen yet"  #: the device has not fetched the newest documents
    WAITING = "waiting"
    IN_PROGRESS = "in progress"
    HELD = "held"
    UNMANAGED = "nobody decides"
    AS_WANTED = "as wanted"


@dataclass(frozen=True, slots=True)
class Row:
    """One package on one device."""

    package: Purl
    wanted: tuple[str, ...]
    actual: tuple[str, ...]
    state: RowState
    why: tuple[str, ...] = ()
    progress: float | None = None
    scope: Scope | None = None  #: whose document decides
    manager: str = OWNER  #: who decides: the owner, or a delegation


@dataclass(frozen=True, slots=True)
class DeviceOverview:
    """One device as a whole."""

    member: Member
    rows: tuple[Row, ...]
    silent_since: datetime | None = None
    unknown: tuple[str, ...] = ()  #: why its state is not known; somebody has to look
    holds: tuple[str, ...] = ()
    restarts: tuple[tuple[Restart, str], ...] = ()  #: with what became of each
    constraints: tuple[str, ...] = ()
    refusals: tuple[Remark, ...] = ()
    alarms: tuple[Remark, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether everything that is wanted is there."""
        done = {RowState.AS_WANTED, RowState.UNMANAGED}
        return not self.member.doubts and all(row.state in done for row in self.rows)


def overview(
    members: Iterable[Member],
    documents: Mapping[Scope, StateDocument],
    *,
    now: datetime,
    silence: timedelta,
    newest: Mapping[str, int] | None = None,
    delegates: Mapping[str, Delegate] = MappingProxyType({}),
    gates: Mapping[str, frozenset[int]] = MappingProxyType({}),
) -> tuple[DeviceOverview, ...]:
    """Every device with every package, by label and id.

    Args:
        members: the fleet's devices.
        documents: the owner's newest documents.
        now: by the owner's clock.
        silence: a device that was not heard for longer counts as silent.
        newest: versions of the roles that carry the documents; a device that knows lower ones
            has not seen them yet.
        delegates: who else decides, by id.
        gates: rollout -> stages whose gate is open.
    """
    ordered = sorted(members, key=lambda member: (member.label == "", member.label, member.device))
    return tuple(
        _device(
            member,
            resolve(
                member.scopes,
                documents,
                member.actual.packages if member.actual is not None else (),
                delegates=delegates,
                progress=Progress(gates, member.device, now),
            ),
            now,
            silence,
            newest or {},
        )
        for member in ordered
    )


def _device(
    member: Member,
    resolved: Resolved,
    now: datetime,
    silence: timedelta,
    newest: Mapping[str, int],
) -> DeviceOverview:
    actual = member.actual
    present = actual.packages if actual is not None else {}
    silent = actual is not None and now - actual.heard > silence
    behind = actual is not None and any(
        actual.roles.get(role, version) < version for role, version in newest.items()
    )
    rows = tuple(
        _row(wanted, member, resolved, silent=silent, behind=behind)
        for wanted in resolved.packages.values()
        if _concerns(wanted, present.get(wanted.package))
    )
    states = actual.restarts if actual is not None else {}
    constraints = [] if actual is None else list(actual.constraints)
    constraints += [name for one in present.values() for name in one.constraints]
    shown = {row.package for row in rows if row.state is RowState.REFUSED}
    refusals = () if actual is None else actual.refusals
    return DeviceOverview(
        member,
        rows,
        silent_since=actual.heard if actual is not None and silent else None,
        unknown=() if member.retired else _unknown(member, silent=silent),
        holds=resolved.holds,
        restarts=tuple((one, states.get(one.id, "not seen yet")) for _, one in resolved.restarts),
        constraints=tuple(dict.fromkeys(constraints)),
        refusals=tuple(one for one in refusals if one.subject not in shown),
        alarms=(*member.alarms, *(() if actual is None else actual.alarms)),
    )


def _concerns(wanted: ResolvedPackage, actual: ActualPackage | None) -> bool:
    """Whether there is anything to say: a package wanted gone that is gone is no row."""
    software = wanted.software
    gone = isinstance(software, ResolvedSoftware) and not software.releases
    return not (gone and actual is not None and not actual.releases)


def _row(
    wanted: ResolvedPackage, member: Member, resolved: Resolved, *, silent: bool, behind: bool
) -> Row:
    actual = member.actual.packages.get(wanted.package) if member.actual is not None else None
    state, why, progress = _judge(wanted, member, resolved, actual, silent=silent, behind=behind)
    software = wanted.software
    return Row(
        wanted.package,
        wanted_words(wanted),
        actual_words(actual) if member.actual is not None else (),
        state,
        why,
        progress,
        software.scope if not isinstance(software, Unresolved) else None,
        software.manager,
    )


_Verdict = tuple[RowState, tuple[str, ...], float | None]


def _judge(
    wanted: ResolvedPackage,
    member: Member,
    resolved: Resolved,
    actual: ActualPackage | None,
    *,
    silent: bool,
    behind: bool,
) -> _Verdict:
    report, unknown = member.actual, _unknown(member, silent=silent)
    if report is None or unknown:
        return RowState.UNKNOWN, unknown, None
    drift = _drift(actual)
    if drift:
        return RowState.DRIFTED, drift, None
    lacking = _lacking(wanted, actual)
    if isinstance(wanted.software, Unresolved) and isinstance(wanted.configuration, Unresolved):
        return RowState.UNMANAGED, (wanted.software.reason,), None
    if not lacking:
        local = actual.local if actual is not None else ()
        return RowState.AS_WANTED, tuple(f"changed locally: {path}" for path in local), None
    return _why_not(wanted, report, resolved, actual, lacking, behind=behind)


def _unknown(member: Member, *, silent: bool) -> tuple[str, ...]:
    """Why nothing that the device said can be taken for its state (attack 41); empty: it can."""
    report = member.actual
    if report is None:
        return ("it has not reported yet",)
    silence = (f"silent since {report.heard:%Y-%m-%d %H:%M} UTC",) if silent else ()
    return (*member.doubts, *silence)


def _why_not(
    wanted: ResolvedPackage,
    report: Actual,
    resolved: Resolved,
    actual: ActualPackage | None,
    lacking: tuple[str, ...],
    *,
    behind: bool,
) -> _Verdict:
    """Why something is lacking, as the device itself says; the first that applies."""
    refused = [one for one in report.refusals if one.subject == wanted.package]
    failed = _failed(wanted, actual)
    pending = actual.pending if actual is not None else ()
    waits = tuple(f"{one.what} waits for {one.waits_for}" for one in pending if one.waits_for)
    work = tuple(" ".join(filter(None, (one.what, one.version))) for one in pending)
    progress = next((one.progress for one in pending if one.progress is not None), None)
    verdict: _Verdict
    if behind:
        verdict = RowState.BEHIND, lacking, None
    elif failed:
        verdict = RowState.FAILED, (*failed, *(one.says for one in refused)), None
    elif refused:
        verdict = RowState.REFUSED, tuple(f"{one.says} ({one.code})" for one in refused), None
    elif waits:
        verdict = RowState.WAITING, waits, progress
    elif work:
        verdict = RowState.IN_PROGRESS, work, progress
    elif resolved.holds:
        verdict = RowState.HELD, resolved.holds, None
    else:
        verdict = RowState.DIFFERS, lacking, None
    return verdict


def _drift(actual: ActualPackage | None) -> tuple[str, ...]:
    if actual is None:
        return ()
    found = [
        f"{one.version} was changed on the device: {', '.join(one.changed[:5]) or 'its files'}"
        for one in actual.releases
        if not one.intact
    ]
    if not actual.configuration_intact:
        found.append("its configuration was changed on the device")
    return tuple(found)


def _failed(wanted: ResolvedPackage, actual: ActualPackage | None) -> tuple[str, ...]:
    if actual is None or not isinstance(wanted.software, ResolvedSoftware):
        return ()
    return tuple(
        f"{order.version} failed; it is tried again when something newer is signed"
        for order in wanted.software.releases
        if order.digest in actual.failed
    )


def _lacking(wanted: ResolvedPackage, actual: ActualPackage | None) -> tuple[str, ...]:
    """What of the wanted is not there, in words; empty: all is."""
    has: Mapping[Digest, ActualRelease] = (
        {one.digest: one for one in actual.releases} if actual is not None else {}
    )
    lacks: list[str] = []
    running = actual.active if actual is not None else None
    if isinstance(wanted.software, ResolvedSoftware):
        orders = wanted.software.releases
        lacks += [
            f"{order.version} is not {order.level}"
            for order in orders
            if order.digest not in has or RANK[has[order.digest].level] < RANK[order.level]
        ]
        if running is not None and wanted.software.active is None:
            lacks.append(f"{running.version} still runs")
        elif not orders and has:
            lacks.append("it is not deleted yet")
    configuration = wanted.configuration
    if (
        isinstance(configuration, ResolvedConfiguration)
        and actual is not None
        and running is not None
        and configuration.order.digest != actual.configuration
    ):
        lacks.append("its configuration is another one")
    return tuple(lacks)
