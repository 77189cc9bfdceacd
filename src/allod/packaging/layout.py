"""An OCI image layout on disk: `oci-layout`, `index.json`, `blobs/sha256/<hex>`.

What is read out of one is checked against its digest; what is written is durable before
`index.json` names it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from allod.domain.ids import Digest, parse_digest, sha256
from allod.durable import make_directory, sync_directory, write_atomic
from allod.errors import Conflict, InvalidInput, Untrusted
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest

MARKER: Final = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME: Final = "org.opencontainers.image.ref.name"
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout directory."""

    directory: Path

    @property
    def _blobs(self) -> Path:
        return self.directory / "blobs" / "sha256"

    def exists(self) -> bool:
        """Whether there is a layout."""
        return (self.directory / "oci-layout").is_file()

    def create(self) -> None:
        """Make the directory a layout, empty if it was none.

        Raises:
            Conflict: `not-a-layout`, the directory holds something else.
        """
        if self.exists():
            return
        if self.directory.exists() and any(self.directory.iterdir()):
            raise Conflict(
                "not-a-layout",
                f"cannot write a release into {self.directory}: it holds something else",
            )
        make_directory(self._blobs, mode=0o755)
        self.write_index([])
        write_atomic(self.directory / "oci-layout", MARKER, mode=0o644)

    def read_index(self) -> Index:
        """What the layout holds.

        Raises:
            InvalidInput: `not-a-layout`, `bad-manifest`.
        """
        try:
            with (self.directory / "index.json").open("rb") as file:
                raw = file.read(oci.MANIFEST_CAP + 1)
        except OSError as error:
            raise InvalidInput(
                "not-a-layout", f"cannot read {self.directory}: it is no OCI image layout"
            ) from error
        return oci.decode_index(raw, what=f"{self.directory}/index.json")

    def write_index(self, manifests: list[Descriptor]) -> None:
        """Say, durably, that the layout holds these."""
        index = Index(schema_version=2, media_type=oci.INDEX, manifests=manifests)
        write_atomic(self.directory / "index.json", oci.encode_document(index), mode=0o644)

    def path(self, digest: str) -> Path:
        """Where a blob lies, or would. Raises InvalidInput `bad-digest`."""
        return self._blobs / parse_digest(digest).removeprefix("sha256:")

    def put(self, data: bytes) -> Digest:
        """Store a small blob, durably."""
        digest = sha256(data)
        path = self.path(digest)
        if not path.is_file():
            write_atomic(path, data, mode=0o644)
        return digest

    def get(self, digest: str, *, cap: int = oci.MANIFEST_CAP) -> bytes:
        """A small blob, checked.

        Raises:
            InvalidInput: `missing-blob`, `too-large`.
            Untrusted: `wrong-digest`.
        """
        with self.open(digest) as file:
            data = file.read(cap + 1)
        if len(data) > cap:
            raise InvalidInput("too-large", f"cannot read {digest}: more than {cap} bytes")
        if sha256(data) != digest:
            raise Untrusted("wrong-digest", f"cannot use {digest}: its bytes have another digest")
        return data

    def open(self, digest: str) -> BinaryIO:
        """A blob, unchecked. Raises InvalidInput `missing-blob`, `bad-digest`."""
        try:
            return self.path(digest).open("rb")
        except OSError as error:
            raise InvalidInput(
                "missing-blob", f"cannot read {digest}: it is not in {self.directory}"
            ) from error

    def check(self, digest: str, size: int) -> None:
        """Read a blob and compare.

        Raises:
            InvalidInput: `missing-blob`.
            Untrusted: `wrong-digest`.
        """
        state = hashlib.sha256()
        count = 0
        with self.open(digest) as file:
            while piece := file.read(_PIECE):
                state.update(piece)
                count += len(piece)
        if count != size or f"sha256:{state.hexdigest()}" != digest:
            raise Untrusted("wrong-digest", f"cannot use {digest}: its bytes have another digest")

    def release(self, reference: str | None = None) -> Descriptor:
        """The one release of the layout, or the one whose name or digest is `reference`.

        Raises:
            InvalidInput: `no-release`, `several-releases`.
        """
        found = [
            one
            for one in self.read_index().manifests
            if one.artifact_type == oci.RELEASE or self._artifact_type(one) == oci.RELEASE
        ]
        if reference is not None:
            found = [
                one
                for one in found
                if reference in {one.digest, (one.annotations or {}).get(REF_NAME)}
            ]
        if not found:
            raise InvalidInput("no-release", f"cannot find a release in {self.directory}")
        if len({one.digest for one in found}) > 1:
            raise InvalidInput(
                "several-releases", f"cannot choose: {self.directory} holds several releases"
            )
        return found[0]

    def _artifact_type(self, descriptor: Descriptor) -> str | None:
        with contextlib.suppress(InvalidInput):
            return oci.decode_document(self.get(descriptor.digest)).artifact_type
        return None

    def referrers(
        self, digest: str, artifact_type: str | None
    ) -> list[tuple[Descriptor, Manifest]]:
        """The manifests of this type, or of any, whose subject is `digest`."""
        found = []
        for one in self.read_index().manifests:
            fits = artifact_type is None or one.artifact_type in {None, artifact_type}
            if fits and one.media_type == oci.MANIFEST:
                manifest = oci.decode_manifest(self.get(one.digest))
                about = manifest.subject is not None and manifest.subject.digest == digest
                if about and artifact_type in {None, manifest.artifact_type}:
                    found.append((one, manifest))
        return found

    def all_about(self, digest: str) -> list[tuple[Descriptor, Manifest]]:
        """Everything that refers to `digest`, and what refers to that, what is nearer first."""
        found: dict[str, tuple[Descriptor, Manifest]] = {}
        waiting = [digest]
        while waiting:
            for one in self.referrers(waiting.pop(0), None):
                if one[0].digest not in found:
                    found[one[0].digest] = one
                    waiting.append(one[0].digest)
        return list(found.values())

    def attach(self, manifest: Manifest) -> Descriptor:
        """Add a referrer and name it in the index."""
        raw = oci.encode_document(manifest)
        descriptor = Descriptor(
            media_type=oci.MANIFEST,
            digest=self.put(raw),
            size=len(raw),
            artifact_type=manifest.artifact_type,
        )
        present = self.read_index().manifests
        if all(one.digest != descriptor.digest for one in present):
            self.write_index([*present, descriptor])
        return descriptor

    def reachable(self, digest: str) -> set[str]:
        """`digest` and everything below it, as far as it is here."""
        with contextlib.suppress(InvalidInput):
            document = oci.decode_document(self.get(digest))
            if isinstance(document, Index):
                return {digest}.union(*(self.reachable(one.digest) for one in document.manifests))
            return {digest, document.config.digest, *(one.digest for one in document.layers)}
        return {digest}

    def sweep(self) -> None:
        """Remove the blobs that nothing names any more."""
        kept: set[str] = set()
        for one in self.read_index().manifests:
            kept |= self.reachable(one.digest)
        for path in self._blobs.iterdir():
            if f"sha256:{path.name}" not in kept:
                path.unlink()


class BlobWriter:
    """A blob whose digest is known only once it is written. Use as a context manager.

    Args:
        layout: where it goes.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = layout.directory / "blobs" / "sha256" / f".{secrets.token_hex(8)}.tmp"
        self.file: BinaryIO

    def __enter__(self) -> Self:
        self.file = self._path.open("xb")
        return self

    def keep(self, digest: Digest) -> None:
        """Make it durable under its digest."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._path.chmod(0o644)
        target = self._layout.path(digest)
        self._path.replace(target)
        sync_directory(target.parent)

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._path.unlink(missing_ok=True)
