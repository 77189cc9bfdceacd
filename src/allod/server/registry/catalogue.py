"""A catalogue as small files, so that it is itself the truth and a backup of files is whole.

    <provider>/<name>/manifests/<hex>             what the manifest is (JSON)
    <provider>/<name>/referrers/<subject>/<hex>   empty: <hex> is about <subject>
    <provider>/<name>/tags/<tag>                  the digest

Each file is written whole or not at all. A manifest is named among the referrers before it is
held, so a power cut leaves at worst a name that leads nowhere, which is left out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from allod.domain.ids import Digest, parse_digest
from allod.durable import make_directory, sync_directory, write_atomic
from allod.server.registry.ports import ManifestRow, Repository
from allod.wire.codec import Document, decode, encode

ROW_CAP: Final = 8 * 1024 * 1024


class _Row(Document, frozen=True, kw_only=True):
    """A file of `manifests/`."""

    media_type: str
    size: int
    artifact_type: str | None = None
    subject: str | None = None
    annotations: dict[str, str] | None = None


def _hex(digest: str) -> str:
    return parse_digest(digest).removeprefix("sha256:")


class DirectoryCatalogue:
    """Implements `allod.server.registry.ports.Catalogue` on one filesystem.

    Args:
        directory: of one fleet; need not be there yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _at(self, repository: Repository, *parts: str) -> Path:
        return self._directory.joinpath(repository.provider, repository.name, *parts)

    def add(self, repository: Repository, row: ManifestRow) -> None:
        """See the port."""
        name = _hex(row.digest)
        if row.subject is not None:
            about = self._at(repository, "referrers", _hex(row.subject))
            make_directory(about)
            if not (about / name).exists():
                write_atomic(about / name, b"")
        held = self._at(repository, "manifests")
        make_directory(held)
        if (held / name).exists():
            return
        data = encode(
            _Row(
                media_type=row.media_type,
                size=row.size,
                artifact_type=row.artifact_type,
                subject=row.subject,
                annotations=None if row.annotations is None else dict(row.annotations),
            )
        )
        write_atomic(held / name, data)

    def manifest(self, repository: Repository, digest: Digest) -> ManifestRow | None:
        """See the port."""
        try:
            data = self._at(repository, "manifests", _hex(digest)).read_bytes()
        except FileNotFoundError:
            return None
        row = decode(data, _Row, cap=ROW_CAP, what=f"the catalogue's file about {digest}")
        subject = None if row.subject is None else parse_digest(row.subject)
        return ManifestRow(
            digest, row.media_type, row.size, row.artifact_type, subject, row.annotations
        )

    def referrers(self, repository: Repository, subject: Digest) -> tuple[ManifestRow, ...]:
        """See the port."""
        names = _listing(self._at(repository, "referrers", _hex(subject)))
        rows = (self.manifest(repository, Digest("sha256:" + name)) for name in sorted(names or ()))
        return tuple(row for row in rows if row is not None)

    def claim(self, repository: Repository, tag: str, digest: Digest) -> Digest:
        """See the port."""
        tags = self._at(repository, "tags")
        make_directory(tags)
        temporary = tags / f".{secrets.token_hex(8)}.tmp"
        write_atomic(temporary, digest.encode())
        try:
            os.link(temporary, tags / tag)
        except FileExistsError:
            present = self.resolve(repository, tag)
            if present is None:
                raise RuntimeError(f"the tag {tag} is there and can't be read") from None
            return present
        finally:
            temporary.unlink()
            sync_directory(tags)
        return digest

    def move(self, repository: Repository, tag: str, digest: Digest) -> None:
        """See the port."""
        tags = self._at(repository, "tags")
        make_directory(tags)
        write_atomic(tags / tag, digest.encode())

    def resolve(self, repository: Repository, tag: str) -> Digest | None:
        """See the port."""
        with contextlib.suppress(FileNotFoundError):
            return parse_digest(self._at(repository, "tags", tag).read_text(encoding="ascii"))
        return None

    def tags(
        self, repository: Repository, *, after: str = "", limit: int | None = None
    ) -> tuple[str, ...] | None:
        """See the port."""
        if not self._at(repository).is_dir():
            return None
        names = _listing(self._at(repository, "tags")) or []
        return tuple(sorted(name for name in names if name > after)[:limit])

    def repositories(self) -> tuple[Repository, ...]:
        """See the port."""
        return tuple(
            Repository(provider, name)
            for provider in sorted(_listing(self._directory) or ())
            for name in sorted(_listing(self._directory / provider) or ())
        )


def _listing(directory: Path) -> list[str] | None:
    """The names in a directory, temporary files left out; None if it is not there."""
    try:
        return [one.name for one in directory.iterdir() if not one.name.startswith(".")]
    except FileNotFoundError:
        return None
