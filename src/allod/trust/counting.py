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
from typing import Final

from allod.domain.ids import FleetId
from allod.errors import InvalidInput, Untrusted
from allod.trust.below import is_delegates
from allod.trust.channels import channel_name
from allod.trust.dsse import good_signatures
from allod.trust.effects import Steps
from allod.trust.floors import Counted, channel_role
from allod.trust.holding import Holders, Holding, Verdict, delegator_of, judge
from allod.trust.metadata import DEVICES, ROOT, TARGETS, RoleFile
from allod.wire.envelope import Envelope
from allod.wire.log import AuthorityEntry, RoleStatement, decode_authority
from allod.wire.report import Alarm

_HELD: Final = 16 * 1024 * 1024  #: bytes of channels' documents
_TOLD: Final = 5  #: entries that do not count and are named one by one


@dataclass(frozen=True, slots=True)
class _Logged:
    index: int
    entry: AuthorityEntry
    statement: RoleStatement

    @property
    def place(self) -> Counted:
        """The entry, as it would count."""
        return Counted(self.index, self.statement.version, self.statement.digest)

    def signed(self, holders: Holders) -> frozenset[str]:
        """See `allod.trust.holding.SignedBy`."""
        good = good_signatures(self.entry.envelope, self.entry.payload, holders.keys)
        return holders.enough(frozenset(good))


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
    channels: dict[str, list[tuple[int, Envelope]]] = field(default_factory=dict)
    only: frozenset[str] | None = None  #: roles and channels that are looked at; None: all
    begin: int = 0  #: index of the first entry of the tail
    spilled: dict[str, int] = field(default_factory=dict)  #: channels that were too much to hold
    _held: int = 0
    _lazily: bool = False
    _entries: dict[str, list[_Logged]] = field(default_factory=dict)
    _reigns: dict[str, list[tuple[int, Counted]]] = field(default_factory=dict)
    _ignored: list[str] = field(default_factory=list)
    _passed: int = 0
    _holding: Holding = field(init=False)

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
                self._take_channel(index, entry)
            elif statement.fleet != self.fleet:
                self._ignore(index, "it is of another fleet")
            elif statement.role != ROOT and delegator_of(statement.role) is None:
                self._ignore(index, f"there is no role {statement.role[:80]!r}")
            elif self.only is None or statement.role in self.only:
                logged = _Logged(index, entry, statement)
                self._entries.setdefault(statement.role, []).append(logged)

    def _take_channel(self, index: int, entry: AuthorityEntry) -> None:
        """Whose it is is only known once the owner's word about its provider is (`following`)."""
        try:
            name = channel_name(entry.payload)
        except InvalidInput as error:
            self._ignore(index, error.message)
            return
        if name in self.spilled or (self.only is not None and name not in self.only):
            return
        self.channels.setdefault(name, []).append((index, entry.envelope))
        self._held += len(entry.envelope.payload)
        if self.only is None and self._held > _HELD:
            dropped = self.channels.pop(name)
            self._held -= sum(len(envelope.payload) for _, envelope in dropped)
            self.spilled[name] = dropped[0][0]

    def waiting(self) -> Mapping[str, int]:
        """Role of a delegate, or channel -> the first of its entries that is not judged."""
        roles = {
            role: entries[0].index
            for role, entries in self._entries.items()
            if role not in self._reigns
        }
        held = {name: found[0][0] for name, found in self.channels.items()}
        channels = {**held, **self.spilled}
        return {**roles, **{channel_role(name): first for name, first in channels.items()}}

    def finish(self, *, lazily: bool = False, eager: frozenset[str] = frozenset()) -> Steps[None]:
        """Judge all that was taken, delegators first.

        Args:
            lazily: delegates who never counted here are judged when they are asked for, and of
                each no more entries than decide.
            eager: who is judged now all the same.

        Raises:
            Untrusted: `root-withheld`, `mix-and-match`.
            Unavailable: `withheld`: the file of a version that counts is not served.
        """
        self._holding = Holding(self.fleet, self.roots, self.cached)
        self._judge_roots()
        roles = {*self._entries, *self.counted} - {ROOT, TARGETS, DEVICES}
        self._lazily = lazily
        fresh = roles - self.counted.keys() - eager
        later = {role for role in fresh if lazily and is_delegates(role)}
        for role in (TARGETS, DEVICES, *sorted(roles - later)):
            yield from self._judge(role)
        if self._passed:
            rest = self._passed - len(self._ignored)
            says = "; ".join(self._ignored) + (f"; and {rest} more" if rest else "")
            self.alarms.append(Alarm(code="log-entry-ignored", says=says))

    def judge_role(self, role: str) -> Steps[None]:
        """Judge a delegate's role, whose entries were left.

        Raises:
            Untrusted: `mix-and-match`.
            Unavailable: `withheld`.
        """
        if role in self._entries and role not in self._reigns:
            yield from self._judge(role)

    @property
    def reigns(self) -> Mapping[str, tuple[Counted, ...]]:
        """Role -> the entries of the tail that counted when they were judged, in order."""
        return {
            role: found
            for role, known in self._reigns.items()
            if (found := tuple(entry for began, entry in known if began >= 0))
        }

    def _judge_roots(self) -> None:
        """Thresholds of N and N+1; a root that is logged and not served is withheld (attack 7)."""
        reigns = self._reigns.setdefault(ROOT, [])
        if (before := self.counted.get(ROOT)) is not None:
            reigns.append((-1, before))
        for logged in self._entries.get(ROOT, ()):
            current = reigns[-1][1] if reigns else None
            verdict, newest = self._holding.judge_root(current, logged.place, logged.signed)
            version = logged.statement.version
            if verdict is Verdict.BEYOND:
                raise Untrusted(
                    "root-withheld",
                    f"cannot go on: the log has root version {version}, which is not served",
                    index=logged.index,
                )
            if verdict is Verdict.UNSIGNED:
                self._ignore(logged.index, f"root {version} lacks signatures")
            elif verdict is Verdict.TWICE:
                self._two_contents(ROOT, version)
            elif verdict is Verdict.COUNTS and newest is not None:
                reigns.append((logged.index, newest))
        if reigns:
            self.counted[ROOT] = reigns[-1][1]

    def _judge(self, role: str) -> Steps[None]:
        """The entries of one role, in order, each under who reigned then; the last under who does."""
        delegator = delegator_of(role) or ROOT
        current = self.counted.get(role)
        reigns = self._reigns.setdefault(role, [])
        if current is not None:
            reigns.append((-1, current))
        for logged in (yield from self._decisive(role, current)):
            holders = yield from self._holding.holders(role, self._reign(delegator, logged.index))
            verdict, current = judge(current, logged.place, holders, logged.signed)
            if verdict is Verdict.UNSIGNED:
                says = f"{role} {logged.statement.version} is not signed by who held the role"
                self._ignore(logged.index, says)
            elif verdict is Verdict.TWICE:
                self._two_contents(role, logged.statement.version)
            elif verdict is Verdict.COUNTS and current is not None:
                reigns.append((logged.index, current))
        last = yield from self._holding.holders(role, self._reign(delegator, None))
        self.counted.pop(role, None)
        if current is not None and last is not None and last.still(current):
            self.counted[role] = current

    def _decisive(self, role: str, current: Counted | None) -> Steps[list[_Logged]]:
        """The entries of a role from the one on after which those before make no difference.

        Of a delegate's role that is the last one that is signed and higher than all before it: it
        counts whatever they did. So nobody fetches what `targets` was at each of them.
        """
        entries = self._entries.get(role, [])
        if not self._lazily or not is_delegates(role):
            return entries
        highest = [0 if current is None else current.version]
        for logged in entries:
            highest.append(max(highest[-1], logged.statement.version))
        for place in range(len(entries) - 1, 0, -1):
            logged = entries[place]
            if logged.statement.version > highest[place]:
                reign = self._reign(delegator_of(role) or ROOT, logged.index)
                holders = yield from self._holding.holders(role, reign)
                if holders is not None and logged.signed(holders):
                    return entries[place:]
        return entries

    def _reign(self, role: str, index: int | None) -> Counted | None:
        """The newest entry of a delegator that counted before `index`; None: at the end."""
        if index is None:
            return self.counted.get(role)
        reigns = self._reigns.get(role, [])
        before = bisect_left(reigns, index, key=_began)
        return reigns[before - 1][1] if before else None

    def _ignore(self, index: int, why: str) -> None:
        self._passed += 1
        if len(self._ignored) < _TOLD:
            self._ignored.append(f"entry {index} does not count: {why[:160]}")

    def _two_contents(self, role: str, version: int) -> None:
        says = f"{role} {version} was signed with two contents; the first in the log holds"
        self.alarms.append(Alarm(code="equivocation", says=says))
