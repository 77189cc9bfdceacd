"""`allod advisories vouch`: what releases mend, by the advisories here, signed for devices.

A flaw counts as mended only if what both releases are made of is known, the older one has it by a
source that counts, and nothing about the newer one is left open that could hide it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allod.cli.options import OPTIONS, Options
from allod.domain.ids import Digest, Purl, package_name, parse_provider
from allod.domain.terms import PROVIDER
from allod.errors import AllodError, Refused, Unavailable
from allod.wire import oci
from allod.wire.evidence import Mended

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.advisories.finding import Finding
    from allod.cli.catalog import Resolved
    from allod.cli.picture import Picture
    from allod.cli.vulnerabilities.stored import Store
    from allod.cli.vulnerabilities.ware import Release
    from allod.wire.trust import Verifier


def vouch(*reference: str, options: Options = OPTIONS) -> int:
    """Sign for devices which flaws releases mend, by the sources of advisories here, as a verifier.

    Delegations of security fixes are then decided by it ('allod delegate grant --evidence SOURCE').
    Exit status 6: of some release too little is known.

    Args:
        reference: PACKAGE@VERSION in the fleet's registry; unless given, the newest release of
            every package, and those that are to run or stand in a channel that is followed.
        options: Options of every verb.
    """
    from allod.cli.catalog import parse_package_version
    from allod.cli.picture import take
    from allod.cli.verifier import acting
    from allod.cli.vulnerabilities.known import advisories
    from allod.cli.vulnerabilities.running import Fleet
    from allod.cli.vulnerabilities.stored import Store

    picture = take(options.open(), reading=True)
    verifier, signer = acting(picture.base.fleet_document, "mends", options)
    with advisories() as known:
        store = Store(picture, Fleet(picture).bills, known, recalled=True)
        voucher = _Voucher(picture, store, verifier, signer)
        named = [picture.catalog.resolve(parse_package_version(one)) for one in reference]
        done = [voucher.look(one) for one in named or voucher.unasked()]
    lines = [
        f"{'ok     ' if one['ok'] else 'missing'} {one['release']}: {one['says']}" for one in done
    ]
    options.output.result(done, "\n".join(lines) or "There are no releases.")
    return 0 if all(one["ok"] for one in done) else Unavailable.branch.exit


@dataclass(frozen=True, slots=True)
class _Voucher:
    """Looks, and signs."""

    picture: Picture
    store: Store
    verifier: Verifier
    signer: Signer

    def unasked(self) -> Iterator[Resolved]:
        """The newest release of each package, and what devices are to run; each once."""
        seen: set[Digest] = set()
        for one in (*self.newest(), *self.ordered()):
            if one.digest not in seen:
                seen.add(one.digest)
                yield one

    def ordered(self) -> Iterator[Resolved]:
        """What is to run by anybody's word or stands in a channel, where its provider signed it."""
        from allod.cli.catalog import PackageVersion

        delegates = self.picture.delegates.values()
        documents = [
            *self.picture.base.states.values(),
            *(one for delegate in delegates for one in delegate.documents.values()),
        ]
        wanted = {
            (order.provider, Purl(package), order.version)
            for document in documents
            for package, entry in document.packages.items()
            if entry.software is not None and (order := entry.software.active) is not None
        }
        for channel in (one.channel for one in delegates if one.channel is not None):
            wanted |= {
                (channel.provider, package, one.version)
                for package, one in channel.packages.items()
            }
        for provider, package, version in sorted(wanted):
            try:
                yield self.picture.catalog.resolve(PackageVersion(package, version), provider)
            except AllodError:
                continue  # it is gone, or its provider is: no device takes it

    def newest(self) -> Iterator[Resolved]:
        """The newest release of each package in the registry."""
        from allod.cli.catalog import PackageVersion
        from allod.cli.registry_client import repositories
        from allod.domain.ids import Version
        from allod.domain.version_order import place_of

        catalog = self.picture.catalog
        for repository in repositories(self.picture.fleet.client):
            provider, _, name = repository.partition("/")
            if parse_provider(provider) not in catalog.providers:
                continue
            tags = catalog.versions(parse_provider(provider), name)
            places = {tag: place for tag in tags if (place := place_of(tag)) is not None}
            ordered = sorted(places, key=lambda tag: places[tag], reverse=True)
            for tag in ordered:
                try:
                    yield catalog.resolve(
                        PackageVersion(name, Version(tag)), parse_provider(provider)
                    )
                except AllodError:
                    continue
                break

    def look(self, named: Resolved) -> dict[str, Any]:
        """Compare one release with the older ones, and sign what it mends."""
        from allod.cli.registry_client import RegistryClient
        from allod.cli.release_look import in_registry
        from allod.cli.vouch import push_beside
        from allod.cli.vulnerabilities.ware import Release
        from allod.trust.evidence import make_mends

        shown = f"{package_name(named.package)} {named.version}"
        release = Release(named.provider, named.package, named.version, named.digest)
        try:
            before = self._before(release)
        except AllodError as error:
            return {"release": shown, "ok": False, "code": error.code, "says": error.message}
        flaws = sorted({one.flaw for mended in before.values() for one in mended})
        envelope = make_mends(
            self.picture.base.fleet_id,
            self.verifier.name,
            named.package,
            named.version,
            named.digest,
            before,
            self.picture.now,
            [self.signer],
        )
        name = f"{named.provider}/{package_name(named.package)}"
        registry = RegistryClient(self.picture.fleet.client, name)
        push_beside(registry, in_registry(registry, named.digest), envelope, oci.EVIDENCE)
        says = f"mends {', '.join(flaws)}" if flaws else "mends nothing that is known"
        return {"release": shown, "ok": True, "says": says, "mends": flaws}

    def _before(self, release: Release) -> Mapping[Digest, Sequence[Mended]]:
        """Each other release of the package that is known, with what only it has.

        Raises:
            Refused: `withdrawn`: the release was recalled, so it mends nothing for anybody.
            Unavailable: `flaws-unknown`: what the release is made of is not known.
        """
        from allod.cli.vulnerabilities.stored import still_has

        recalled = self.picture.base.withdrawn.get(release.digest)
        if recalled is not None:
            raise Refused("withdrawn", f"cannot vouch for it: it was recalled: {recalled.why}")
        has = self.store.assessed(release)
        if has is None:
            why = self.store.bills.bill(release).why or "its SBOM is not whole"
            raise Unavailable("flaws-unknown", f"cannot say what it mends: {why}")
        found: dict[Digest, Sequence[Mended]] = {}
        for other in self.store.releases(release.provider, release.package):
            known = None if other.digest == release.digest else self.store.assessed(other)
            if known is None:
                continue
            mended = [
                one
                for finding in known.findings
                if finding.counts and not still_has(has, finding)
                for one in self._mended(finding)
            ]
            if mended:
                found[other.digest] = mended
        return found

    def _mended(self, finding: Finding) -> Iterator[Mended]:
        """As a statement has it, by those sources that we may speak for."""
        sources = {hit.advisory.source for hit in finding.hits}
        allowed = set(self.verifier.sources)
        told = sorted(one for one in sources if one != PROVIDER and (not allowed or one in allowed))
        if told:
            said = finding.component.said
            yield Mended(
                flaw=finding.id,
                aliases=list(finding.aliases),
                component=said.purl or f"{said.name} {said.version}",
                sources=told,
                level=str(finding.level),
            )
