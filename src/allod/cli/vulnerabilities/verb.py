"""`allod vulnerabilities`: which reported flaws are in what runs, and which release mends them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from allod.advisories.finding import Level
from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.errors import InvalidInput, Unavailable
from allod.wire.codec import instant

if TYPE_CHECKING:
    from allod.advisories.store import AdvisoryStore
    from allod.cli.fleet import LocalFleet
    from allod.cli.picture import Picture
    from allod.cli.vulnerabilities.found import Looked
    from allod.cli.vulnerabilities.running import Fleet
    from allod.cli.vulnerabilities.ware import Running

FOUND: Final = 7  #: exit status with --fail-on
_ORDER: Final = (Level.LOW, Level.MEDIUM, Level.HIGH, Level.CRITICAL)


def vulnerabilities(
    what: str | None = None,
    *,
    fail_on: Literal["low", "medium", "high", "critical"] | None = None,
    whole: Annotated[bool, Parameter(name="--all", negative="")] = False,
    cyclonedx: Path | None = None,
    options: Options = OPTIONS,
) -> int:
    """Show the reported flaws of what runs, worst first, and what mends them.

    What runs is known by verified reports, by the SBOMs that providers signed, by what devices say
    of their hosts, and by the SBOMs of imported devices. Whatever nothing is known of is listed:
    it is never clean.

    Args:
        what: A group, a device, a release ([PROVIDER/]PACKAGE@VERSION, or its directory) or the file of an
            SBOM; all devices unless given.
        fail_on: End with status 7 if there is a flaw of this severity or worse, or one that nobody
            scored.
        whole: Show every flaw on a terminal, too, and name every part of which nothing is known.
        cyclonedx: Also write what was found to this file, as CycloneDX 1.6 with VEX.
        options: Options of every verb.
    """
    from allod.cli.vulnerabilities.known import advisories
    from allod.cli.vulnerabilities.words import looked_data, show

    with advisories() as known:
        about = _about(what, options, known)
        if cyclonedx is not None:
            _write(cyclonedx, about)
        options.output.result(
            {**about.data(), **looked_data(about.looked), "sources": _sources(known)},
            lambda console: show(console, about.looked, whole=whole),
        )
    return FOUND if fail_on is not None and _fails(about.looked, Level(fail_on)) else 0


@dataclass(frozen=True, slots=True)
class About:
    """What was looked at."""

    kind: str
    name: str
    looked: Looked
    as_of: str = ""  #: when what runs was seen; empty: now

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        at = instant(clock())
        about = {"kind": self.kind, "name": self.name}
        return {"about": about, "at": at, "asOf": self.as_of or at}


def _about(what: str | None, options: Options, known: AdvisoryStore) -> About:
    path = None if what is None else Path(what)
    if path is not None and (path.is_file() or _is_release(path)):
        from allod.cli.vulnerabilities.files import ware_of_directory, ware_of_file
        from allod.cli.vulnerabilities.found import look_at
        from allod.cli.vulnerabilities.ware import alone

        here = path.is_dir()
        ware = ware_of_directory(path, options) if here else ware_of_file(path)
        return About("release" if here else "sbom", str(path), look_at(alone(ware), known))
    if path is not None and path.suffix == ".json":
        raise InvalidInput("no-sbom-file", f"cannot read {path}: there is no such file")
    from allod.cli.picture import take

    fleet = options.open()
    try:
        picture = take(fleet, reading=True)
    except Unavailable as error:
        found = None if what is not None else _last_seen(fleet, known)
        if found is None:
            raise
        options.output.say(f"! What runs was last seen {found.as_of}: {error.message}")
        return found
    return _of_fleet(what, picture, known)


def _last_seen(fleet: LocalFleet, known: AdvisoryStore) -> About | None:
    """By what ran when this machine last looked; None: it never did."""
    from allod.cli.vulnerabilities.found import look_at
    from allod.cli.vulnerabilities.snapshot import load_snapshot

    snapshot = load_snapshot(fleet.directory, fleet.id)
    if snapshot is None:
        return None
    return About("fleet", fleet.name, look_at(snapshot.running, known), snapshot.at)


def _is_release(path: Path) -> bool:
    """Whether a release lies there: a description, or an OCI image layout."""
    return (path / "allod.toml").is_file() or (path / "oci-layout").is_file()


def _of_fleet(what: str | None, picture: Picture, known: AdvisoryStore) -> About:
    from allod.cli.vulnerabilities.found import look_at
    from allod.cli.vulnerabilities.running import Fleet
    from allod.cli.vulnerabilities.snapshot import save_snapshot
    from allod.cli.vulnerabilities.stored import Store

    fleet = Fleet(picture)
    kind, name, running = _running(what, picture, fleet)
    if what is None:
        save_snapshot(picture.fleet.directory, picture.base.fleet_id, running, picture.now)
    store = Store(picture, fleet.bills, known)
    return About(kind, name, store.mending(look_at(running, known)))


def _running(what: str | None, picture: Picture, fleet: Fleet) -> tuple[str, str, Running]:
    if what is None:
        return "fleet", picture.fleet.name, fleet.running()
    if "@" in what:
        return "release", what, _release(what, picture, fleet)
    from allod.cli.scopes import find_scope

    scope = find_scope(what, picture.groups, (*picture.devices, *picture.foreign))
    return scope.kind.removesuffix("s"), what, fleet.running(scope)


def _release(what: str, picture: Picture, fleet: Fleet) -> Running:
    """One release, and the devices that run it."""
    from allod.cli.catalog import parse_package_version
    from allod.cli.vulnerabilities.ware import Place, Release, gathered
    from allod.domain.ids import parse_provider

    owner, slash, name = what.rpartition("/")
    if slash and not what.startswith("pkg:"):  # acme/toaster@2.1.2
        found = parse_package_version(name)
        named = picture.catalog.resolve(found, parse_provider(owner))
    else:
        named = picture.catalog.resolve(parse_package_version(what))
    ware = fleet.bills.ware(Release(named.provider, named.package, named.version, named.digest))
    places = [
        Place(one.device, one.shown)
        for one in picture.devices
        if one.actual is not None
        and (package := one.actual.packages.get(named.package)) is not None
        and package.active is not None
        and package.active.digest == named.digest
    ]
    running = gathered([(ware, place) for place in places] or [(ware, None)])
    return replace(running, devices=len(places))


def _fails(looked: Looked, least: Level) -> bool:
    """Whether a flaw that counts is at least so bad; one that nobody scored may be."""
    bad = {*_ORDER[_ORDER.index(least) :], Level.UNKNOWN}
    return any(line.finding.counts and line.finding.level in bad for line in looked.lines)


def _sources(known: AdvisoryStore) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "kinds": list(one.kinds),
            "licence": one.licence,
            "counts": one.counts,
            "at": one.at,
            "records": one.records,
            "refused": one.refused,
        }
        for one in known.sources()
    ]


def _write(path: Path, about: About) -> None:
    """What was found, as CycloneDX with VEX: every part, with its flaws or without."""
    from allod.advisories.cyclonedx_vex import encode_vex
    from allod.domain.sbom import SbomComponent
    from allod.durable import write_atomic

    looked = about.looked
    subject = SbomComponent(about.name, kind="application")
    data = encode_vex(looked.assessment, at=instant(clock()), subject=subject, clean=looked.asked)
    try:
        write_atomic(path, data, mode=0o644)
    except OSError as error:
        raise Unavailable("local-io", f"cannot write {path}: {error.strerror}") from error
