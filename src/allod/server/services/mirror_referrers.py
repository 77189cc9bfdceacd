"""What else lies beside a release at its provider's: SBOMs, attestations, signatures, notices.

None of it decides whether the release enters; the owner's policy does that before. It is carried
on as it is, best effort, so that it can be looked at here when its source is gone. All of it is
unverified, and whoever uses it verifies it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from allod.domain.ids import Digest, parse_digest, sha256
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.server.registry.ports import FleetStore, Repository
from allod.server.registry.service import push_manifest
from allod.server.services.mirror_source import Source
from allod.wire import oci
from allod.wire.oci import Descriptor, Manifest
from allod.wire.sbom import SBOM_TYPES

MOST: Final = 64  #: that are carried of one release
DEPTH: Final = 2  #: what is about a release, and what is about that
BLOB_CAP: Final = 64 * 1024 * 1024
TOTAL_CAP: Final = 256 * 1024 * 1024
TAG_ENDS: Final = ("sig", "att", "sbom")  #: of cosign's tags `sha256-<hex>.<end>`
_FIRST: Final = (oci.STATEMENT, oci.PROVENANCE, *SBOM_TYPES)
_NEVER: Final = frozenset({oci.RELEASE, oci.CHANNEL})
_log = structlog.get_logger("allod.server.mirror")


@dataclass(slots=True)
class Carrying:
    """One release's.

    Args:
        source: the provider's registry.
        place: its address.
        store: the fleet's.
        repository: in both.
    """

    source: Source
    place: str
    store: FleetStore
    repository: Repository
    left: int = TOTAL_CAP
    count: int = 0
    stopped: bool = False
    _told: set[str] = field(default_factory=set)

    def __call__(self, release: Digest) -> int:
        """Carry what refers to `release`; how many were new. What cannot be had is told in the log."""
        for place in self._about(release):
            self._carry(*place, 1)
        for end in TAG_ENDS:
            if not self.stopped:
                self._tagged(f"{release.replace(':', '-')}.{end}")
        return self.count

    def _about(self, subject: Digest) -> Iterator[tuple[Descriptor, Digest]]:
        try:
            found = self.source.referrers(self.place, self.repository.name, subject, None)
        except AllodError as error:
            self._tell(subject, error)
            return
        order = {kind: place for place, kind in enumerate(_FIRST)}
        for one in sorted(found, key=lambda one: order.get(one.artifact_type or "", len(order))):
            yield one, subject

    def _carry(self, descriptor: Descriptor, subject: Digest, depth: int) -> None:
        if self.stopped or self.count >= MOST or descriptor.media_type != oci.MANIFEST:
            return
        try:
            digest = parse_digest(descriptor.digest)
            if self.store.catalogue.manifest(self.repository, digest) is not None:
                return
            raw = self.source.manifest(self.place, self.repository.name, digest)
            if raw is None:
                return
            document = oci.decode_manifest(raw, what="what is beside a release")
            about = None if document.subject is None else document.subject.digest
            if about != subject:
                raise _bad(f"it is about {about}")
            self._take(raw, document, digest)
        except AllodError as error:
            self._tell(subject, error)
            return
        if depth < DEPTH:
            of_origin = document.layers if document.artifact_type == oci.ORIGIN else []
            for about_it in (digest, *(layer.digest for layer in of_origin)):
                for one, of in self._about(parse_digest(about_it)):
                    self._carry(one, of, depth + 1)

    def _tagged(self, tag: str) -> None:
        """What older tools keep under a tag instead, as they find it; a tag moves as there."""
        try:
            raw = self.source.manifest(self.place, self.repository.name, tag)
            if raw is None or self.store.catalogue.resolve(self.repository, tag) == sha256(raw):
                return
            document = oci.decode_manifest(raw, what=tag)
            self._take(raw, document, tag)
        except AllodError as error:
            self._tell(tag, error)

    def _take(self, raw: bytes, document: Manifest, reference: str) -> None:
        """Blobs first, then the manifest."""
        if document.artifact_type in _NEVER:
            raise _bad("it is no statement about anything")
        blobs = {blob.digest: blob for blob in (document.config, *document.layers)}
        for blob in blobs.values():
            if not 0 <= blob.size <= min(BLOB_CAP, self.left):
                raise InvalidInput("too-large", f"cannot carry {blob.digest}: {blob.size} bytes")
            digest = parse_digest(blob.digest)
            if self.store.blobs.size(digest) is None:
                self.left -= blob.size
                pieces = self.source.blob(self.place, self.repository.name, digest, blob.size)
                self.store.blobs.put(digest, pieces)
        push_manifest(self.store, self.repository, reference, oci.MANIFEST, raw)
        self.count += 1

    def _tell(self, what: str, error: AllodError) -> None:
        if isinstance(error, Unavailable):
            self.stopped = True  # a source that is gone or slow delays nobody for long
        if error.message not in self._told:
            self._told.add(error.message)
            _log.warning(
                "not-carried", repository=str(self.repository), about=what, why=error.message
            )


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-manifest", f"cannot carry what is beside a release: {why}")
