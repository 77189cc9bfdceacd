"""Observing: what the device has, read from its disk and never from intentions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from allod.agent.engine_steps import Bench
from allod.agent.journal import PackageJournal, Work, failure_to_domain
from allod.domain.desired import Level
from allod.domain.ids import Digest, Purl
from allod.domain.machine import State
from allod.domain.observed import Armed, Observed, Running
from allod.domain.release import Release


def works(bench: Bench) -> dict[Purl, Work]:
    """What is under way, by every package that takes part in it."""
    found: dict[Purl, Work] = {}
    for lead in bench.journals.packages():
        work = bench.journals.load(lead).work
        if work is not None:
            found.update({Purl(member.package): work for member in work.members})
    return found


def running_of(bench: Bench, package: Purl) -> Running | None:
    """What is active: the link says which activation, the journal of what it consists."""
    number = bench.activations.number(package)
    if number is None:
        return None
    record = bench.journals.load(package).activation(number)
    if record is not None:
        configuration = None if record.configuration is None else Digest(record.configuration)
        return Running(number, Digest(record.digest), configuration)
    # The journal was lost: the tree's place in the store still tells the release.
    tree = (bench.activations.directory(package, number) / "tree").resolve()
    staged = bench.world.installer.staged(package)
    for digest in staged:
        if bench.world.installer.directory(package, digest).resolve() == tree:
            return Running(number, digest, None)
    return None


def observe(bench: Bench, ordered: Mapping[Purl, Iterable[Digest]]) -> dict[Purl, Observed]:
    """What the device has of these packages, and of all others that it has.

    Args:
        bench: the device.
        ordered: packages of the owner's documents, with the releases that they name.
    """
    under_way = works(bench)
    packages = {*ordered, *bench.journals.packages()}
    return {
        package: _observe(bench, package, ordered.get(package, ()), under_way.get(package))
        for package in sorted(packages)
    }


def _observe(bench: Bench, package: Purl, ordered: Iterable[Digest], work: Work | None) -> Observed:
    journal = bench.journals.load(package)
    held = dict.fromkeys(bench.world.source.held(package), Level.TRANSFERRED)
    held |= dict.fromkeys(bench.world.installer.staged(package), Level.INSTALLED)
    running = running_of(bench, package)
    digests = {*held, *ordered, *([] if running is None else [running.digest])}
    described: dict[Digest, Release] = {}
    for digest in digests:
        release = bench.world.source.described(package, digest)
        if release is not None:
            described[digest] = release
    # What runs stays lawful; all else is looked at again when the owner asks for more.
    runs = {running.digest} if running is not None else set()
    vetted = bench.world.source.vetted
    unvetted = frozenset(one for one in described if one not in runs and not vetted(package, one))
    return Observed(
        package,
        held=held,
        described=described,
        running=running,
        failed=tuple(failure_to_domain(record) for record in journal.failed),
        history=tuple(Digest(digest) for digest in journal.history),
        schema=journal.schema,
        snapshots=_snapshots(bench, package, journal),
        armed=_armed(package, work),
        stuck=_stuck(work),
        unvetted=unvetted,
    )


def _snapshots(bench: Bench, package: Purl, journal: PackageJournal) -> dict[int, int]:
    whole = bench.world.snapshots.numbers(package) if journal.snapshots else frozenset()
    return {int(n): schema for n, schema in journal.snapshots.items() if int(n) in whole}


def _armed(package: Purl, work: Work | None) -> Armed | None:
    if work is None or work.state is not State.WAITING:
        return None
    member = next(one for one in work.members if one.package == package)
    managers = frozenset(name for one in work.members for name in one.managers)
    packages = tuple(Purl(one.package) for one in work.members)
    return Armed(member.attempt, work.boot, packages, managers)


def _stuck(work: Work | None) -> str:
    if work is None or work.state is State.WAITING:
        return ""
    return f"{work.state}: {work.reason}" if work.reason else str(work.state)
