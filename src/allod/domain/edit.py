"""What an owner does to a scope, as edits of its document of desired state.

Every function takes a document and returns the one that it becomes; neither loses anything that
the edit does not name. Nothing here is signed or stamped: `stamp` writes the change's note on
what differs, once, at the end.

A package's list of releases is kept newest order first: before the active release stands what
was prepared ahead, after it what ran before. `deploy` keeps as many of the latter as the
retention says.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from allod.domain.desired import (
    OWNER,
    Accepts,
    ChangeNote,
    ConfigurationOrder,
    DeviceRecord,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    StateDocument,
    When,
)
from allod.domain.edit_rollout import open_already
from allod.domain.foreign import FOREIGN, ForeignDevice
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    Purl,
    Scope,
    Version,
    device_scope,
)
from allod.domain.resolution import DEFAULT_RETENTION
from allod.errors import Conflict, InvalidInput, Refused

#: How long a restart stays in the document after its latest time, so that devices that were
#: away still learn that they missed it.
RESTART_MEMORY: Final = timedelta(days=30)

#: The longest label of a device.
LABEL_LENGTH: Final = 100


def empty(fleet: FleetId, scope: Scope, *, epoch: int = 1) -> StateDocument:
    """The document of a scope about which nothing was said yet."""
    record = DeviceRecord(epoch) if scope.kind == "devices" else None
    return StateDocument(fleet, scope, device=record)


def _put(document: StateDocument, package: Purl, entry: PackageEntry) -> StateDocument:
    return replace(document, packages={**document.packages, package: entry})


def _owned(document: StateDocument, package: Purl, verb: str) -> PackageEntry:
    """The entry of a package whose software the owner decides; a fresh one if there is none."""
    if package in document.unreadable:
        raise Refused(
            "unreadable-entries",
            f"cannot {verb} {package} in {document.scope}: its entry was written by a newer "
            "program; use the version of allod that wrote it",
        )
    entry = document.packages.get(package, PackageEntry())
    if entry.software is not None and entry.software.manager != OWNER:
        raise Refused(
            "managed-elsewhere",
            f"cannot {verb} {package} in {document.scope}: the delegation "
            f"{entry.software.manager} decides on it; order it --as "
            f"{entry.software.manager} if you hold its key, or end the delegation first",
            manager=entry.software.manager,
        )
    return entry


def deploy(
    document: StateDocument,
    package: Purl,
    order: ReleaseOrder,
    *,
    accepts: Accepts | None = None,
    retention: int = DEFAULT_RETENTION,
) -> StateDocument:
    """Want a release on the scope's devices.

    An active order takes the place of the one that was active, which stays wanted as
    `installed`; of what ran before that, as much stays as `retention` says.

    What the owner takes on by name for it (`accepts`) is added to what the entry accepts. A rollout
    of the package that is open ends with it.

    Raises:
        Refused: a delegation decides on the package.
        Conflict: `already-active`, if the order would take the running release down a level.
    """
    entry = _owned(document, package, "deploy")
    present = entry.software.releases if entry.software is not None else ()
    if order.level is Level.ACTIVE:
        releases = _with_active(present, order, retention)
    else:
        releases = _with_prepared(present, order, document.scope)
    taken = entry.accepts if accepts is None else joined(entry.accepts, accepts)
    listed = {known.digest for known in releases}
    return _put(
        document,
        package,
        replace(
            entry,
            software=Software(OWNER, releases),
            accepts=replace(taken, one_way=taken.one_way & listed),
            rollout=None,
        ),
    )


def _with_active(
    present: tuple[ReleaseOrder, ...], order: ReleaseOrder, retention: int
) -> tuple[ReleaseOrder, ...]:
    others = [known for known in present if known.digest != order.digest]
    place = next((n for n, known in enumerate(others) if known.level is Level.ACTIVE), None)
    if place is None:  # nothing runs, or this very release does: nothing is displaced
        runs = next((n for n, known in enumerate(present) if known.level is Level.ACTIVE), 0)
        return (*others[:runs], order, *others[runs:])
    former = replace(others[place], level=Level.INSTALLED, when=When.NOW)
    predecessors = [former, *others[place + 1 :]]
    return (*others[:place], order, *predecessors[: max(retention, 0)])


def _with_prepared(
    present: tuple[ReleaseOrder, ...], order: ReleaseOrder, scope: Scope
) -> tuple[ReleaseOrder, ...]:
    for place, known in enumerate(present):
        if known.digest != order.digest:
            continue
        if known.level is Level.ACTIVE:
            raise Conflict(
                "already-active",
                f"cannot take {order.version} in {scope} down to {order.level}: it is the release "
                "that is to run; deploy the one that is to run instead, or delete it",
            )
        return (*present[:place], order, *present[place + 1 :])
    return (order, *present)


def joined(first: Accepts, second: Accepts) -> Accepts:
    """What either accepts."""
    return Accepts(
        first.access | second.access,
        first.constraints | second.constraints,
        first.one_way | second.one_way,
    )


def delete(document: StateDocument, package: Purl, version: Version | None = None) -> StateDocument:
    """Want a package, or one version of it, gone from the scope's devices.

    The package stays named with what is left of its list: that, and nothing else, deletes.

    Raises:
        InvalidInput: `not-listed`, if the scope does not list that version.
        Refused: a delegation decides on the package.
    """
    entry = _owned(document, package, "delete")
    if version is None:
        return _put(document, package, replace(entry, software=Software(), rollout=None))
    releases = entry.software.releases if entry.software is not None else ()
    left = tuple(order for order in releases if order.version != version)
    if len(left) == len(releases):
        listed = ", ".join(order.version for order in releases) or "no version of it"
        raise InvalidInput(
            "not-listed",
            f"cannot delete {package}@{version} from {document.scope}: it lists {listed}",
        )
    return _put(document, package, replace(entry, software=Software(OWNER, left), rollout=None))


def configure(
    document: StateDocument,
    package: Purl,
    digest: Digest | None,
    *,
    size: int = 0,
    media_type: str = "application/json",
    when: When = When.NOW,
    secrets: frozenset[str] | None = None,
) -> StateDocument:
    """Want a configuration document for a package; without a digest, the release's default.

    `secrets` are the device secrets that the package is granted; None leaves them as they are.

    Raises:
        Refused: a delegation decides on the package's configuration.
        Conflict: `rollout-open`: another configuration is being rolled out.
    """
    if package in document.unreadable:
        _owned(document, package, "configure")
    entry = document.packages.get(package, PackageEntry())
    if entry.configuration is not None and entry.configuration.manager != OWNER:
        raise Refused(
            "managed-elsewhere",
            f"cannot configure {package} in {document.scope}: the delegation "
            f"{entry.configuration.manager} decides on it; order it --as "
            f"{entry.configuration.manager} if you hold its key, or end the delegation first",
            manager=entry.configuration.manager,
        )
    if entry.rollout is not None and entry.rollout.before_configuration is not None:
        raise open_already(document, package, entry.rollout)
    return _put(
        document,
        package,
        replace(
            entry,
            configuration=ConfigurationOrder(OWNER, digest, size, media_type, when),
            secrets=entry.secrets if secrets is None else secrets,
        ),
    )


def hand_back(document: StateDocument, package: Purl) -> StateDocument:
    """Say nothing of a package any more, so that the next scope that names it decides.

    Where no other scope does, devices keep what they have.

    Raises:
        InvalidInput: `not-named`, if the scope does not name it.
    """
    if package not in document.packages:
        raise InvalidInput(
            "not-named",
            f"cannot hand back {package}: {document.scope} says nothing of it",
        )
    return replace(
        document,
        packages={key: entry for key, entry in document.packages.items() if key != package},
    )


def restart(document: StateDocument, wanted: Restart, now: datetime) -> StateDocument:
    """Want one restart of the scope's devices; restarts long over are forgotten.

    Raises:
        InvalidInput: `bad-time`, if its latest time is over or before its earliest.
        Conflict: `restart-known`, if a restart of that id was scheduled before.
    """
    if wanted.latest < wanted.at or wanted.latest <= now:
        raise InvalidInput(
            "bad-time",
            f"cannot schedule a restart for {wanted.at:%Y-%m-%d %H:%M} UTC, at the latest "
            f"{wanted.latest:%Y-%m-%d %H:%M} UTC: that is over; give a later time",
        )
    if any(known.id == wanted.id for known in document.restarts):
        raise Conflict(
            "restart-known", f"cannot schedule the restart {wanted.id} twice: choose another id"
        )
    recent = (known for known in document.restarts if known.latest + RESTART_MEMORY > now)
    return replace(document, restarts=(*recent, wanted))


def cancel_restart(document: StateDocument, restart_id: str) -> StateDocument:
    """Want a scheduled restart no more. Raises InvalidInput `no-such-restart`."""
    left = tuple(known for known in document.restarts if known.id != restart_id)
    if len(left) == len(document.restarts):
        ids = ", ".join(known.id for known in document.restarts) or "none"
        raise InvalidInput(
            "no-such-restart",
            f"cannot cancel the restart {restart_id[:80]} of {document.scope}: it has {ids}",
        )
    return replace(document, restarts=left)


def hold(document: StateDocument, why: str) -> StateDocument:
    """Want nothing changed on the scope's devices. Raises InvalidInput `no-reason`."""
    if not why.strip():
        raise InvalidInput("no-reason", f"cannot hold {document.scope} without saying why")
    return replace(document, hold=why.strip())


