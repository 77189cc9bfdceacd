"""From a described directory to a release in an OCI layout. The same input, the same digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from allod.domain.ids import Digest
from allod.domain.release import Layer, Release
from allod.errors import InvalidInput
from allod.packaging import ignore as ignoring
from allod.packaging.archive import write_archive
from allod.packaging.bill import is_lock
from allod.packaging.bill_locks import LOCK_CAP
from allod.packaging.description import Description, Payload, read_description
from allod.packaging.ignore import Ignore, parse_ignore
from allod.packaging.layout import REF_NAME, BlobWriter, Layout
from allod.packaging.sboms import read_sbom_file, settle_sbom
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest
from allod.wire.release import decode_release, encode_release

OUTPUT: Final = ".allod/release"  #: where a build goes, below its directory
TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"
CONTENT: Final = "dev.allod.content.digest"  #: digest of a layer before it was packed


@dataclass(frozen=True, slots=True)
class Built:
    """A release in a layout."""

    layout: Layout
    descriptor: Descriptor  #: of the manifest, or of the index if there are several platforms
    releases: tuple[Release, ...]  #: one a platform

    @property
    def release(self) -> Release:
        """The first platform's; package, version and provider are those of all."""
        return self.releases[0]

    @property
    def digest(self) -> Digest:
        """What names the release."""
        return Digest(self.descriptor.digest)


