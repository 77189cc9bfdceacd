"""`allod audit explain`: what runs on a device, who allowed it, and what was refused on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.phrases import parse_moment
from allod.errors import AllodError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from allod.audit.explaining import Step, Story
    from allod.cli.audit.allowed import Allowed
    from allod.cli.members import Device
    from allod.cli.picture import Picture
    from allod.domain.ids import Purl
    from allod.domain.overview import Row
    from allod.trust.report import SignedReport

_SILENCE: Final = timedelta(hours=1)


def explain(
    device: str, package: str, *, at: str | None = None, options: Options = OPTIONS
) -> None:
    """Say what runs (or ran), since when, who allowed it, and what was refused on the way.

    From signed files and signed reports alone; times are the device's own word.

    Args:
        device: Its label, or the beginning of its id.
        package: Which package.
        at: A moment, like '2026-05-01 02:00'; now unless given.
        options: Options of every verb.
    """
    from allod.audit.explaining import tell
    from allod.cli.audit.allowed import Clerk
    from allod.cli.catalog import parse_package_version
    from allod.cli.picture import take
    from allod.cli.preview import path_of
    from allod.cli.scopes import find_device

    named = parse_package_version(package)
    moment = None if at is None else parse_moment(at, clock())
    picture = take(options.open(), reading=True)
    member = find_device(device, picture.devices)
    found = next(one for one in picture.members.devices if one.member.device == member.device)
    read = picture.members.read(found.binding, 0)
    known = sorted({*picture.packages(), *_packages(read.reports)})
    purl = picture.package(named, among=known)
    paths = {scope.target_path for scope in member.scopes}
    paths |= {path_of(name, one) for name in picture.base.delegations for one in member.scopes}
    story = tell(read.reports, purl, frozenset({str(purl), "fleet", *paths}), moment)
    clerk = Clerk(picture, found)
    allowed = clerk.allowed(story.since, purl, story.running)
    configured = None
    if story.configured is not None:
        configured = clerk.allowed(story.configured, purl, None)
    row = _row(picture, found, purl) if moment is None else None
    doubts = [one.says for one in (*member.alarms, *read.remarks)]
    data = {
        "device": member.device,
        "label": member.label,
        "package": str(purl),
        "at": at,
        "runs": _runs(story),
        "since": _step(story.since),
        "allowed": None if allowed is None else allowed.data(),
        "configured": _step(story.configured),
        "configurationAllowed": None if configured is None else configured.data(),
        "refused": _refused(story),
        "failed": [_step(step) for step in story.failed],
        "pending": [_pending(one) for one in story.pending],
        "ordered": None if row is None else _ordered(row),
        "history": [_step(step) for step in story.steps],
        "doubts": doubts,
    }
    head = f"{member.shown} ({member.device}), {purl}"
    lines = [*_told(story, allowed), *_configured(story, configured), *_way(story)]
    lines += [*_next(story, row), *(f"! {says}" for says in doubts)]
    options.output.result(data, "\n".join([head, *(f"  {line}" for line in lines)]))


def _packages(reports: Sequence[SignedReport]) -> set[Purl]:
    """Every package that the device ever spoke of."""
    from allod.domain.ids import parse_purl

    names = {one.package for signed in reports for one in signed.report.packages}
    names |= {one.package for signed in reports for one in signed.report.changes if one.package}
    found = set()
    for name in names:
        try:
            found.add(parse_purl(name))
        except AllodError:
            continue
    return found


def _row(picture: Picture, device: Device, package: Purl) -> Row | None:
    """What is ordered of it now, and why it is not there yet."""
    from allod.cli.status import look
    from allod.domain.ids import device_scope

    (one,) = look(picture, device_scope(device.member.device), _SILENCE)
    return next((row for row in one.rows if row.package == package), None)


# -- as data --------------------------------------------------------------------------------------


def _runs(story: Story) -> dict[str, Any] | None:
    if story.running is None:
        return None
    release = story.release
    return {
        "digest": story.running,
        "version": None if release is None else release.version,
        "provider": None if release is None else release.provider,
        "configuration": story.configuration,
        "said": None if story.said is None else {"report": story.said[0], "at": story.said[1]},
    }


def _step(step: Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    change = step.change
    return {
        "at": change.at,
        "report": step.report,
        "what": change.what,
        "before": change.before,
        "after": change.after,
        "outcome": change.outcome,
        "why": change.why,
    }


def _refused(story: Story) -> list[dict[str, Any]]:
    return [
        {
            "code": one.refusal.code,
            "reasons": list(one.refusal.reasons),
            "subject": one.refusal.subject,
            "since": one.refusal.since,
            "reports": [one.first, one.last],
        }
        for one in story.refused
    ]


def _pending(one: Any) -> dict[str, Any]:
    return {"what": one.what, "version": one.version, "waitsFor": one.waits_for}


def _ordered(row: Row) -> dict[str, Any]:
    return {"state": str(row.state), "wanted": list(row.wanted), "why": list(row.why)}


# -- in words -------------------------------------------------------------------------------------


def _told(story: Story, allowed: Allowed | None) -> Iterator[str]:
    if not story.known:
        yield "no report of the device speaks of it"
        return
    said = "" if story.said is None else f" (report {story.said[0]}, {story.said[1]})"
    if story.running is None:
        yield f"runs: nothing{said}"
    else:
        release = story.release
        name = "a release" if release is None else f"{release.version} by {release.provider}"
        yield f"runs: {name}, {story.running}{said}"
    if story.since is None:
        yield "since: before the first report that is kept"
        return
    change = story.since.change
    yield f"since: {change.at}, {change.what} (report {story.since.report})"
    if allowed is not None:
        yield from allowed.words()


def _configured(story: Story, allowed: Allowed | None) -> Iterator[str]:
    if story.running is None:
        return
    yield f"configuration: {story.configuration or 'the default of the release'}"
    if story.configured is not None:
        yield f"  since: {story.configured.change.at} (report {story.configured.report})"
        if allowed is not None:
            yield from (f"  {line}" for line in allowed.words())


def _way(story: Story) -> Iterator[str]:
    for one in story.refused:
        where = f"report {one.first}" + (f" to {one.last}" if one.last != one.first else "")
        yield f"refused on the way: {'; '.join(one.refusal.reasons)} [{one.refusal.code}] ({where})"
    for step in story.failed:
        change = step.change
        yield f"{change.outcome} on the way: {change.after} at {change.at}" + (
            f": {change.why}" if change.why else ""
        )


def _next(story: Story, row: Row | None) -> Iterator[str]:
    if row is not None:
        why = f": {'; '.join(row.why)}" if row.why else ""
        yield f"ordered: {'; '.join(row.wanted) or 'nothing'} — {row.state}{why}"
        return
    for one in story.pending:
        waits = f", waits for {one.waits_for}" if one.waits_for else ""
        yield f"was under way: {one.what} {one.version or ''}{waits}"
