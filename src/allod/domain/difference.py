"""The whole difference between what was signed and what is about to be, in words and as data.

It is taken from documents that were read back from the very bytes that will be signed (attack
9), and it is complete: it is empty if and only if the two sets of documents are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from allod.domain.desired import (
    OWNER,
    ChangeNote,
    ConfigurationOrder,
    DeviceRecord,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    StateDocument,
    Window,
)
from allod.domain.foreign import ForeignDevice
from allod.domain.ids import Scope
from allod.domain.release import HealthCheck
from allod.domain.said import Difference, names, plain, simple
from allod.domain.term_words import (
    approval_differences,
    rollout_differences,
    term_differences,
)

NOTE: Final = "note"  #: `what` of a difference that is only a change's note

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def differences(
    before: Mapping[Scope, StateDocument], after: Mapping[Scope, StateDocument]
) -> tuple[Difference, ...]:
    """Everything that differs between two sets of documents, scope by scope."""
    found: list[Difference] = []
    for scope in sorted(before.keys() | after.keys()):
        found.extend(_document(scope, before.get(scope), after.get(scope)))
    return tuple(found)


def subject_of(document: StateDocument) -> str:
    """How differences name a document: its scope, and whose it is where it is not the owner's."""
    if document.author == OWNER:
        return str(document.scope)
    return f"by/{document.author}/{document.scope}"


def _document(
    scope: Scope, old: StateDocument | None, new: StateDocument | None
) -> Iterator[Difference]:
    known = new if new is not None else old
    subject = str(scope) if known is None else subject_of(known)
    if old is None and new is not None:
        yield Difference(
            subject, "document-new", f"{_named(scope)} is decided on for the first time"
        )
    if old is not None and new is None:
        yield Difference(
            subject,
            "document-gone",
            f"{_named(scope)} has no settings any more; devices keep what they have",
        )
    first = old if old is not None else _blank(new)
    second = new if new is not None else _blank(old)
    if first.fleet != second.fleet:
        yield plain(subject, "fleet", "fleet", first.fleet, second.fleet)
    for key in sorted(first.packages.keys() | second.packages.keys()):
        yield from _entry(subject, key, first.packages.get(key), second.packages.get(key))
    for key in sorted(first.unreadable.keys() | second.unreadable.keys()):
        yield from simple(
            subject,
            "unreadable",
            f"an entry that this program cannot read, {key}",
            first.unreadable.get(key),
            second.unreadable.get(key),
        )
    yield from _settings(subject, first.settings, second.settings)
    yield from _restarts(subject, first.restarts, second.restarts)
    yield from simple(subject, "hold", "hold", first.hold, second.hold)
    if first.author != second.author:
        yield plain(subject, "author", "signed by", first.author, second.author)
    yield from term_differences(subject, first.terms, second.terms)
    yield from _device(subject, first.device, second.device)
    yield from _note(subject, None, first.change, second.change)


def _named(scope: Scope) -> str:
    return scope.name if scope.kind == "groups" else f"device {scope.name[:12]}"


def _blank(like: StateDocument | None) -> StateDocument:
    assert like is not None  # noqa: S101 — one of the two is there
    return StateDocument(like.fleet, like.scope, author=like.author)


def _entry(
    subject: str, key: str, old: PackageEntry | None, new: PackageEntry | None
) -> Iterator[Difference]:
    if old is None:
        yield Difference(subject, "package-named", f"{key} is decided here from now on", key)
    if new is None:
        yield Difference(
            subject,
            "package-unnamed",
            f"{key} is not decided here any more; where nobody else decides, devices keep it",
            key,
        )
    first, second = old or PackageEntry(), new or PackageEntry()
    yield from _software(subject, key, first.software, second.software)
    yield from _configuration(subject, key, first.configuration, second.configuration)
    about: dict[str, Any] = {"package": key}
    if first.together != second.together:
        yield plain(
            subject, "together", f"{key} goes together with",
            ", ".join(first.together) or None, ", ".join(second.together) or "nothing", **about,
        )  # fmt: skip
    yield from _checks(subject, f"{key} health check", first.health, second.health, **about)
    one, two = first.accepts, second.accepts
    yield from names(subject, "access", f"{key} accepted access", one.access, two.access, **about)
    yield from names(
        subject, "constraint", f"{key} accepted constraint",
        one.constraints, two.constraints, **about,
    )  # fmt: skip
    yield from names(
        subject, "one-way", f"{key} accepted as one-way", one.one_way, two.one_way, **about
    )
    yield from names(
        subject,
        "override",
        f"{key} sets aside the term",
        first.overrides,
        second.overrides,
        **about,
    )
    yield from names(
        subject, "secret", f"{key} is granted the secret", first.secrets, second.secrets, **about
    )
    yield from rollout_differences(subject, key, first.rollout, second.rollout)
    yield from approval_differences(subject, key, first.approvals, second.approvals)
    if new is not None:  # the note of an entry goes with it
        yield from _note(subject, key, first.change, second.change)


