"""Snapshot and timestamp: the two roles that the server signs. They say what is newest, no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from securesystemslib.signer import Signer

from allod.trust.metadata import ROOT, SNAPSHOT, TIMESTAMP, read
from allod.trust.online import SNAPSHOT_LIFE, TIMESTAMP_LIFE, snapshot_of, timestamp_of


def _none_waits(_role: str) -> Signer | None:
    return None


@dataclass(frozen=True, slots=True)
class OnlineKeys:
    """The keys of both roles, how long their words count, and the keys that wait for a root."""

    snapshot: Signer
    timestamp: Signer
    snapshot_life: timedelta = SNAPSHOT_LIFE
    timestamp_life: timedelta = TIMESTAMP_LIFE
    waiting: Callable[[str], Signer | None] = field(default=_none_waits, compare=False)

    def under(self, root: bytes) -> OnlineKeys:
        """The keys that `root` names: those that wait take over with the root that names them.

        Args:
            root: the newest root file, as it will be published.

        Raises:
            InvalidInput: it is no root metadata.
        """
        roles = read(root, ROOT).signed.roles
        chosen: dict[str, Signer] = {}
        for role, signer in ((SNAPSHOT, self.snapshot), (TIMESTAMP, self.timestamp)):
            chosen[role] = signer
            if signer.public_key.keyid not in roles[role].keyids:
                other = self.waiting(role)
                if other is not None and other.public_key.keyid in roles[role].keyids:
                    chosen[role] = other
        return replace(self, snapshot=chosen[SNAPSHOT], timestamp=chosen[TIMESTAMP])


@dataclass(frozen=True, slots=True)
class Online:
    """Both files, and what they say."""

    snapshot: bytes
    timestamp: bytes
    snapshot_version: int
    versions: Mapping[str, int]  #: role -> version; snapshot and timestamp too, root left out
    expires: datetime  #: the earlier of both


def read_online(snapshot: bytes, timestamp: bytes) -> Online:
    """Read both files as the server itself wrote them. Raises InvalidInput."""
    inner = read(snapshot, SNAPSHOT).signed
    outer = read(timestamp, TIMESTAMP).signed
    listed = {name.removesuffix(".json"): meta.version for name, meta in inner.meta.items()}
    return Online(
        snapshot,
        timestamp,
        inner.version,
        {**listed, SNAPSHOT: inner.version, TIMESTAMP: outer.version},
        min(inner.expires, outer.expires),
    )


def sign_online(
    keys: OnlineKeys,
    now: datetime,
    *,
    previous: Online | None,
    changed: Mapping[str, bytes],
    snapshot_above: int = 0,
    timestamp_above: int = 0,
) -> Online:
    """Sign both roles anew.

    Args:
        keys: of the server.
        now: from when on they count.
        previous: what is published; a role once listed stays for ever.
        changed: role -> new metadata file.
        snapshot_above: a version that devices may have seen (after a restore).
        timestamp_above: likewise.

    Raises:
        InvalidInput: `older-role`, or a file is no metadata.
    """
    snapshot = snapshot_of(
        None if previous is None else previous.snapshot,
        changed,
        [keys.snapshot],
        now,
        life=keys.snapshot_life,
        above=snapshot_above,
    )
    timestamp = timestamp_of(
        None if previous is None else previous.timestamp,
        snapshot,
        [keys.timestamp],
        now,
        life=keys.timestamp_life,
        above=timestamp_above,
    )
    return read_online(snapshot, timestamp)