def resume(document: StateDocument) -> StateDocument:
    """End a hold. Raises Conflict `not-held`."""
    if document.hold is None:
        raise Conflict("not-held", f"cannot resume {document.scope}: it is not held")
    return replace(document, hold=None)


def settings(document: StateDocument, wanted: Settings) -> StateDocument:
    """Set a scope's settings as a whole."""
    for name in ("retention_releases", "bandwidth"):
        value = getattr(wanted, name)
        if value is not None and not 0 <= value < 2**53:
            raise InvalidInput(
                "bad-setting", f"cannot set {name.partition('_')[0]} to {value}: it is 0 or more"
            )
    return replace(document, settings=wanted)


def _record(document: StateDocument, verb: str) -> DeviceRecord:
    if document.device is None:
        raise InvalidInput("not-a-device", f"cannot {verb} {document.scope}: only devices can be")
    return document.device


def move(document: StateDocument, groups: tuple[GroupName, ...]) -> StateDocument:
    """Put a device into these groups, in this order, whatever its invite said."""
    record = _record(document, "move")
    if len(set(groups)) != len(groups):
        raise InvalidInput("bad-group", "cannot put a device into one group twice")
    return replace(document, device=replace(record, groups=groups))


def rename(document: StateDocument, label: str) -> StateDocument:
    """Give a device a label. Raises InvalidInput `bad-label`."""
    record = _record(document, "rename")
    if len(label) > LABEL_LENGTH or not label.isprintable() or label != label.strip():
        raise InvalidInput(
            "bad-label", "cannot use this label: at most 100 printable characters, no outer blanks"
        )
    return replace(document, device=replace(record, label=label))


