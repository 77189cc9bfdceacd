"""What releases are made of, by SBOMs that their providers signed, or that Allod can make again.

A list of parts that nobody signed says what whoever put it there wants: its parts do not count.
Where there is no other, Allod looks into the payload itself. What was read once is kept under the release's digest, with the
signature, which is checked each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from allod.cli.vulnerabilities.ware import Kind, Release, Ware
from allod.domain.ids import Digest, package_name, sha256
from allod.domain.sbom import Sbom, SbomComponent
from allod.durable import make_directory, write_atomic
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.trust.references import signed_documents
from allod.wire.codec import Document, decode, encode
from allod.wire.cyclonedx import encode_cyclonedx
from allod.wire.oci import PROVENANCE, Descriptor
from allod.wire.reference import REFERENCE_CAP
from allod.wire.sbom import SBOM_CAP, SBOM_TYPES, decode_sbom

if TYPE_CHECKING:
    from allod.cli.catalog import Catalog
    from allod.wire.trust import ProviderDocument

_KEPT_CAP: Final = 2 * SBOM_CAP
_MOST: Final = 64  #: referrers of a kind that are read of one release
_OTHERWISE: Final = {
    "no-sbom": "no SBOM lies beside it, and its payload does not say what it is made of",
    "sbom-unsigned": "the SBOM beside it is not signed by its provider: its parts do not count",
}


class KeptBill(Document, frozen=True, kw_only=True):
    """What was read of a release: each part with the statement that binds it."""

    type: Literal["allod.bill"] = "allod.bill"
    format: Literal[1] = 1
    release: str
    lists: list[bytes]
    statements: list[bytes]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a release is made of."""

    lists: tuple[Sbom, ...] = ()
    by: str = ""  #: who says so, in words
    code: str = ""  #: why nothing is known; empty: it is
    why: str = ""


@dataclass
class Bills:
    """The SBOMs of a fleet's releases.

    Args:
        catalog: the registry, and the providers' keys.
        directory: where what was read is kept.
        make: gives the list that Allod makes of a release's payload, if there is one; None: no
            payload is looked into.
    """

    catalog: Catalog
    directory: Path
    make: Callable[[Release], Sbom | None] | None = None
    _known: dict[Digest, Bill] = field(default_factory=dict)
    _unsigned: set[Digest] = field(default_factory=set)

    def ware(self, release: Release) -> Ware:
        """A release with its parts; what cannot be known is said, and nothing raised."""
        purl = f"{release.package}@{release.version}"
        ware = Ware(
            release.digest,
            Kind.RELEASE,
            release.shown,
            products=frozenset({purl, release.package, release.digest}),
            release=release,
        )
        bill = self.bill(release)
        if bill.code:
            itself = SbomComponent(package_name(release.package), release.version, purl)
            return replace(ware, parts=(itself,), unseen=((bill.code, bill.why),))
        parts = {one: None for sbom in bill.lists for one in sbom.parts}
        faults = tuple(("bad-sbom", one) for sbom in bill.lists for one in sbom.faults)
        return replace(ware, parts=tuple(parts), listed_by=bill.by, unseen=faults)

    def bill(self, release: Release) -> Bill:
        """What a release is made of; looked up once."""
        if release.digest not in self._known:
            self._known[release.digest] = self._bill(release)
        return self._known[release.digest]

    def _bill(self, release: Release) -> Bill:
        provider = self.catalog.providers.get(release.provider)
        if provider is None:
            return Bill(code="unknown-provider", why=f"{release.provider} is no provider any more")
        try:
            return self._signed(release, provider) or self._made(release)
        except Unavailable as error:
            return Bill(code=error.code, why=f"its SBOM cannot be fetched: {error.message}")
        except AllodError as error:
            return Bill(code=error.code, why=error.message)

    def _signed(self, release: Release, provider: ProviderDocument) -> Bill | None:
        """By the lists that its provider signed, as they were kept or as they lie there now."""
        kept = self._kept(release)
        bill = None if kept is None else _counted(kept, release, provider)
        if bill is not None:
            return bill
        read = self._read(release)
        bill = _counted(read, release, provider)
        if bill is not None:
            self._keep(self._path(release), encode(read))
        elif read.lists:
            self._unsigned.add(release.digest)
        return bill

    def _made(self, release: Release) -> Bill:
        """By the list that Allod makes of the payload; it is made once."""
        path = self._path(release).with_suffix(".made.json")
        try:
            data = path.read_bytes()
        except OSError:
            sbom = None if self.make is None else self.make(release)
            data = b"" if sbom is None else encode_cyclonedx(sbom)
            if self.make is not None:
                self._keep(path, data)
        if data:
            sbom = decode_sbom(data, what=f"what Allod reads in {release.shown}")
            return Bill((sbom,), "Allod, from the payload")
        code = "sbom-unsigned" if release.digest in self._unsigned else "no-sbom"
        return Bill(code=code, why=_OTHERWISE[code])

    def _keep(self, path: Path, data: bytes) -> None:
        make_directory(self.directory)
        write_atomic(path, data)

    def _path(self, release: Release) -> Path:
        return self.directory / f"{release.digest.removeprefix('sha256:')}.json"

    def _kept(self, release: Release) -> KeptBill | None:
        """What was kept; what is damaged is read again."""
        try:
            data = self._path(release).read_bytes()
            kept = decode(data, KeptBill, cap=_KEPT_CAP, what="a kept SBOM")
        except (OSError, AllodError):
            return None
        return kept if kept.release == release.digest else None

    def _read(self, release: Release) -> KeptBill:
        """All SBOMs and statements beside a release, unverified."""
        name = package_name(release.package)
        near = self.catalog.referrers(release.provider, name, release.digest)
        return KeptBill(
            release=release.digest,
            lists=list(self._attached(release, near, SBOM_TYPES, SBOM_CAP)),
            statements=list(self._attached(release, near, (PROVENANCE,), 2 * REFERENCE_CAP)),
        )

    def _attached(
        self, release: Release, near: Sequence[Descriptor], kinds: Sequence[str], cap: int
    ) -> Iterator[bytes]:
        name = package_name(release.package)
        for entry in [one for one in near if one.artifact_type in kinds][:_MOST]:
            try:
                data = self.catalog.attached(release.provider, name, entry, cap=cap)
            except InvalidInput:
                continue  # one that cannot be read binds nothing
            if data is not None:
                yield data


def _counted(kept: KeptBill, release: Release, provider: ProviderDocument) -> Bill | None:
    """By those lists that the provider's statements bind to the release; None: there is none."""
    bound = signed_documents(kept.statements, provider, release.digest)
    signed = [data for data in kept.lists if sha256(data) in bound]
    if not signed:
        return None
    what = f"the SBOM of {release.shown}"
    sboms = tuple(decode_sbom(data, what=what) for data in signed)
    maker = ", made by Allod" if all(one.by_allod for one in sboms) else ""
    return Bill(sboms, f"{release.provider}{maker}")
