"""Pushing a release to any OCI registry, so that those who follow a channel can copy it from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from allod.cli.output import Output
from allod.cli.release_push import push_layout
from allod.domain.ids import package_name, sha256
from allod.packaging.statement import sign_release
from allod.wire import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from securesystemslib.signer import Signer

    from allod.cli.registry_files import RegistryFiles
    from allod.packaging.build import Built


@dataclass(frozen=True, slots=True)
class ForeignRepository:
    """One repository of somebody's registry, as what releases are pushed to."""

    files: RegistryFiles

    def push_blob(
        self,
        digest: str,
        size: int,
        file: BinaryIO,
        *,
        progress: Callable[[int], Any] = lambda _: None,
        memory: Path | None = None,  # noqa: ARG002 — registries forget unfinished uploads
    ) -> None:
        """Push a blob unless it is there."""
        self.files.push_file(digest, size, file)
        progress(size)

    def push_manifest(self, reference: str, media_type: str, raw: bytes) -> None:
        """Push a manifest; where the registry keeps no list of referrers, in one of our own."""
        listed = self.files.push_manifest(reference, raw, media_type)
        document = oci.decode_document(raw)
        if document.subject is not None and not listed:
            self._list(document, media_type, raw)

    def _list(self, document: oci.Manifest | oci.Index, media_type: str, raw: bytes) -> None:
        """OCI 1.1: the index under the subject's own tag names all that refer to it."""
        subject = document.subject
        if subject is None:
            return
        tag = subject.digest.replace(":", "-")
        known = self.files.manifest(tag, oci.INDEX)
        before = [] if known is None else oci.decode_index(known, what="the referrers").manifests
        mine = oci.Descriptor(
            media_type=media_type,
            digest=sha256(raw),
            size=len(raw),
            artifact_type=document.artifact_type,
        )
        if any(one.digest == mine.digest for one in before):
            return
        index = oci.Index(schema_version=2, media_type=oci.INDEX, manifests=[*before, mine])
        self.files.push_manifest(tag, oci.encode_document(index), oci.INDEX)


def push_beside(built: Built, files: RegistryFiles, signers: Sequence[Signer], out: Output) -> None:
    """Sign a release and push it to the repository of its name, beside `files`.

    Raises:
        Unavailable: `registry-failed`, `registry-unreachable`.
    """
    sign_release(built, signers)
    name = package_name(built.release.package)
    push_layout(built, ForeignRepository(files.beside(name)), out)
