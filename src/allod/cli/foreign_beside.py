"""What lies beside an artifact in somebody's registry: referrers, and the tags of older tools.

Pulled along, unverified: whoever uses it verifies it. What cannot be had is told, and hinders
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from allod.errors import AllodError, InvalidInput
from allod.packaging.layout import REF_NAME
from allod.wire import oci
from allod.wire.oci import Descriptor

if TYPE_CHECKING:
    from allod.packaging.layout import Layout

MOST: Final = 64  #: manifests
DEPTH: Final = 2  #: what is about it, and what is about that
BLOB_CAP: Final = 64 * 1024 * 1024
TOTAL_CAP: Final = 256 * 1024 * 1024
ENDS: Final = ("sig", "att", "sbom")  #: of cosign's tags `sha256-<hex>.<end>`

#: Gives the bytes of `manifests/…` or `referrers/…`; None: there is none.
Read = Callable[[str], bytes | None]
#: Pulls a blob into the layout.
Fetch = Callable[[Descriptor], None]


@dataclass(slots=True)
class Beside:
    """Pulling what lies beside one artifact."""

    layout: Layout
    read: Read
    fetch: Fetch
    found: list[Descriptor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left: int = TOTAL_CAP

    def about(self, digest: str, depth: int = 1) -> None:
        """Everything about `digest`."""
        for one in self._referrers(digest):
            known = any(other.digest == one.digest for other in self.found)
            if known or one.media_type != oci.MANIFEST:
                continue
            if self._take(one.digest, digest, {}) and depth < DEPTH:
                self.about(one.digest, depth + 1)
        if depth == 1:
            for end in ENDS:
                tag = f"{digest.replace(':', '-')}.{end}"
                self._take(tag, None, {REF_NAME: tag})

    def _referrers(self, digest: str) -> list[Descriptor]:
        try:
            raw = self.read(f"referrers/{digest}")
            if raw is None:  # a registry without that address has a tag of that form (OCI 1.1)
                raw = self.read(f"manifests/{digest.replace(':', '-')}")
            return [] if raw is None else oci.decode_index(raw, what="the referrers").manifests
        except AllodError as error:
            self._tell(f"what refers to {digest}", error)
            return []

    def _take(self, reference: str, subject: str | None, annotations: dict[str, str]) -> bool:
        try:
            raw = self.read(f"manifests/{reference}")
            if raw is None:
                return False
            if len(self.found) >= MOST:
                raise InvalidInput("too-large", f"cannot take more than {MOST} referrers")
            document = oci.decode_manifest(raw, what=reference)
            about = None if document.subject is None else document.subject.digest
            if subject is not None and about != subject:
                raise InvalidInput("bad-manifest", f"cannot use {reference}: it is about {about}")
            for blob in (document.config, *document.layers[: oci.MAX_LAYERS]):
                if not 0 <= blob.size <= min(BLOB_CAP, self.left):
                    raise InvalidInput("too-large", f"cannot take {blob.digest}: {blob.size} bytes")
                self.left -= blob.size
                self.fetch(blob)
            self.found.append(
                Descriptor(
                    media_type=oci.MANIFEST,
                    digest=self.layout.put(raw),
                    size=len(raw),
                    artifact_type=document.artifact_type,
                    annotations=annotations or None,
                )
            )
        except AllodError as error:
            self._tell(reference, error)
            return False
        return True

    def _tell(self, what: str, error: AllodError) -> None:
        self.notes.append(f"Left out {what}: {error.message}")
