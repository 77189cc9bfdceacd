"""Taking in foreign software: from a tarball, an OCI image layout, or any registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.domain.ids import (
    ProviderName,
    package_name,
    parse_provider,
    parse_purl,
    parse_version,
)
from allod.domain.release import HealthCheck, Kind, ProbeKind, Release, Service
from allod.errors import InvalidInput
from allod.packaging.build import Built
from allod.packaging.description import parse_description
from allod.packaging.draft import name_like, package_of
from allod.packaging.foreign import (
    adopt,
    build_imported,
    single_artifact,
    single_release,
    unpacked,
)
from allod.packaging.layout import Layout
from allod.packaging.origin import keep_origin
from allod.packaging.sboms import read_sbom_file, settle_sbom

if TYPE_CHECKING:
    from allod.cli.output import Output
    from allod.wire.oci import Descriptor

REGISTRY: Final = "docker://"
_DESCRIPTION_CAP: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the owner says about what they import."""

    package: str | None
    version: str | None
    describe: Path | None
    command: tuple[str, ...]
    provider: str


def import_release(source: str, wanted: Wanted, target: Path, output: Output) -> Built:
    """Make a release of the owner's own out of `source`, in the layout `target`.

    Raises:
        InvalidInput: `not-importable`, `no-version`, or what is wrong with the source.
        Untrusted: `wrong-digest`.
    """
    if source.startswith(REGISTRY):
        from allod.cli.foreign_registry import pull

        with tempfile.TemporaryDirectory(prefix="allod-import-") as temporary:
            layout = Layout(Path(temporary) / "layout")
            with output.progress("Pulling") as advance:
                pulled = pull(source.removeprefix(REGISTRY), layout, progress=advance)
            _tell(pulled.notes, output)
            return _from_layout(layout, wanted, target, output, pulled.index)
    path = Path(source)
    if Layout(path).exists():
        return _from_layout(Layout(path), wanted, target, output)
    try:
        archive = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            "not-importable", f"cannot import {source[:200]}: {error.strerror or error}"
        ) from error
    with archive, unpacked(archive) as tree:
        return _from_tree(tree, wanted, target)


def _tell(notes: Iterable[str], output: Output) -> None:
    for note in notes:
        output.say(f"! {note}")


def _from_layout(
    layout: Layout, wanted: Wanted, target: Path, output: Output, index: Descriptor | None = None
) -> Built:
    release = single_release(layout, wanted.version)
    if release is None and wanted.version is not None:
        release = single_release(layout, None)
    if release is not None:
        built = adopt(layout, release, target, provider=wanted.provider, version=wanted.version)
        _tell(keep_origin(layout, [release], built), output)
        return built
    theirs = [one for one in (single_artifact(layout), index) if one is not None]
    with unpacked(None, layout) as tree:
        described, sbom = _described(wanted)
        built = build_imported(described, tree, target)
    _tell(keep_origin(layout, theirs, built, sbom), output)
    return built


def _from_tree(tree: Path, wanted: Wanted, target: Path) -> Built:
    described, sbom = _described(wanted)
    built = build_imported(described, tree, target)
    settle_sbom(built, sbom, {})
    return built


def _described(wanted: Wanted) -> tuple[Release, bytes | None]:
    """What the owner says of it, and the SBOM that they name."""
    if wanted.describe is not None:
        path = wanted.describe
        try:
            with path.open("rb") as file:
                raw = file.read(_DESCRIPTION_CAP)
        except OSError as error:
            raise InvalidInput(
                "no-description", f"cannot read {path}: {error.strerror or error}"
            ) from error
        said = parse_description(raw, path.parent, version=wanted.version)
        sbom = None if said.sbom is None else read_sbom_file(said.sbom)
        return replace(said.release, provider=_provider(wanted)), sbom
    if wanted.package is None or wanted.version is None:
        raise InvalidInput(
            "no-version",
            "cannot import it without a name and a version: give --package and --version, "
            "or --describe with an allod.toml",
        )
    purl = wanted.package
    if not purl.startswith("pkg:"):
        purl = package_of(name_like(purl), wanted.provider)
    package = parse_purl(purl)
    service = Service(name_like(package_name(package)), wanted.command) if wanted.command else None
    health = (HealthCheck(ProbeKind.RUNNING, hold=3.0),) if service is not None else ()
    release = Release(
        package,
        parse_version(wanted.version),
        _provider(wanted),
        Kind.TREE,
        service=service,
        health=health,
        imported_by_owner=True,
    )
    return release, None


def _provider(wanted: Wanted) -> ProviderName:
    return parse_provider(wanted.provider)
