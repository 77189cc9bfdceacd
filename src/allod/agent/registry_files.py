"""Small files of the fleet's registry: manifests, descriptions, and what lies beside a release.

Everything is asked for by digest and compared with it; nothing here is verified otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod.agent.holdings import MANIFEST_CAP, Holdings
from allod.agent.ports import Transport
from allod.agent.transfer import Blobs
from allod.domain.ids import Digest, parse_digest, sha256
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.wire import oci

MAX_STATEMENTS: Final = 16  #: referrers that are tried before the release counts as unsigned
MAX_BESIDE: Final = 64  #: other statements of a kind that are looked at
BESIDE_CAP: Final = 16 * 1024 * 1024  #: bytes of them, all together


@dataclass(slots=True)
class Beside:
    """Statements beside a release: how long each may be, and one that was not to be had."""

    cap: int
    missing: Unavailable | None = None


class RegistryFiles(Holdings):
    """Reads them, from here where they are kept, else from the fleet.

    Args:
        transport: how to reach the fleet; None: nothing can be fetched in this run.
        blobs: the device's blobs.
        packages: `packages` of the state directory.
    """

    def __init__(self, transport: Transport | None, blobs: Blobs, packages: Path) -> None:
        super().__init__(blobs, packages)
        self._transport = transport
        self._fresh: dict[Digest, bytes] = {}

    def _envelopes(
        self, repository: str, subject: Digest, kind: str, beside: Beside
    ) -> Iterator[bytes]:
        """The envelopes of a kind beside a release; one that cannot be had is passed over."""
        read = oci.provenance_layer if kind == oci.PROVENANCE else oci.evidence_layer
        room = BESIDE_CAP
        for digest in self._referrers(repository, subject, kind, MAX_BESIDE):
            try:
                referrer = self._blob_of_manifest(repository, digest)
                layer = read(referrer)
                if referrer.subject is None or referrer.subject.digest != subject:
                    continue
                room -= layer.size
                if room >= 0:
                    yield self._blob(repository, layer.digest, layer.size, beside.cap)
            except (Untrusted, InvalidInput):
                continue  # what it is worth is asked of the others
            except Unavailable as error:
                if error.code != "not-found":
                    raise
                beside.missing = error

    def _referrers(
        self,
        repository: str,
        subject: Digest,
        kind: str = oci.STATEMENT,
        most: int = MAX_STATEMENTS,
    ) -> Iterator[Digest]:
        data = self._reach().get(f"{repository}/referrers/{subject}", cap=MANIFEST_CAP)
        if data is None:
            return
        found = 0
        for entry in oci.decode_index(data, what="the list of referrers").manifests:
            if entry.artifact_type == kind and found < most:
                found += 1
                yield parse_digest(entry.digest)

    def _reach(self) -> Transport:
        if self._transport is None:
            raise Unavailable("unreachable", "cannot fetch anything in this run: it has no source")
        return self._transport

    def _blob_of_manifest(self, repository: str, digest: Digest) -> oci.Manifest:
        return oci.decode_manifest(self._named(repository, digest))

    def _named(self, repository: str, digest: Digest) -> bytes:
        return self._small(f"{repository}/manifests/{digest}", digest, MANIFEST_CAP)

    def _blob(self, repository: str, digest: Digest, size: int, cap: int) -> bytes:
        if size > cap:
            raise InvalidInput(
                "too-large", f"cannot take {digest}: {size} bytes, at most {cap} are allowed"
            )
        return self._small(f"{repository}/blobs/{digest}", digest, cap)

    def _small(self, path: str, digest: Digest, cap: int) -> bytes:
        """A small file by its digest, from here or from the fleet; kept once all is verified."""
        known = self._blobs.read(digest, cap=cap)
        if known is not None:
            return known
        data = self._reach().get(path, cap=cap)
        if data is None:
            raise Unavailable(
                "not-found", f"cannot find {digest}: the server does not have it (yet)"
            )
        if sha256(data) != digest:
            raise Untrusted("wrong-digest", f"cannot take {digest}: what came is {sha256(data)}")
        self._fresh[digest] = data
        return data
