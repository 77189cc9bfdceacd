"""Where releases are copied from: a provider's registry, as the mirror sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from allod.domain.ids import Digest
from allod.wire.oci import Descriptor


class Source(Protocol):
    """A provider's registry. May be called from several threads.

    Raises:
        InvalidInput: `bad-source`, `too-large`, or an answer can't be read.
        Untrusted: `wrong-digest`.
        Unavailable: `registry-unreachable`, `registry-failed`.
    """

    def manifest(self, source: str, name: str, reference: str) -> bytes | None:
        """A manifest by digest (checked) or tag; None: there is none."""
        ...

    def referrers(
        self, source: str, name: str, subject: Digest, kind: str | None
    ) -> list[Descriptor]:
        """The manifests of an artifact type, or of any, about `subject`."""
        ...

    def blob(self, source: str, name: str, digest: Digest, size: int) -> Iterator[bytes]:
        """The pieces of a blob: `size` bytes, whose digest is the caller's to check."""
        ...
