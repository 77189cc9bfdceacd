"""Who holds a role, and whether what they signed counts: the rule of docs/spec/log.md, once.

Devices apply it to what is new for them, auditors to the whole log; both by the code here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from allod.domain.ids import FleetId
from allod.errors import AllodError, Untrusted
from allod.trust.anchor import keys_of
from allod.trust.effects import Need, Steps
from allod.trust.floors import Counted
from allod.trust.metadata import (
    BINS,
    DEVICES,
    ROOT,
    TARGETS,
    TARGETS_CAP,
    RoleFile,
    cache_name,
    check_address,
    metadata_path,
    open_role,
    tuf_rules,
    withheld,
)
from allod.wire.log import TRUST_ROLE


def delegator_of(role: str) -> str | None:
    """Who gives a role to its keys; None: there is no such role."""
    if role in {TARGETS, TRUST_ROLE}:
        return ROOT
    if role.startswith(f"{BINS}-"):
        return DEVICES
    return TARGETS if role == DEVICES or role.startswith("delegation-") else None


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a role, and how many of them have to sign."""

    keys: tuple[Key, ...]
    threshold: int

    def enough(self, good: frozenset[str]) -> frozenset[str]:
        """The public keys that signed; empty: they were too few."""
        return good if len(good) >= max(self.threshold, 1) else frozenset()

    def still(self, entry: Counted) -> bool:
        """Whether enough of those who signed it hold the role."""
        public = {key.keyval["public"] for key in self.keys}
        return len(entry.by & public) >= max(self.threshold, 1)


#: The public keys of those of `holders` who signed an entry, if they are enough; else empty.
SignedBy = Callable[[Holders], frozenset[str]]


class Verdict(StrEnum):
    """What an entry is, where it stands in the log."""

    COUNTS = "counts"  #: the newest of its role now
    OLDER = "older"  #: it would count, and is not newer than what counts
    TWICE = "twice"  #: another content of the version that counts
    UNSIGNED = "unsigned"  #: not by who held the role
    BEYOND = "beyond"  #: a root beyond the chain, by who holds the newest one: it is withheld


def judge(
    current: Counted | None, entry: Counted, holders: Holders | None, signed: SignedBy
) -> tuple[Verdict, Counted | None]:
    """Judge an entry of any role but root.

    Args:
        current: the newest entry of the role that counts so far.
        entry: the entry; `by` is yet empty.
        holders: who holds the role at this place of the log; None: nobody.
        signed: who of them signed it.

    Returns:
        The verdict, and the newest entry that counts after it.
    """
    by = frozenset() if holders is None else signed(holders)
    if holders is None or not by:
        return Verdict.UNSIGNED, current
    if current is not None and not holders.still(current):
        current = None  # its signers lost the role: it restrains nobody any more
    if current is None or entry.version > current.version or _again(current, entry):
        return Verdict.COUNTS, replace(entry, by=by)
    if entry.version == current.version and entry.digest != current.digest:
        return Verdict.TWICE, current
    return Verdict.OLDER, current


def _again(current: Counted, entry: Counted) -> bool:
    """Whether what counted in a log that was lost is now in its successor."""
    same = (current.version, current.digest) == (entry.version, entry.digest)
    return current.index < 0 and same


@dataclass(slots=True)
class Holding:
    """Answers who holds a role under its delegator's version.

    Attributes:
        roots: version -> root, verified one by the other.
        cached: role files by their name in the cache; those that do not fit are fetched.
        keep: how many delegators' files are kept in memory; None: all.
    """

    fleet: FleetId
    roots: Mapping[int, RoleFile]
    cached: Mapping[str, bytes]
    keep: int | None = None
    _files: dict[tuple[str, int, str], Targets] = field(default_factory=dict)

    def of_root(self, version: int) -> Holders:
        """Who holds root under a version of it."""
        keys, threshold = keys_of(self.roots[version].signed, ROOT)
        return Holders(tuple(keys), threshold)

    def judge_root(
        self, current: Counted | None, entry: Counted, signed: SignedBy
    ) -> tuple[Verdict, Counted | None]:
        """Judge an entry of root: thresholds of N and N+1 (as `judge`).

        The first one in a log needs its own alone, also in a log that succeeds another: the chain
        of roots has shown already that it follows.
        """
        newest = max(self.roots)
        if entry.version > newest:
            beyond = bool(signed(self.of_root(newest)))
            return (Verdict.BEYOND if beyond else Verdict.UNSIGNED), current
        file = self.roots.get(entry.version)
        if file is None:
            return Verdict.OLDER, current
        by = signed(self.of_root(entry.version))
        grown = current is not None and entry.version > current.version
        first = current is None or current.index < 0
        if grown and not first and not signed(self.of_root(entry.version - 1)):
            by = frozenset()
        if not by:
            return Verdict.UNSIGNED, current
        if entry.digest != file.digest:
            return Verdict.TWICE, current
        if current is None or grown or _again(current, entry):
            return Verdict.COUNTS, replace(entry, by=by)
        return Verdict.OLDER, current

    def holders(self, role: str, reign: Counted | None) -> Steps[Holders | None]:
        """Who holds a role under its delegator's version; None: nobody.

        Raises:
            Untrusted: `mix-and-match`.
            Unavailable: `withheld`: the delegator's file is not served.
        """
        if reign is None:
            return None
        delegator = delegator_of(role) or ROOT
        if delegator == ROOT:
            root: Root = self.roots[reign.version].signed
            keys, threshold = keys_of(root, ROOT if role == TRUST_ROLE else role)
            return Holders(tuple(keys), threshold)
        file = yield from self.file(delegator, reign)
        delegations = file.delegations
        found: Any = None
        if delegations is not None and delegations.roles is not None:
            found = delegations.roles.get(role)
        elif delegations is not None and delegations.succinct_roles is not None:
            succinct = delegations.succinct_roles
            found = succinct if succinct.is_delegated_role(role) else None
        if delegations is None or found is None:
            return None
        keys = [delegations.keys[keyid] for keyid in found.keyids if keyid in delegations.keys]
        return Holders(tuple(keys), found.threshold)

    def file(self, role: str, entry: Counted) -> Steps[Targets]:
        """A delegator's file of a version that counts; its entry vouches for its digest.

        Raises:
            Untrusted: `mix-and-match`.
            Unavailable: `withheld`.
        """
        place = (role, entry.version, entry.digest)
        if place in self._files:
            return self._files[place]
        signed = self._from_cache(role, entry)
        if signed is None:
            path = metadata_path(role, entry.version)
            data = yield Need(path, TARGETS_CAP)
            if data is None:
                raise withheld(path)
            with tuf_rules(role):
                file = open_role(data, role)
                check_address(file.signed, self.fleet, role)
            if file.digest != entry.digest:
                raise Untrusted(
                    "mix-and-match",
                    f"cannot accept {role} version {entry.version}: the log has another one",
                    role=role,
                )
            signed = file.signed
        if self.keep is not None and len(self._files) >= self.keep:
            del self._files[next(iter(self._files))]
        self._files[place] = signed
        return signed

    def _from_cache(self, role: str, entry: Counted) -> Targets | None:
        data = self.cached.get(cache_name(role))
        if data is None:
            return None
        try:
            file = open_role(data, role)
        except AllodError:
            return None
        signed: Targets = file.signed
        return signed if file.digest == entry.digest else None
