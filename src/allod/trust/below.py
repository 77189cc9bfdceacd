"""What may not go back: roles under their floors, and snapshots under the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tuf.api.metadata import MetaFile, Root, Targets
from tuf.api.metadata import TargetFile as TargetInfo

from allod.domain.ids import Digest
from allod.errors import Unavailable, Untrusted
from allod.trust.floors import Counted, Floors
from allod.trust.metadata import SNAPSHOT, TIMESTAMP, RoleFile, quote

_HEX: Final = re.compile(r"[0-9a-f]{32,128}", re.ASCII)
PUBLISHING: Final = timedelta(hours=1)  #: how long log and files may differ

#: What a delegate can do to their own role, or a source by losing it.
OF_DELEGATES: Final = frozenset(
    {
        "auth",
        "bad-json",
        "bad-metadata",
        "stale",
        "too-large",
        "withheld",
        "wrong-fleet",
        "wrong-role",
    }
)


@dataclass(frozen=True, slots=True)
class TargetFile:
    """One file that the owner (or who they delegated to) signed."""

    path: str
    data: bytes
    digest: Digest
    role: str
    version: int
    log_index: int | None = None  #: of the entry of that version; None: the fleet has no log


def is_delegates(role: str) -> bool:
    """Whether the role is one that the owner gave to a delegate."""
    return role.startswith("delegation-")


def given_by(role: str, signed: Targets) -> list[str]:
    """The roles that a role gives to others; a delegate gives nothing on."""
    given = signed.delegations
    if given is None or is_delegates(role):
        return []
    if given.roles is not None:
        return list(given.roles)
    return [] if given.succinct_roles is None else list(given.succinct_roles.get_roles())


def check_floor(floors: Floors, file: RoleFile) -> None:
    """Neither below the floor nor another document at it.

    Raises:
        Untrusted: `rollback` (attack 4, 55 in part), `equivocation` (one version, two digests).
    """
    floor = floors.roles.get(file.role, 0)
    known = floors.digests.get(file.role)
    if file.version < floor:
        raise rollback(file.role, file.version, floor)
    if file.version == floor and known is not None and known != file.digest:
        raise Untrusted(
            "equivocation",
            f"cannot accept {file.role} version {file.version}: it is not the one seen before",
            role=file.role,
            version=file.version,
        )


def check_not_less(before: Mapping[str, MetaFile], after: Mapping[str, MetaFile]) -> None:
    """TUF 5.5.5: no role leaves, none goes back, whether this machine uses it or not."""
    for name, meta in before.items():
        role = name.removesuffix(".json")
        if name not in after:
            raise role_missing(role)
        if after[name].version < meta.version:
            raise rollback(role, after[name].version, meta.version)


def check_listed(floors: Floors, listed: Mapping[str, MetaFile]) -> None:
    """Every role that was ever verified stands in the snapshot, not below its floor.

    Otherwise the holder of the online keys mixes roles of two epochs, or makes a role that
    restrains somebody vanish (attack 4, 26). The snapshot is not the owner's word: it
    raises no floor of a role, only the role's own signers do (attack 6).
    """
    for role, floor in floors.roles.items():
        if role in {TIMESTAMP, SNAPSHOT}:
            continue
        meta = listed.get(f"{role}.json")
        if meta is None:
            raise role_missing(role)
        if meta.version < floor:
            raise rollback(role, meta.version, floor)


def check_logged(entry: Counted | None, file: RoleFile) -> str | None:
    """Whether the newest entry that counts for a role is that of `file`; else how they differ.

    Raises:
        Untrusted: `equivocation` (one version, two digests).
    """
    if entry is None or entry.version != file.version:
        known = "none" if entry is None else f"version {entry.version}"
        return f"{file.role} version {file.version} is served, and the log has {known}"
    if entry.digest != file.digest:
        raise Untrusted(
            "equivocation",
            f"cannot accept {file.role} version {file.version}: the log has another one",
            role=file.role,
        )
    return None


def role_missing(role: str) -> Untrusted:
    """A role that was there is not listed any more."""
    return Untrusted("role-missing", f"cannot accept the snapshot: it lacks {role}", role=role)


def rollback(role: str, version: int, floor: int) -> Untrusted:
    """A version below one that was verified before."""
    return Untrusted(
        "rollback",
        f"cannot accept {role} version {version}: version {floor} was seen before",
        role=role,
        version=version,
        floor=floor,
    )


def is_at_floor(floors: Floors, file: RoleFile) -> bool:
    """Whether it is the very file that was verified last."""
    known = (floors.roles.get(file.role), floors.digests.get(file.role))
    return (file.version, file.digest) == known


def not_yet(role: str, says: str, since: datetime, now: datetime) -> Unavailable:
    """Log and files differ: for an hour it may be a publication, then something is withheld (55)."""
    if timedelta(0) <= now - since <= PUBLISHING:
        return Unavailable("publishing", f"cannot go on yet: {says}", role=role)
    return Unavailable("withheld", f"cannot go on: {says}, since {since}", role=role)


def target_path(info: TargetInfo, root: Root) -> str:
    """Where a target file lies, relative to /f/<fleet>/.

    Raises:
        Untrusted: `bad-metadata`: what stands for its digest is none. It would be asked for, and
            what a source answers to any text is no fault of the source.
    """
    if not all(_HEX.fullmatch(one) for one in info.hashes.values()):
        raise Untrusted("bad-metadata", f"cannot accept {info.path}: its digest is none")
    path = info.get_prefixed_paths()[0] if root.consistent_snapshot else info.path
    return "tuf/targets/" + quote(path, safe=b"/")