def _software(
    subject: str, key: str, old: Software | None, new: Software | None
) -> Iterator[Difference]:
    if old == new:
        return
    first, second = old or Software(), new or Software()
    if (old is None) != (new is None) or first.manager != second.manager:
        yield plain(
            subject, "manager", f"{key} software is decided by",
            None if old is None else first.manager,
            "whoever else names it" if new is None else second.manager, package=key,
        )  # fmt: skip
    had = {order.digest: order for order in first.releases}
    has = {order.digest: order for order in second.releases}
    for digest, order in had.items():
        if digest not in has:
            verb = _goes(first, new)
            yield Difference(
                subject, "release-gone", f"{key} {order.version} {verb} ({_order(order)})", key,
                before=_order(order),
            )  # fmt: skip
    for digest, order in has.items():
        if digest not in had:
            yield Difference(
                subject, "release-new", f"{key} {_order(order)}", key, after=_order(order)
            )
        elif had[digest] != order:
            yield plain(
                subject, "release-changed", f"{key} {order.version}",
                _order(had[digest]), _order(order), package=key,
            )  # fmt: skip
    if new is not None and second.manager == OWNER and old is not None:
        yield from _left(subject, key, first, second)
    if had == has and tuple(had) != tuple(has):
        yield plain(
            subject, "release-order", f"{key} releases stand as",
            ", ".join(o.version for o in first.releases),
            ", ".join(o.version for o in second.releases), package=key,
        )  # fmt: skip


def _goes(old: Software, new: Software | None) -> str:
    """What becomes of a release that a list does not name any more."""
    if new is None:
        return "is not asked for here any more"
    if old.manager == OWNER and new.manager != OWNER:
        return f"is not on your list any more; devices keep it until {new.manager} decides"
    return "is deleted"


def _left(subject: str, key: str, first: Software, second: Software) -> Iterator[Difference]:
    """What the end of a list means, said plainly."""
    if first.releases and not second.releases:
        yield Difference(subject, "package-deleted", f"{key} is deleted from the devices", key)
    elif first.active is not None and second.active is None:
        yield Difference(subject, "nothing-active", f"no release of {key} runs any more", key)


def _order(order: ReleaseOrder) -> str:
    when = f", at {order.when}" if order.when != "now" else ""
    short = order.digest.removeprefix("sha256:")[:16]
    return f"{order.version} of {order.provider} {order.level}{when} [{short}]"


def _configuration(
    subject: str, key: str, old: ConfigurationOrder | None, new: ConfigurationOrder | None
) -> Iterator[Difference]:
    if old != new:
        yield plain(
            subject, "configuration", f"{key} configuration",
            None if old is None else _document_of(old),
            "whoever else sets it" if new is None else _document_of(new), package=key,
        )  # fmt: skip


def _document_of(order: ConfigurationOrder) -> str:
    if order.manager != OWNER:
        return f"decided by {order.manager}"
    if order.digest is None:
        says = "the release's default"
    else:
        says = f"document {order.digest.removeprefix('sha256:')[:16]} ({order.size} bytes"
        says += ")" if order.media_type == "application/json" else f", {order.media_type})"
    return says if order.when == "now" else f"{says}, at {order.when}"


def _checks(
    subject: str,
    name: str,
    old: Iterable[HealthCheck] | None,
    new: Iterable[HealthCheck] | None,
    **more: Any,
) -> Iterator[Difference]:
    if old == new:
        return
    before, after = (
        None if checks is None else "; ".join(describe_check(check) for check in checks) or "none"
        for checks in (old, new)
    )
    yield plain(subject, "health", name, before, after or "not set here", **more)


def describe_check(check: HealthCheck) -> str:
    """A health check in a few words."""
    what = {
        "running": "keeps running",
        "http": f"{check.url} answers {check.status}"
        + (f" with {check.contains!r}" if check.contains else ""),
        "tcp": f"{check.address} accepts connections",
        "command": " ".join(check.command) + " succeeds",
    }[check.kind]
    held = f", held {check.hold:g} s" if check.hold else ""
    return f"{what} within {check.within:g} s{held} (each {check.every:g} s, {check.timeout:g} s)"


def describe_window(window: Window) -> str:
    """A window in a few words."""
    days = ",".join(_DAYS[day] for day in sorted(window.days))
    return f"{days} {window.start // 60:02d}:{window.start % 60:02d} for {window.minutes} min"


