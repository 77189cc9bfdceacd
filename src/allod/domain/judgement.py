"""Whether a release may come onto this device: one objection a rule that says no.

1. A withdrawn release comes to no new level, nor one whose provider is distrusted.
2. The description is that of the release that was ordered.
3. Hardware and architecture fit what the device is.
4. Constraints on the owner are accepted by name before it is installed.
5. Access that what runs does not have is accepted before it is activated, by name in the owner's
   entry or in the delegation of who decides, and no release gets more than its provider may ask
   for.
6. Data that could not be taken back is accepted by the release's digest.
7. Data that the release can't read has a copy that it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from allod.domain.access import new_access
from allod.domain.desired import OWNER, Level, ReleaseOrder
from allod.domain.ids import Digest, ProviderName
from allod.domain.observed import Facts, Observed
from allod.domain.release import Release, is_one_way, reads_data_of
from allod.domain.resolution import ResolvedPackage, ResolvedSoftware
from allod.domain.terms import NewAccess


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that said no."""

    code: str
    subject: str  #: a package
    reason: str


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What the owner thinks of a provider."""

    distrusted: str = ""  #: why; empty: trusted
    access: frozenset[str] | None = None  #: the most that its releases may need; None: any
    after: int | None = None  #: distrusted from this entry of the log on; None: all of its word
    vouched: frozenset[Digest] = frozenset()  #: releases that its channels named up to there


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the release would come to."""

    wanted: ResolvedPackage
    software: ResolvedSoftware
    has: Observed
    facts: Facts
    withdrawn: Mapping[Digest, str]
    providers: Mapping[ProviderName, ProviderLimits] = field(default_factory=dict)


def objections(order: ReleaseOrder, release: Release, at: Situation) -> tuple[Finding, ...]:
    """What speaks against bringing `release` to the level of `order`; empty: nothing."""
    found = [*_identity(order, release, at), *_fit(release, at)]
    if order.level is not Level.TRANSFERRED:
        found += _constraints(release, at)
    if order.level is Level.ACTIVE:
        found += [*_access(release, at), *_data(order, release, at)]
    return tuple(Finding(code, at.wanted.package, reason) for code, reason in found)


_Found = list[tuple[str, str]]


def barred(order: ReleaseOrder, at: Situation) -> tuple[Finding, ...]:
    """What speaks against the release whatever it is: known before anything of it is fetched."""
    return tuple(Finding(code, at.wanted.package, reason) for code, reason in _barred(order, at))


def _barred(order: ReleaseOrder, at: Situation) -> _Found:
    found: _Found = []
    if order.digest in at.withdrawn:
        found.append(("withdrawn", f"{order.version} was withdrawn: {at.withdrawn[order.digest]}"))
    limits = at.providers.get(order.provider, ProviderLimits())
    if limits.distrusted and not _vouched(order, limits, at.software):
        found.append(
            ("provider-distrusted", f"{order.provider} is distrusted: {limits.distrusted}")
        )
    return found


def _vouched(order: ReleaseOrder, limits: ProviderLimits, software: ResolvedSoftware) -> bool:
    """Whether the provider named it in a channel while its word still counted."""
    if limits.after is None:
        return False
    channel = software.channel  # its entry counts, so it is not later than that
    return order.digest in limits.vouched or (
        channel is not None and channel.provider == order.provider
    )


def _identity(order: ReleaseOrder, release: Release, at: Situation) -> _Found:
    found = _barred(order, at)
    described = (release.package, release.provider, release.version)
    if described != (at.wanted.package, order.provider, order.version):
        found.append(("wrong-release", f"its description says {release.package} {release.version}"))
    return found


def _fit(release: Release, at: Situation) -> _Found:
    found: _Found = []
    if release.hardware and not at.facts.hardware.intersection(release.hardware):
        has = ", ".join(sorted(at.facts.hardware)) or "unknown"
        found.append(
            ("wrong-hardware", f"it is for {', '.join(release.hardware)}; this device is {has}")
        )
    if release.architecture and release.architecture != at.facts.architecture:
        found.append(
            (
                "wrong-architecture",
                f"it is for {release.architecture}; this device is {at.facts.architecture}",
            )
        )
    return found


def _constraints(release: Release, at: Situation) -> _Found:
    running = at.has.running_release
    borne = {one.id for one in running.constraints} if running is not None else set()
    return [
        ("constraint-not-accepted", f"it limits the owner, and that is not accepted: {one.id}")
        for one in release.constraints
        if one.id not in borne | at.software.accepts.constraints
    ]


def _access(release: Release, at: Situation) -> _Found:
    running = at.has.running_release
    had = frozenset() if running is None else running.access
    most = at.providers.get(release.provider, ProviderLimits()).access
    beyond = frozenset() if most is None else new_access(most, release.access)
    return [
        ("access-beyond-provider", f"{release.provider} may not ask for {name}")
        for name in sorted(beyond)
    ] + [
        ("access-not-accepted", f"it needs access that is not accepted: {name}")
        for name in sorted(new_access(had | _accepted(at.software), release.access))
    ]


def _accepted(software: ResolvedSoftware) -> frozenset[str]:
    """Access that the owner took on: by name in the entry, or in the delegation of who decides."""
    allowed = (
        term.allowed
        for term in software.terms
        if software.manager != OWNER and isinstance(term, NewAccess) and not term.strict
    )
    return software.accepts.access.union(*allowed)


def _data(order: ReleaseOrder, release: Release, at: Situation) -> _Found:
    running = at.has.running_release
    one_way = running is not None and is_one_way(running, release)
    if running is None and at.has.schema is not None and release.data is not None:
        one_way = not release.data.snapshot and release.data.schema != at.has.schema
    if one_way and order.digest not in at.software.accepts.one_way:
        return [("one-way-not-accepted", "its data can't be taken back, and that is not accepted")]
    schema = at.has.schema
    if schema is None or reads_data_of(release, schema) or _readable(at.has, release) is not None:
        return []
    return [("data-unreadable", f"it can't read the data here (schema {schema}), and no copy fits")]


def _readable(has: Observed, release: Release) -> int | None:
    """The newest copy of the data that the release can read."""
    fitting = [number for number, schema in has.snapshots.items() if reads_data_of(release, schema)]
    return max(fitting, default=None)


def data_steps(has: Observed, release: Release | None) -> tuple[bool, int | None]:
    """Whether to copy the data before `release` is activated, and which copy to put back.

    A copy is needed where going back would else meet data that nobody here can read: also where
    there is no data yet, since a release that fails may leave some behind.
    """
    if release is None or release.data is None:
        return False, None
    if has.schema is None:
        return True, None
    if not reads_data_of(release, has.schema):
        return True, _readable(has, release)
    running = has.running_release
    if running is not None and reads_data_of(running, release.data.schema):
        return False, None
    return release.data.snapshot, None
