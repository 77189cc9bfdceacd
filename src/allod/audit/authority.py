"""The authority log, judged in order: what counts, what is missing, what is there twice.

The rule is that of devices (`allod.trust.holding`). Only the newest entry of each role is kept, so
memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from allod.audit.findings import Findings
from allod.audit.providers import Providers
from allod.audit.reading import ChannelEntry, Entry, Ignored, RoleEntry
from allod.domain.ids import FleetId, sha256
from allod.errors import AllodError
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.effects import Steps
from allod.trust.floors import Counted, channel_role
from allod.trust.holding import Holders, Holding, Verdict, delegator_of, judge
from allod.trust.metadata import ROOT, TARGETS, RoleFile, metadata_path, open_role
from allod.wire.channel import channel_path
from allod.wire.log import TRUST_ROLE

FILES_KEPT: Final = 8  #: delegators' files in memory
_PLAUSIBLE: Final = frozenset({Verdict.COUNTS, Verdict.OLDER})


class Named(NamedTuple):
    """A file that an entry names, to be compared with what is served."""

    at: int  #: index in the log
    role: str
    version: int
    digest: str
    newest: bool  #: it was the newest of its role when it was logged

    @property
    def path(self) -> str:
        """Where it is served, relative to /f/<fleet>/."""
        return path_of(self.role, self.version)


def path_of(role: str, version: int) -> str:
    """Where a version of a role's file is served, relative to /f/<fleet>/."""
    channel = role.removeprefix(channel_role(""))
    if channel != role:
        provider, _, name = channel.partition("/")
        return channel_path(provider, name, version)
    return f"trust/{version}.json" if role == TRUST_ROLE else metadata_path(role, version)


@dataclass(slots=True)
class Roles:
    """What is known of the roles after a place in the log.

    Attributes:
        newest: role -> the newest entry that counted.
        highest: role -> the highest version that an entry that counted had.
        first: role -> the version with which the log begins.
    """

    newest: dict[str, Counted] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def succeeded(self) -> Roles:
        """The same in a log that succeeds this one: it counted before the first entry."""
        older = {role: replace(entry, index=-1) for role, entry in self.newest.items()}
        return Roles(older, dict(self.highest), dict(self.first))