def build_directory(
    directory: Path,
    output: Path | None = None,
    *,
    version: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Built:
    """Build what `allod.toml` of `directory` describes, into the layout `output`.

    A layout that is there already comes to hold this release alone; statements about it stay. Beside
    it lies its SBOM: the one that `allod.toml` names, or the one that can be made of the payload.

    Raises:
        InvalidInput: the description or the tree is at fault.
        Conflict: `changed-while-reading`, `not-a-layout`.
    """
    description = read_description(directory, version=version)
    built = build(description, output or directory / OUTPUT, read_ignore(directory), progress)
    given = None if description.sbom is None else read_sbom_file(description.sbom)
    settle_sbom(built, given, _locks_beside(directory, description))
    return built


def _locks_beside(directory: Path, description: Description) -> dict[str, bytes]:
    """Lock files of the directory, where what is shipped is only a part of it."""
    if any(payload.tree == directory for payload in description.payloads):
        return {}
    return {
        path.name: _lock(path)
        for path in sorted(directory.iterdir())
        if is_lock(path.name) and path.is_file() and not path.is_symlink()
    }


def _lock(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(LOCK_CAP + 1)
    if len(raw) > LOCK_CAP:
        raise InvalidInput("too-large", f"cannot read {path}: more than {LOCK_CAP} bytes")
    return raw


def read_ignore(directory: Path) -> Ignore:
    """The rules of `.allodignore` in `directory`. Raises InvalidInput `bad-ignore`."""
    try:
        with (directory / ignoring.FILE).open("rb") as file:
            raw = file.read(ignoring.CAP + 1)
        text = raw.decode("utf-8")
    except FileNotFoundError:
        return parse_ignore()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("bad-ignore", f"cannot use {ignoring.FILE}: {error}") from error
    if len(raw) > ignoring.CAP:
        raise InvalidInput("bad-ignore", f"cannot use {ignoring.FILE}: it is too large")
    return parse_ignore(text)


def build(
    description: Description,
    output: Path,
    ignore: Ignore,
    progress: Callable[[int], None] = lambda _: None,
) -> Built:
    """Build a description. Raises as `build_directory`."""
    layout = Layout(output)
    layout.create()
    parts = [
        _build_platform(layout, description.release, payload, ignore, progress)
        for payload in description.payloads
    ]
    return finish_layout(layout, parts)


def finish_layout(layout: Layout, parts: Sequence[tuple[Descriptor, Release]]) -> Built:
    """Make a layout hold one release for these platforms, and nothing but what is about it."""
    descriptor = parts[0][0] if len(parts) == 1 else _write_index(layout, parts)
    named = _with_annotations(descriptor, {REF_NAME: parts[0][1].version})
    said = [one for one, _ in layout.all_about(named.digest)]
    layout.write_index([named, *said])
    layout.sweep()
    return Built(layout, named, tuple(release for _, release in parts))


def _build_platform(
    layout: Layout,
    base: Release,
    payload: Payload,
    ignore: Ignore,
    progress: Callable[[int], None],
) -> tuple[Descriptor, Release]:
    if not payload.tree.is_dir():
        raise InvalidInput("bad-tree", f"cannot ship {payload.tree}: it is no directory")
    with BlobWriter(layout) as blob:
        archive = write_archive(payload.tree, blob.file, ignore=ignore, progress=progress)
        blob.keep(archive.digest)
    layer = Layer(archive.digest, archive.size, oci.TREE_LAYER)
    release = replace(
        base,
        architecture=payload.architecture,
        installed_size=archive.installed_size,
        layers=(layer,),
    )
    return write_release(layout, release, {archive.digest: {CONTENT: archive.content}}), release


def write_release(
    layout: Layout, release: Release, annotations: Mapping[str, dict[str, str]] | None = None
) -> Descriptor:
    """Write config and manifest of a release whose layers are in the layout already.

    Raises:
        InvalidInput: the release is none that a device would take.
    """
    config = encode_release(release)
    decode_release(config, release.layers)  # what a device will do must succeed here
    manifest = Manifest(
        schema_version=oci.SCHEMA_VERSION,
        media_type=oci.MANIFEST,
        artifact_type=oci.RELEASE,
        config=Descriptor(media_type=oci.CONFIG, digest=layout.put(config), size=len(config)),
        layers=[
            Descriptor(
                media_type=layer.media_type,
                digest=layer.digest,
                size=layer.size,
                annotations=(annotations or {}).get(layer.digest),
            )
            for layer in release.layers
        ],
        annotations={TITLE: release.package, VERSION: release.version},
    )
    raw = oci.encode_document(manifest)
    return Descriptor(
        media_type=oci.MANIFEST, digest=layout.put(raw), size=len(raw), artifact_type=oci.RELEASE
    )


def _write_index(layout: Layout, parts: Sequence[tuple[Descriptor, Release]]) -> Descriptor:
    first = parts[0][1]
    index = Index(
        schema_version=oci.SCHEMA_VERSION,
        media_type=oci.INDEX,
        artifact_type=oci.RELEASE,
        manifests=[
            Descriptor(
                media_type=descriptor.media_type,
                digest=descriptor.digest,
                size=descriptor.size,
                artifact_type=oci.RELEASE,
                platform=oci.platform_of(release.architecture),
            )
            for descriptor, release in sorted(parts, key=lambda part: part[1].architecture)
        ],
        annotations={TITLE: first.package, VERSION: first.version},
    )
    raw = oci.encode_document(index)
    return Descriptor(
        media_type=oci.INDEX, digest=layout.put(raw), size=len(raw), artifact_type=oci.RELEASE
    )


def _with_annotations(descriptor: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return Descriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        artifact_type=descriptor.artifact_type,
        annotations=annotations,
    )


def open_built(directory: Path, reference: str | None = None) -> Built:
    """Read a release from a layout, checking everything but the layers' bytes.

    Raises:
        InvalidInput: `not-a-layout`, `no-release`, or what is wrong with the release.
        Untrusted: `wrong-digest`.
    """
    layout = Layout(directory)
    descriptor = layout.release(reference)
    return Built(layout, descriptor, read_releases(descriptor.digest, layout.get))


def read_releases(digest: str, get: Callable[[str], bytes]) -> tuple[Release, ...]:
    """The releases, one a platform, of the manifest or index `digest`; `get` gives small blobs.

    Raises:
        InvalidInput: what is wrong with the release.
    """
    document = oci.decode_document(get(digest), what=f"the release {digest}")
    if isinstance(document, Manifest):
        named = oci.release_manifest(document, what=f"the release {digest}")
        return (decode_release(get(named.config), named.layers),)
    if document.artifact_type != oci.RELEASE or not document.manifests:
        raise InvalidInput("bad-manifest", f"cannot read {digest}: it is no Allod release")
    found = []
    for one in document.manifests[: oci.MAX_MANIFESTS + 1]:
        part = oci.decode_manifest(get(one.digest), what=f"the release {one.digest}")
        named = oci.release_manifest(part, what=f"the release {one.digest}")
        found.append(decode_release(get(named.config), named.layers))
    if len({(one.package, one.version, one.provider) for one in found}) != 1:
        raise InvalidInput(
            "bad-manifest", f"cannot read {digest}: its platforms are not one release"
        )
    if len(found) > oci.MAX_MANIFESTS:
        raise InvalidInput("bad-manifest", f"cannot read {digest}: it has too many platforms")
    return tuple(found)