def _settings(subject: str, old: Settings, new: Settings) -> Iterator[Difference]:
    if old.windows != new.windows:
        before, after = (
            None
            if windows is None
            else "; ".join(describe_window(window) for window in windows) or "none"
            for windows in (old.windows, new.windows)
        )
        yield plain(subject, "windows", "windows (UTC)", before, after or "not set here")
    yield from simple(subject, "drift", "drift policy", old.drift, new.drift)
    yield from simple(
        subject, "retention", "earlier releases kept", old.retention_releases,
        new.retention_releases,
    )  # fmt: skip
    yield from _checks(subject, "health checks for every package", old.health, new.health)
    yield from simple(subject, "bandwidth", "bytes a second at most", old.bandwidth, new.bandwidth)
    if old.override_inhibitors != new.override_inhibitors:
        before, after = (
            None if names is None else ", ".join(sorted(names)) or "none"
            for names in (old.override_inhibitors, new.override_inhibitors)
        )
        yield plain(
            subject, "override-inhibitors", "inhibitors overridden", before,
            after or "not set here",
        )  # fmt: skip


def _restarts(
    subject: str, old: tuple[Restart, ...], new: tuple[Restart, ...]
) -> Iterator[Difference]:
    if old == new:
        return
    before, after = ([_restart(known) for known in restarts] for restarts in (old, new))
    yield from names(subject, "restart", "restart", before, after)
    if sorted(before) == sorted(after):
        yield plain(subject, "restart-order", "restarts", str(before), str(after))


def _restart(known: Restart) -> str:
    return (
        f"{known.id} between {known.at:%Y-%m-%d %H:%M:%S} and {known.latest:%Y-%m-%d %H:%M:%S} UTC"
    )


def _device(
    subject: str, old: DeviceRecord | None, new: DeviceRecord | None
) -> Iterator[Difference]:
    if old == new:
        return
    if old is None or new is None:
        yield _simple_device(subject, old, new)
    first = old or DeviceRecord(0)
    second = new or DeviceRecord(0)
    yield from simple(subject, "epoch", "binding", first.epoch or None, second.epoch or None)
    yield from simple(subject, "status", "status", first.status, second.status)
    yield from simple(subject, "label", "label", first.label or None, second.label or None)
    recorded = second.foreign is not None  # it has no invite
    if first.groups != second.groups and (second.groups or old is not None or not recorded):
        unsaid = "none" if recorded else "the invite's"
        before, after = (
            unsaid if groups is None else ", ".join(groups) or "none"
            for groups in (first.groups, second.groups)
        )
        yield plain(subject, "groups", "groups", before, after)
    yield from simple(subject, "replaces", "takes the place of", first.replaces, second.replaces)
    yield from _foreign(subject, first.foreign, second.foreign)


def _foreign(
    subject: str, old: ForeignDevice | None, new: ForeignDevice | None
) -> Iterator[Difference]:
    """What is on record of a device that others control."""

    def sbom(device: ForeignDevice | None) -> str | None:
        bill = None if device is None else device.sbom
        if bill is None:
            return None if device is None else "none, so nothing is known of its software"
        return f"{bill.digest} ({bill.media_type}, {bill.size} bytes)"

    said: tuple[tuple[str, str, Callable[[ForeignDevice], str]], ...] = (
        ("vendor", "vendor", lambda device: device.vendor),
        ("model", "model", lambda device: device.model),
        ("serial", "serial number", lambda device: device.serial),
        ("controlled", "controlled by", lambda device: device.control.value),
    )
    for what, name, of in said:
        before, after = (None if one is None else of(one) or None for one in (old, new))
        yield from simple(subject, what, name, before, after)
    yield from simple(subject, "sbom", "SBOM", sbom(old), sbom(new))


def _simple_device(subject: str, old: DeviceRecord | None, new: DeviceRecord | None) -> Difference:
    return Difference(
        subject,
        "device-record",
        f"the device {'gets' if old is None else 'loses'} a record of its own",
        before=None if old is None else old.status,
        after=None if new is None else new.status,
    )


def _note(
    subject: str, package: str | None, old: ChangeNote | None, new: ChangeNote | None
) -> Iterator[Difference]:
    if old != new:
        before, after = (None if note is None else describe_note(note) for note in (old, new))
        yield Difference(
            subject, NOTE, f"note: {after or 'none'}", package, before=before, after=after
        )


def describe_note(note: ChangeNote) -> str:
    """A change's note in one line."""
    parts = [f"change {note.number} ({note.id}) at {note.at:%Y-%m-%d %H:%M:%S} UTC"]
    parts += [f"by {note.by}"] if note.by else []
    parts += [f"ticket {note.ticket}"] if note.ticket else []
    parts += [note.message] if note.message else []
    return ", ".join(parts)
