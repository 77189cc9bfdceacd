"""Who signs a role, how many of them, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import Delegations, Role, Root

from allod.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Lives:
    """How long signatures hold, and how finely devices are binned."""

    root: timedelta
    targets: timedelta
    bin_bits: int


HOME: Final = Lives(timedelta(days=730), timedelta(days=365), 4)
PRODUCTION: Final = Lives(timedelta(days=730), timedelta(days=90), 8)


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """The keys of a role, and how many of them have to sign."""

    keys: tuple[Key, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        """Raises InvalidInput `bad-threshold`."""
        distinct = {key.keyval["public"] for key in self.keys}
        if not 1 <= self.threshold <= len(distinct) or len(distinct) != len(self.keys):
            raise InvalidInput(
                "bad-threshold",
                f"cannot require {self.threshold} signatures of {len(distinct)} different keys",
            )


def after(now: datetime, life: timedelta) -> datetime:
    """When something signed now expires: UTC, whole seconds."""
    return (now.astimezone(UTC) + life).replace(microsecond=0)


def ids(keys: RoleKeys) -> list[str]:
    """Their key ids, in order."""
    return [key.keyid for key in keys.keys]


def by_id(keys: RoleKeys) -> dict[str, Key]:
    """Key id -> key."""
    return {key.keyid: key for key in keys.keys}


def set_root_keys(root: Root, keys: Mapping[str, RoleKeys]) -> None:
    """Give top-level roles to these keys; keys that no role uses any more leave the root."""
    for role, new in keys.items():
        root.roles[role] = Role(ids(new), new.threshold)
        root.keys.update(by_id(new))
    used = {keyid for role in root.roles.values() for keyid in role.keyids}
    root.keys = {keyid: key for keyid, key in root.keys.items() if keyid in used}


def forget_keys(delegations: Delegations) -> None:
    """Keys that no delegated role uses any more leave."""
    used = {keyid for role in (delegations.roles or {}).values() for keyid in role.keyids}
    delegations.keys = {keyid: key for keyid, key in delegations.keys.items() if keyid in used}
