"""Taking in foreign software: from a tarball, an OCI image layout, or any registry."""

from __future__ import annotations

import tempfile
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
from allod.packaging.foreign import adopt, build_imported, single_release, unpacked
from allod.packaging.layout import Layout

if TYPE_CHECKING:
    from allod.cli.output import Output

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
                pull(source.removeprefix(REGISTRY), layout, progress=advance)
            return _from_layout(layout, wanted, target)
    path = Path(source)
    if Layout(path).exists():
        return _from_layout(Layout(path), wanted, target)
    try:
        archive = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            "not-importable", f"cannot import {source[:200]}: {error.strerror or error}"
        ) from error
    with archive, unpacked(archive) as tree:
        return _from_tree(tree, wanted, target)


def _from_layout(layout: Layout, wanted: Wanted, target: Path) -> Built:
    release = single_release(layout, wanted.version)
    if release is None and wanted.version is not None:
        release = single_release(layout, None)
    if release is not None:
        return adopt(layout, release, target, provider=wanted.provider, version=wanted.version)
    with unpacked(None, layout) as tree:
        return _from_tree(tree, wanted, target)


def _from_tree(tree: Path, wanted: Wanted, target: Path) -> Built:
    return build_imported(_described(wanted), tree, target)


def _described(wanted: Wanted) -> Release:
    if wanted.describe is not None:
        path = wanted.describe
        try:
            with path.open("rb") as file:
                raw = file.read(_DESCRIPTION_CAP)
        except OSError as error:
            raise InvalidInput(
                "no-description", f"cannot read {path}: {error.strerror or error}"
            ) from error
        described = parse_description(raw, path.parent, version=wanted.version).release
        return replace(described, provider=_provider(wanted))
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
    return Release(
        package,
        parse_version(wanted.version),
        _provider(wanted),
        Kind.TREE,
        service=service,
        health=health,
        imported_by_owner=True,
    )


def _provider(wanted: Wanted) -> ProviderName:
    return parse_provider(wanted.provider)
