"""Which entries of the authority log count, and so which version of each role is the newest.

The rule (docs/spec/log.md): an entry counts if enough of its signers held the role under the
newest counting entry of the role's delegator at a lower index, and still do; a root's needs the
thresholds of the root before and of its own. All else is passed over and reported, so whoever
holds the log's key can append anything and stop nothing (attack 57).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from allod.domain.ids import FleetId
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.trust.anchor import keys_of
from allod.trust.dsse import good_signatures
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
from allod.wire.log import TRUST_ROLE, AuthorityEntry, RoleStatement, decode_authority
from allod.wire.report import Alarm

_TOLD: Final = 5  #: entries that do not count and are named one by one


def delegator_of(role: str) -> str | None:
    """Who gives a role to its keys; None: there is no such role."""
    if role in {TARGETS, TRUST_ROLE}:
        return ROOT
    if role.startswith(f"{BINS}-"):
        return DEVICES
    return TARGETS if role == DEVICES or role.startswith("delegation-") else None


@dataclass(frozen=True, slots=True)
class _Logged:
    index: int
    entry: AuthorityEntry
    statement: RoleStatement


@dataclass(frozen=True, slots=True)
class _Holders:
    """Who has a role, and how many of them have to sign."""

    keys: tuple[Key, ...]
    threshold: int

    def signed(self, logged: _Logged) -> frozenset[str]:
        """The public keys of those who signed an entry; empty: they were too few."""
        good = good_signatures(logged.entry.envelope, logged.entry.payload, self.keys)
        return frozenset(good) if len(good) >= max(self.threshold, 1) else frozenset()

    def still(self, entry: Counted) -> bool:
        """Whether enough of those who signed it hold the role."""
        public = {key.keyval["public"] for key in self.keys}
        return len(entry.by & public) >= max(self.threshold, 1)


def _again(entry: Counted, logged: _Logged) -> bool:
    """Whether what counted in a log that was lost is now in its successor."""
    statement = logged.statement
    return entry.index < 0 and (entry.version, entry.digest) == (
        statement.version,
        statement.digest,
    )


def _began(reign: tuple[int, Counted]) -> int:
    return reign[0]


@dataclass(slots=True)
class Counting:
    """Takes the entries of a tail in order, then says what counts.

    Attributes:
        roots: version -> root, verified one by the other, from that of the newest entry that
            counted before to the newest that is served.
        counted: role -> the newest counting entry: before the tail, and after `finish`.
    """

    fleet: FleetId
    roots: Mapping[int, RoleFile]
    counted: dict[str, Counted]
    cached: Mapping[str, bytes]
    alarms: list[Alarm] = field(default_factory=list)
    _entries: dict[str, list[_Logged]] = field(default_factory=dict)
    _reigns: dict[str, list[tuple[int, Counted]]] = field(default_factory=dict)
    _files: dict[tuple[str, int, str], Targets] = field(default_factory=dict)
    _ignored: list[str] = field(default_factory=list)
    _passed: int = 0

    def take(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Entries with their indices, in order. What cannot be read does not count."""
        for index, data in entries:
            try:
                entry = decode_authority(data)
            except InvalidInput as error:
                self._ignore(index, error.message)
                continue
            statement = entry.role
            if statement is None:
                continue  # a channel's document concerns no role
            if statement.fleet != self.fleet:
                self._ignore(index, "it is of another fleet")
            elif statement.role != ROOT and delegator_of(statement.role) is None:
                self._ignore(index, f"there is no role {statement.role[:80]!r}")
            else:
                logged = _Logged(index, entry, statement)
                self._entries.setdefault(statement.role, []).append(logged)

    def finish(self) -> Steps[None]:
        """Judge all that was taken, delegators first.

        Raises:
            Untrusted: `root-withheld`, `mix-and-match`.
            Unavailable: `withheld`: the file of a version that counts is not served.
        """
        self._judge_roots()
        roles = {*self._entries, *self.counted} - {ROOT, TARGETS, DEVICES}
        for role in (TARGETS, DEVICES, *sorted(roles)):
            yield from self._judge(role)
        if self._passed:
            rest = self._passed - len(self._ignored)
            says = "; ".join(self._ignored) + (f"; and {rest} more" if rest else "")
            self.alarms.append(Alarm(code="log-entry-ignored", says=says))

    def _judge_roots(self) -> None:
        """Thresholds of N and N+1; a root that is logged and not served is withheld (attack 7)."""
        reigns = self._reigns.setdefault(ROOT, [])
        if (before := self.counted.get(ROOT)) is not None:
            reigns.append((-1, before))
        newest = max(self.roots)
        for logged in self._entries.get(ROOT, ()):
            version, digest = logged.statement.version, logged.statement.digest
            if version > newest:
                self._root_beyond(newest, logged)
                continue
            file = self.roots.get(version)
            if file is None:
                continue  # older than what is known to count
            by = self._root_holders(version).signed(logged)
            grown = bool(reigns) and version > reigns[-1][1].version
            if grown and not self._root_holders(version - 1).signed(logged):
                by = frozenset()
            if not by:
                self._ignore(logged.index, f"root {version} lacks signatures")
            elif digest != file.digest:
                self._two_contents(ROOT, version)
            elif not reigns or grown or _again(reigns[-1][1], logged):
                reigns.append((logged.index, Counted(logged.index, version, digest, by)))
        if reigns:
            self.counted[ROOT] = reigns[-1][1]

    def _root_beyond(self, newest: int, logged: _Logged) -> None:
        version = logged.statement.version
        if self._root_holders(newest).signed(logged):
            raise Untrusted(
                "root-withheld",
                f"cannot go on: the log has root version {version}, which is not served",
                index=logged.index,
            )
        self._ignore(logged.index, f"root {version} is not signed by root {newest}")

    def _judge(self, role: str) -> Steps[None]:
        """The entries of one role, in order, each under who reigned then; the last under who does."""
        delegator = delegator_of(role) or ROOT
        current = self.counted.get(role)
        reigns = self._reigns.setdefault(role, [])
        if current is not None:
            reigns.append((-1, current))
        for logged in self._entries.get(role, ()):
            holders = yield from self._holders(role, self._reign(delegator, logged.index))
            by = frozenset() if holders is None else holders.signed(logged)
            if holders is None or not by:
                says = f"{role} {logged.statement.version} is not signed by who held the role"
                self._ignore(logged.index, says)
                continue
            if current is not None and not holders.still(current):
                current = None  # its signers lost the role: it restrains nobody any more
            version, digest = logged.statement.version, logged.statement.digest
            if current is not None and version == current.version and digest != current.digest:
                self._two_contents(role, version)
            elif current is None or version > current.version or _again(current, logged):
                current = Counted(logged.index, version, digest, by)
                reigns.append((logged.index, current))
        last = yield from self._holders(role, self._reign(delegator, None))
        self.counted.pop(role, None)
        if current is not None and last is not None and last.still(current):
            self.counted[role] = current

    def _reign(self, role: str, index: int | None) -> Counted | None:
        """The newest entry of a delegator that counted before `index`; None: at the end."""
        if index is None:
            return self.counted.get(role)
        reigns = self._reigns.get(role, [])
        before = bisect_left(reigns, index, key=_began)
        return reigns[before - 1][1] if before else None

    def _root_holders(self, version: int) -> _Holders:
        keys, threshold = keys_of(self.roots[version].signed, ROOT)
        return _Holders(tuple(keys), threshold)

    def _holders(self, role: str, reign: Counted | None) -> Steps[_Holders | None]:
        """Who holds a role under its delegator's version; None: nobody."""
        if reign is None:
            return None
        if delegator_of(role) == ROOT:
            root: Root = self.roots[reign.version].signed
            keys, threshold = keys_of(root, ROOT if role == TRUST_ROLE else role)
            return _Holders(tuple(keys), threshold)
        file = yield from self._file(delegator_of(role) or ROOT, reign)
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
        return _Holders(tuple(keys), found.threshold)

    def _file(self, role: str, entry: Counted) -> Steps[Targets]:
        """A delegator's file of a version that counts; its entry vouches for its digest."""
        place = (role, entry.version, entry.digest)
        if place not in self._files:
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
            self._files[place] = signed
        return self._files[place]

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

    def _ignore(self, index: int, why: str) -> None:
        self._passed += 1
        if len(self._ignored) < _TOLD:
            self._ignored.append(f"entry {index} does not count: {why[:160]}")

    def _two_contents(self, role: str, version: int) -> None:
        says = f"{role} {version} was signed with two contents; the first in the log holds"
        self.alarms.append(Alarm(code="equivocation", says=says))
