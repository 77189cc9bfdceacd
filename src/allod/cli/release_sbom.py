"""`allod release sbom`: lay an SBOM beside a release; and how one is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput
from allod.packaging.layout import Layout
from allod.packaging.sboms import HeldSbom, attach_sboms, read_sbom_file, sboms_beside, settle_sbom
from allod.wire import oci

if TYPE_CHECKING:
    from allod.cli.registry_client import RegistryClient
    from allod.wire.oci import Descriptor, Manifest


@dataclass(frozen=True, slots=True)
class InRegistry:
    """What stands beside a release in the fleet's registry (`packaging.sboms.Beside`)."""

    registry: RegistryClient

    def referrers(
        self, digest: str, artifact_type: str | None
    ) -> Sequence[tuple[Descriptor, Manifest]]:
        """The manifests of a type about `digest`."""
        return [
            (one, oci.decode_manifest(self.registry.small(one.digest)))
            for one in self.registry.referrers(digest, artifact_type)
            if one.media_type == oci.MANIFEST
        ]

    def get(self, digest: str, *, cap: int = oci.MANIFEST_CAP) -> bytes:
        """A blob, checked."""
        return self.registry.blob(digest, cap=cap)


def sbom(
    source: Path,
    /,
    *files: Path,
    version: str | None = None,
    make: Annotated[bool, Parameter(negative="")] = False,
    options: Options = OPTIONS,
) -> None:
    """Lay SBOMs beside a release, in the place of those that are there; without any, show them.

    CycloneDX 1.4 to 1.7 or SPDX 2.3, as JSON. Signing and pushing the release sign that they
    belong to it, and carry them on.

    Args:
        source: A directory with allod.toml, or an OCI image layout.
        files: The SBOMs.
        version: Instead of the one in allod.toml; or which release of a layout.
        make: Instead of files, the one that Allod can make of the payload.
        options: Options of every verb.
    """
    from allod.cli.output import outline
    from allod.cli.release_push import open_or_build

    if files and make:
        raise InvalidInput("bad-arguments", "cannot take both files and --make")
    built = open_or_build(source, version=version, out=options.output)
    if files:
        attach_sboms(built, [read_sbom_file(path) for path in files])
    elif make:
        attach_sboms(built, [])
        if Layout(source).exists():
            settle_sbom(built, None, {})
        else:
            built = open_or_build(source, version=version, out=options.output)
    held = sboms_beside(built.layout, built.digest, None)
    data = {
        "digest": built.digest,
        "layout": str(built.layout.directory),
        "sboms": [shown(one, known=False) for one in held],
    }
    none = "No SBOM lies beside it, and of its payload none can be made: give a file."
    release = built.release
    lines = [f"{release.package} {release.version}", *outline({"sboms": data["sboms"]})]
    options.output.result(data, "\n".join(lines if held else [lines[0], none]))


def shown(held: HeldSbom, *, known: bool) -> dict[str, Any]:
    """An SBOM for people and programs.

    Args:
        held: the SBOM.
        known: whether the provider's keys are; otherwise nothing is said of who signed it.
    """
    who = {"signed": held.signed, "signed_by": sorted(held.signed_by)} if known else {}
    sbom = held.sbom
    if sbom is None:
        return {"digest": held.digest, "fault": held.fault, **who}
    return {
        "format": sbom.format,
        "components": len(sbom.components),
        "without_version": _count(one.version for one in sbom.components),
        "without_purl": _count(one.purl for one in sbom.components),
        "made_by": list(sbom.made_by),
        "by_allod": sbom.by_allod,
        **who,
        "faults": list(sbom.faults),
        "digest": held.digest,
    }


def _count(words: Iterable[str]) -> int:
    return sum(not word for word in words)
