"""What may not go back: roles under their floors, and snapshots under the one before."""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import MetaFile

from allod.errors import Untrusted
from allod.trust.floors import Counted, Floors
from allod.trust.metadata import SNAPSHOT, TIMESTAMP, RoleFile


def is_delegates(role: str) -> bool:
    """Whether the role is one that the owner gave to a delegate."""
    return role.startswith("delegation-")


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