@dataclass(slots=True)
class AuthorityAudit:
    """Judges the entries of one log in their order.

    Attributes:
        roots: version -> root, proved one by the other.
        roles: what is known so far.
        whole: the fleet's first trust statement names the log, so every version stands in it.
    """

    fleet: FleetId
    origin: str
    roots: Mapping[int, RoleFile]
    roles: Roles
    whole: bool
    findings: Findings = field(default_factory=Findings)
    judged: int = 0
    counting: int = 0
    _holding: Holding = field(init=False)
    _lost: set[str] = field(default_factory=set)
    _providers: Providers = field(default_factory=Providers)

    def __post_init__(self) -> None:
        self._holding = Holding(self.fleet, self.roots, {}, keep=FILES_KEPT)

    def take(self, entries: Iterable[Entry]) -> Steps[list[Named]]:
        """Judge entries; returns the files that those name which count."""
        named: list[Named] = []
        for entry in entries:
            if isinstance(entry, Ignored):
                self.findings.found("log-entry-ignored", self.origin, entry.says, entry.at)
            elif isinstance(entry, RoleEntry):
                found = yield from self._judge(entry)
                if found is not None:
                    named.append(found)
            elif isinstance(entry, ChannelEntry):
                judged = yield from self._judge_channel(entry)
                if judged is not None:
                    named.append(judged)
        return named

    def _judge_channel(self, entry: ChannelEntry) -> Steps[Named | None]:
        """A channel's document, under what the owner said of its provider at this place."""
        self.judged += 1
        current = self.roles.newest.get(entry.role)
        place = Counted(entry.at, entry.version, entry.digest)
        try:
            holders = yield from self._providers.holders(
                entry, self.roles.newest.get(TARGETS), self._holding
            )
        except AllodError as error:
            self._cannot_judge(entry, error)
            return None
        verdict, newest = judge(current, place, holders, entry.signed)
        if verdict not in _PLAUSIBLE:
            self._object(entry, verdict)
            return None
        self.counting += 1
        if verdict is Verdict.COUNTS and newest is not None:
            self.roles.newest[entry.role] = newest
        return Named(
            entry.at, entry.role, entry.version, entry.digest, newest=verdict is Verdict.COUNTS
        )

    def _judge(self, entry: RoleEntry) -> Steps[Named | None]:
        self.judged += 1
        role, current = entry.role, self.roles.newest.get(entry.role)
        place = Counted(entry.at, entry.version, entry.digest)
        if role == ROOT:
            verdict, newest = self._holding.judge_root(current, place, entry.signed)
        else:
            try:
                holders = yield from self._holders(role)
            except AllodError as error:
                self._cannot_judge(entry, error)
                return None
            verdict, newest = judge(current, place, holders, entry.signed)
        if verdict not in _PLAUSIBLE:
            self._object(entry, verdict)
            return None
        self.counting += 1
        if verdict is Verdict.COUNTS and newest is not None:
            self._gap(entry, current)
            self.roles.newest[role] = newest
            self.roles.highest[role] = max(entry.version, self.roles.highest.get(role, 0))
        if role == ROOT:
            return None  # its digest was compared with the chain
        return Named(entry.at, role, entry.version, entry.digest, newest=verdict is Verdict.COUNTS)

    def _holders(self, role: str) -> Steps[Holders | None]:
        return self._holding.holders(role, self.roles.newest.get(delegator_of(role) or ROOT))

    def _cannot_judge(self, entry: RoleEntry | ChannelEntry, error: AllodError) -> None:
        if error.message not in self._lost:
            self._lost.add(error.message)
            says = f"entries of {entry.role} cannot be judged from here on: {error.message}"
            code = error.code if error.code == "mix-and-match" else "withheld"
            self.findings.found(code, delegator_of(entry.role) or ROOT, says, entry.at)

    def _object(self, entry: RoleEntry | ChannelEntry, verdict: Verdict) -> None:
        what = f"{entry.role} version {entry.version}"
        if verdict is Verdict.BEYOND:
            says = f"the log has {what}, signed by who holds root, and it is not served"
            self.findings.found("root-withheld", entry.role, says, entry.at)
        elif verdict is Verdict.TWICE:
            says = f"{what} was signed with two contents; this is the second"
            self.findings.found("equivocation", entry.role, says, entry.at)
        else:
            says = f"{what} is not signed by who held the role"
            self.findings.found("log-entry-ignored", entry.role, says, entry.at)

    def _gap(self, entry: RoleEntry, current: Counted | None) -> None:
        """Versions have no gaps, but where the log begins, or succeeds one that was lost."""
        known = self.roles.highest.get(entry.role)
        if known is None:
            self.roles.first[entry.role] = entry.version
            known = 0 if self.whole else entry.version - 1
        elif current is not None and current.index < 0:
            return
        if entry.version > known + 1:
            span = (
                f"{known + 1}"
                if entry.version == known + 2
                else f"{known + 1} to {entry.version - 1}"
            )
            says = f"the log lacks {entry.role} version {span}"
            self.findings.found("version-gap", entry.role, says, entry.at)

    def finish(self, served: Mapping[str, int]) -> Steps[None]:
        """Judge the end of the log.

        Args:
            served: role -> version that is newest at the source, read before the checkpoint.
        """
        for role, entry in sorted(self.roles.newest.items()):
            if role != ROOT and not role.startswith(channel_role("")):
                try:
                    holders = yield from self._holders(role)
                except AllodError as error:
                    self.findings.found("withheld", role, error.message)
                    continue
                if holders is not None and not holders.still(entry):
                    says = (
                        f"who signed {role} version {entry.version} does not hold the role any more"
                    )
                    self.findings.found("role-not-resigned", role, says, entry.index)
        for role, version in sorted(served.items()):
            highest = self.roles.highest.get(role, 0)
            if version > highest:
                says = f"{role} version {version} is served; the log has {highest or 'none'}"
                self.findings.found("unlogged-file", path_of(role, version), says)
            elif version < highest and role in self.roles.newest:
                says = f"the log has {role} version {highest}; version {version} is shown as the newest"
                self.findings.found("withheld", path_of(role, highest), says)

    def compared(self, named: Named, digest: str | None) -> None:
        """Say what came of comparing a file with its entry.

        Args:
            named: the file.
            digest: of what is served; None: nothing is.
        """
        if digest is None:
            says = f"the log names {named.role} version {named.version}, and it is not served"
            self.findings.found("withheld", named.path, says, named.at)
        elif digest != named.digest:
            says = f"the log names another content of {named.role} version {named.version}"
            code = "mix-and-match" if named.newest else "equivocation"
            self.findings.found(code, named.path, says, named.at)


class Checked(NamedTuple):
    """A role's file that was read."""

    digest: str | None  #: None: it is not served
    documents: tuple[tuple[str, str], ...] = ()  #: state documents: target path, SHA-256


def check_file(role: str, data: bytes | None) -> Checked:
    """The digest that the log should have of a file, and the documents that it lists.

    A file that cannot be read has no digest that an entry could name.
    """
    if data is None:
        return Checked(None)
    try:
        if role == TRUST_ROLE or role.startswith(channel_role("")):
            return Checked(sha256(payload_of(decode_envelope(data, what="a statement"))))
        file = open_role(data, role)
    except AllodError as error:
        return Checked(f"unreadable: {error.code}")
    targets = getattr(file.signed, "targets", {})
    documents = tuple(
        (path, target.hashes["sha256"])
        for path, target in sorted(targets.items())
        if path.startswith(("state/", "by/")) and "sha256" in target.hashes
    )
    return Checked(file.digest, documents)
