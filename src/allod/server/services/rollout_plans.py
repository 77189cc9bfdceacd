"""Which rollouts are open, as published documents say, and whom each of them concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from allod.domain.desired import OWNER, PackageEntry, Software, StateDocument
from allod.domain.ids import (
    Digest,
    Purl,
    Scope,
    is_pattern,
    parse_digest,
    pattern_covers,
    sha256,
)
from allod.domain.resolution import scopes_of
from allod.domain.rollout import Rollout, stage_of
from allod.errors import AllodError
from allod.server.layout import FleetDirectory
from allod.server.ports import DeviceRow
from allod.server.services.fleets import DOCUMENT_CAP, published_file, verify_published
from allod.trust.effects import drive
from allod.trust.metadata import read
from allod.wire.codec import decode
from allod.wire.desired import decode_state
from allod.wire.trust import WithdrawnDocument

_WITHDRAWN = "releases/withdrawn.json"
_ONLINE = frozenset({"root", "snapshot", "timestamp"})


@dataclass(frozen=True, slots=True)
class OpenRollout:
    """A rollout that published documents hold, and what is to be true after it."""

    author: str  #: `owner`, or a delegation's id
    package: Purl
    plan: Rollout
    after: PackageEntry
    deciders: Mapping[Scope, str | None]  #: scope -> whose word it takes; None: it cannot be read
    scopes: tuple[Scope, ...]
    clash: str = ""  #: why it cannot go on beside another of its id

    @property
    def id(self) -> str:
        """Its name."""
        return self.plan.id

    @property
    def software(self) -> Software | None:
        """What is to be there, if the software is part of it."""
        return None if self.plan.before is None else self.after.software

    @property
    def digest(self) -> Digest | None:
        """Of the release that is to run."""
        active = None if self.software is None else self.software.active
        return None if active is None else active.digest

    def stage(self, row: DeviceRow) -> int | None:
        """The stage of a device; None: it is no part of the rollout."""
        if row.surplus or row.status != "active":
            return None
        for scope in scopes_of(row.device, row.groups):  # type: ignore[arg-type]
            if scope in self.deciders:
                mine = scope in self.scopes and self.deciders[scope] == self.author
                return stage_of(self.plan, row.device) if mine else None
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the documents of a fleet say of rollouts, and under which versions."""

    versions: Mapping[str, int]
    rollouts: Mapping[str, OpenRollout]
    withdrawn: Mapping[Digest, str]
    members: str  #: digest of what decides who is in which scope


def signed_versions(versions: Mapping[str, int]) -> dict[str, int]:
    """Those of the roles that people sign."""
    return {role: number for role, number in versions.items() if role not in _ONLINE}


def read_rollouts(directory: FleetDirectory, versions: Mapping[str, int]) -> Reading:
    """Read them from the published files.

    Raises:
        AllodError: the files are not whole.
    """

    def get(path: str, cap: int) -> bytes | None:
        return published_file(directory, path, cap)

    repository = verify_published(directory)
    states: list[StateDocument] = []
    withdrawn: dict[Digest, str] = {}
    own: list[str] = []
    for path in sorted(set(_paths(repository.files))):
        if not path.startswith(("state/", "by/")) and path != _WITHDRAWN:
            continue
        target = drive(repository.target(path, DOCUMENT_CAP), get, lambda _: None)
        if target is None:
            continue
        if path == _WITHDRAWN:
            document = decode(target.data, WithdrawnDocument, cap=DOCUMENT_CAP, what=path)
            withdrawn = {parse_digest(one.digest): one.why for one in document.releases}
            continue
        try:
            state = decode_state(target.data)
        except AllodError:  # a newer program wrote it: devices keep what they have there
            continue
        states.append(state)
        if path.startswith("state/devices/") and state.device is not None:
            record = state.device
            own.append(f"{path} {record.epoch} {record.status} {record.groups}")
    return Reading(
        signed_versions(versions),
        _rollouts(states),
        withdrawn,
        sha256("\n".join(own).encode()),
    )


def _paths(files: Mapping[str, bytes]) -> Iterator[str]:
    for role, data in files.items():
        yield from getattr(read(data, role).signed, "targets", {})


def _rollouts(states: Iterable[StateDocument]) -> dict[str, OpenRollout]:
    """By id. The owner's goes before a delegate's, and one plan has one id."""
    documents = list(states)
    owners = {one.scope: one for one in documents if one.author == OWNER}
    found: dict[str, OpenRollout] = {}
    for document in sorted(documents, key=lambda one: (one.author != OWNER, one.author, one.scope)):
        for key, entry in sorted(document.packages.items()):
            if entry.rollout is None or is_pattern(key):
                continue
            package = Purl(key)
            known = found.get(entry.rollout.id)
            made = OpenRollout(
                document.author,
                package,
                entry.rollout,
                entry,
                _deciders(owners, package, software=entry.rollout.before is not None),
                (document.scope,),
            )
            found[made.id] = made if known is None else _joined(known, made)
    return found


def _joined(known: OpenRollout, other: OpenRollout) -> OpenRollout:
    """One rollout of both. A delegate's plan under a name that is taken changes nothing there."""
    if known.author != other.author:
        return known
    halves = (known.after.software, known.after.configuration)
    same = (known.package, known.plan) == (other.package, other.plan)
    if same and halves == (other.after.software, other.after.configuration):
        return replace(known, scopes=(*known.scopes, *other.scopes))
    return replace(known, clash=f"{other.scopes[0]} has another plan of the same name")


def _deciders(
    owners: Mapping[Scope, StateDocument], package: Purl, *, software: bool
) -> dict[Scope, str | None]:
    """Whose word each scope takes for one half of a package, where it says so at all."""
    found: dict[Scope, str | None] = {}
    for scope, document in owners.items():
        known = {*document.packages, *document.unreadable}
        patterns = (key for key in known if is_pattern(key) and pattern_covers(key, package))
        keys = sorted(patterns, key=lambda key: (-len(key), key))
        for key in [package] * (package in known) + keys:
            if key in document.unreadable:
                found[scope] = None
                break
            entry = document.packages[key]
            half = entry.software if software else entry.configuration
            if half is not None:
                named = key == package or half.manager != OWNER
                found[scope] = half.manager if named else None
                break
    return found
