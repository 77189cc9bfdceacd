"""An SBOM in a file, or a release in a directory, as something to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allod.cli.vulnerabilities.ware import Kind, Ware
from allod.domain.ids import package_name, sha256
from allod.errors import InvalidInput
from allod.wire.sbom import SBOM_CAP, decode_sbom

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.options import Options
    from allod.domain.foreign import Control
    from allod.domain.sbom import Sbom


def ware_of_file(path: Path) -> Ware:
    """Read it. Raises InvalidInput: `no-sbom-file`, or as `decode_sbom` does."""
    try:
        with path.open("rb") as file:
            data = file.read(SBOM_CAP + 1)
    except OSError as error:
        raise InvalidInput("no-sbom-file", f"cannot read {path}: {error.strerror}") from error
    return ware_of_sbom(path.name, decode_sbom(data, what=str(path)), sha256(data))


def ware_of_directory(path: Path, options: Options) -> Ware:
    """A release that lies here, built or to be built; its SBOMs count as they lie, signed or not.

    Raises:
        AllodError: it is no release, or cannot be read.
    """
    from allod.cli.release_look import look
    from allod.packaging.sboms import sboms_beside

    found = look(str(path), options)
    release = found.releases()[0]
    purl = f"{release.package}@{release.version}"
    held = sboms_beside(found.beside, found.digest, None)
    lists = [one.sbom for one in held if one.sbom is not None]
    unseen = [("bad-sbom", one.fault) for one in held if one.sbom is None]
    unseen += [("bad-sbom", fault) for sbom in lists for fault in sbom.faults]
    if not held:
        unseen.append(("no-sbom", "no SBOM lies beside it: what it is made of is not known"))
    return Ware(
        found.digest,
        Kind.RELEASE,
        f"{package_name(release.package)} {release.version}",
        tuple(dict.fromkeys(part for sbom in lists for part in sbom.parts)),
        next((sbom.distribution for sbom in lists if sbom.distribution), ""),
        products=frozenset({purl, release.package, found.digest}),
        listed_by=str(path),
        unseen=tuple(unseen),
    )


def ware_of_sbom(
    name: str, sbom: Sbom, key: str, *, kind: Kind = Kind.SBOM, control: Control | None = None
) -> Ware:
    """What an SBOM lists; its own subject is asked about too, where advisories can know it."""
    subject = sbom.subject
    products = {key}
    if subject is not None and subject.purl:
        products.add(subject.purl)
    return Ware(
        f"{kind} {key}",
        kind,
        name,
        sbom.parts,
        sbom.distribution,
        products=frozenset(products),
        control=control,
        listed_by=", ".join(sbom.made_by),
        unseen=tuple(("bad-part", one) for one in sbom.faults),
    )
