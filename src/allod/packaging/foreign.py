"""Foreign software as a release of the owner's own: same content, marked, signed by the owner.

An Allod release of somebody else keeps its layers and gets a new description. Anything else, a
tarball or an OCI artifact whose layers are tars, becomes a tree and needs a description.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from allod.domain.ids import parse_digest, parse_provider, parse_version
from allod.domain.release import Release
from allod.errors import InvalidInput
from allod.packaging.archive import unpack
from allod.packaging.build import Built, build, finish_layout, read_releases, write_release
from allod.packaging.description import Description, Payload
from allod.packaging.ignore import Ignore
from allod.packaging.layout import BlobWriter, Layout
from allod.packaging.origin import beside
from allod.wire import oci
from allod.wire.oci import Descriptor

_TARS: Final = (".tar", ".tar+gzip", "tar.gzip", ".tar.gz")
_PIECE: Final = 1024 * 1024
NOTHING_IGNORED: Final = Ignore(())


def adopt(
    source: Layout, release: Descriptor, output: Path, *, provider: str, version: str | None
) -> Built:
    """Take over somebody else's Allod release: its layers as they are, the description ours.

    Raises:
        InvalidInput, Untrusted: the release is malformed, or its bytes are others.
    """
    layout = Layout(output)
    layout.create()
    parts = []
    for one in read_releases(release.digest, source.get):
        for layer in one.layers:
            source.check(layer.digest, layer.size)
            _copy(source, layout, layer.digest)
        ours = replace(
            one,
            provider=parse_provider(provider),
            version=one.version if version is None else parse_version(version),
            imported_by_owner=True,
        )
        parts.append((write_release(layout, ours), ours))
    return finish_layout(layout, parts)


def _copy(source: Layout, target: Layout, digest: str) -> None:
    with source.open(digest) as file, BlobWriter(target) as blob:
        shutil.copyfileobj(file, blob.file, _PIECE)
        blob.keep(parse_digest(digest))


@contextmanager
def unpacked(archive: BinaryIO | None, layout: Layout | None = None) -> Iterator[Path]:
    """A temporary tree with the content of a tarball, or of an artifact's layers in order.

    A tarball that holds a single directory and nothing else is that directory.

    Raises:
        InvalidInput: `bad-archive`, `too-large`, `not-importable`.
    """
    with tempfile.TemporaryDirectory(prefix="allod-import-") as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        if archive is not None:
            unpack(archive, tree)
        if layout is not None:
            _unpack_artifact(layout, tree)
        inside = list(tree.iterdir())
        single = len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink()
        yield inside[0] if single and archive is not None else tree


def _unpack_artifact(layout: Layout, tree: Path) -> None:
    document = oci.decode_manifest(layout.get(single_artifact(layout).digest))
    if document.config.media_type == "application/vnd.oci.image.config.v1+json":
        raise InvalidInput(
            "not-importable",
            "cannot import a container image as a tree: it needs a root directory of its own",
        )
    for layer in document.layers:
        if not layer.media_type.endswith(_TARS):
            raise InvalidInput(
                "not-importable",
                f"cannot import it: {layer.media_type[:100]!r} is no tar archive",
            )
        layout.check(layer.digest, layer.size)
        with layout.open(layer.digest) as file:
            unpack(file, tree)


def single_artifact(layout: Layout) -> Descriptor:
    """The one artifact of a layout, apart from what is about it. Raises InvalidInput."""
    manifests = [
        one
        for one in layout.read_index().manifests
        if one.media_type in {oci.MANIFEST, oci.INDEX} and not beside(layout, one)
    ]
    if len(manifests) != 1 or manifests[0].media_type == oci.INDEX:
        raise InvalidInput(
            "not-importable", "cannot import it: it is not one artifact for one platform"
        )
    return manifests[0]


def build_imported(release: Release, tree: Path, output: Path) -> Built:
    """Build a described foreign tree, marked as imported."""
    marked = replace(release, imported_by_owner=True)
    payload = Payload(tree, release.architecture)
    return build(Description(marked, (payload,)), output, NOTHING_IGNORED)


def single_release(layout: Layout, reference: str | None) -> Descriptor | None:
    """The Allod release of a layout; None if it holds something else."""
    try:
        return layout.release(reference)
    except InvalidInput as error:
        if error.code == "no-release":
            return None
        raise