def retire(document: StateDocument) -> StateDocument:
    """Let a device go: it stays bound, keeps running, and takes no further changes."""
    record = _record(document, "retire")
    if record.status == "retired":
        raise Conflict("already-retired", f"cannot retire {document.scope}: it is retired")
    return replace(document, device=replace(record, status="retired"))


def record(
    document: StateDocument, name: str, device: ForeignDevice, groups: tuple[GroupName, ...]
) -> StateDocument:
    """Put on record, or correct, what is known of a device that others control.

    Raises:
        InvalidInput: `bad-label`, `bad-group`.
    """
    named = move(rename(document, name), groups)
    known = replace(_record(named, "record"), status=FOREIGN, foreign=device)
    return replace(named, device=known)


def replacement(
    former: StateDocument, device: DeviceId, groups: tuple[GroupName, ...], *, epoch: int = 1
) -> StateDocument:
    """The document of a device that takes the place of another: its groups, label and packages.

    Raises:
        InvalidInput: `same-device`, if a device is to replace itself.
    """
    record = _record(former, "replace")
    scope = device_scope(device)
    if scope == former.scope:
        raise InvalidInput("same-device", "cannot replace a device by itself")
    return replace(
        former,
        scope=scope,
        restarts=(),
        device=DeviceRecord(
            epoch=epoch,
            groups=groups,
            label=record.label,
            replaces=DeviceId(former.scope.name),
        ),
    )


def stamp(before: StateDocument | None, after: StateDocument, note: ChangeNote) -> StateDocument:
    """Write the change's note on the document and on every entry that differs from `before`.

    Approvals are of one change of one entry: those of the change before leave with it.
    """
    known = before.packages if before is not None else {}
    packages = {
        key: entry
        if key in known and _bare(known[key]) == _bare(entry)
        else _stamped(known.get(key), entry, note)
        for key, entry in after.packages.items()
    }
    return replace(after, packages=packages, change=note)


def _stamped(before: PackageEntry | None, entry: PackageEntry, note: ChangeNote) -> PackageEntry:
    old = before is not None and entry.approvals == before.approvals
    return replace(entry, change=note, approvals=() if old else entry.approvals)


def _bare(entry: PackageEntry) -> PackageEntry:
    return replace(entry, change=None)
