"""Pull and push releases at the fleet's own registry (OCI distribution 1.1).

Every request is signed like all others of the command, chunk by chunk, so a large payload needs
no more memory than one chunk, and goes on where it broke off.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from allod import errors
from allod.cli.client import FIRST_PAUSE, TRIES, Answer, ApiClient
from allod.domain.ids import Digest, sha256
from allod.durable import remove_file, sync_directory, write_atomic
from allod.wire import oci
from allod.wire.codec import parse_strict
from allod.wire.oci import Descriptor, Index

CHUNK: Final = 8 * 1024 * 1024
_ERROR_CAP: Final = 64 * 1024
MAX_LISTED: Final = 1_000_000
_UPLOAD: Final = re.compile(r"/v2/[a-z0-9/._+-]{1,400}/blobs/uploads/[A-Za-z0-9_.=-]{1,400}")
_RECEIVED: Final = re.compile(r"0-([0-9]{1,18})")
_RETRIED: Final = frozenset({429, 502, 503, 504})
_BRANCHES: Final = {
    kind.branch.title: kind
    for kind in (
        errors.InvalidInput,
        errors.Refused,
        errors.Conflict,
        errors.Untrusted,
        errors.Unavailable,
    )
}
_STATUS_CODES: Final = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    416: "wrong-offset",
}

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RegistryClient:
    """Speaks to one repository.

    Args:
        api: the fleet's client; gives location, pins and the key that signs.
        repository: "<provider>/<name>".
    """

    api: ApiClient
    repository: str

    @property
    def _base(self) -> str:
        return f"/v2/{self.api.fleet}/{self.repository}"

    # -- pull ------------------------------------------------------------------------------

    def manifest(self, reference: str) -> tuple[str, bytes]:
        """Media type and bytes of a manifest; by digest they are checked.

        Raises:
            InvalidInput: `manifest-unknown`.
            Untrusted: `wrong-digest`.
        """
        reply = self._send(
            "GET",
            f"{self._base}/manifests/{quote(reference, safe=':')}",
            cap=oci.MANIFEST_CAP,
            headers={"accept": f"{oci.MANIFEST}, {oci.INDEX}"},
        )
        if ":" in reference and sha256(reply.body) != reference:
            raise _wrong_digest(reference)
        return reply.headers.get("content-type", ""), reply.body

    def resolve(self, tag: str) -> Digest | None:
        """The digest that the registry has under a tag; None if it has none."""
        try:
            return sha256(self.manifest(tag)[1])
        except errors.AllodError as error:
            if error.code in {"manifest-unknown", "not-found", "repository-unknown"}:
                return None
            raise

    def blob(self, digest: str, *, cap: int = oci.MANIFEST_CAP) -> bytes:
        """A small blob, checked. Raises Untrusted `wrong-digest`."""
        body = self._send("GET", f"{self._base}/blobs/{digest}", cap=cap).body
        if sha256(body) != digest:
            raise _wrong_digest(digest)
        return body

    def small(self, digest: str) -> bytes:
        """A manifest or small blob by digest, checked."""
        try:
            return self.manifest(digest)[1]
        except errors.AllodError as error:
            if error.code not in {"manifest-unknown", "not-found"}:
                raise
            return self.blob(digest)

    def pieces(self, digest: str, size: int) -> Iterator[bytes]:
        """A blob of any size, in pieces; only once the last was taken is it known to be right.

        Raises:
            Untrusted: `wrong-digest`.
        """
        state = hashlib.sha256()
        offset = 0
        while offset < size:
            last = min(offset + CHUNK, size) - 1
            headers = {"range": f"bytes={offset}-{last}"}
            path = f"{self._base}/blobs/{digest}"
            piece = self._send("GET", path, cap=CHUNK, headers=headers).body
            if len(piece) != last - offset + 1:
                raise _wrong_digest(digest)
            state.update(piece)
            offset += len(piece)
            yield piece
        if f"sha256:{state.hexdigest()}" != digest:
            raise _wrong_digest(digest)

    def check_blob(self, digest: str, size: int, progress: Progress = lambda _: None) -> None:
        """Read a blob from the registry and compare, keeping nothing.

        Raises:
            Untrusted: `wrong-digest`.
        """
        for piece in self.pieces(digest, size):
            progress(len(piece))

    def save_blob(
        self, digest: str, size: int, path: Path, progress: Progress = lambda _: None
    ) -> None:
        """Write a blob to a file, durably; the file appears only once it is whole and right.

        Raises:
            Untrusted: `wrong-digest`.
        """
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                for piece in self.pieces(digest, size):
                    file.write(piece)
                    progress(len(piece))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_directory(path.parent)

    def has_blob(self, digest: str) -> bool:
        """Whether the registry has a blob."""
        return self._send("HEAD", f"{self._base}/blobs/{digest}", missing=True).status < 300  # noqa: PLR2004

    def has_manifest(self, digest: str) -> bool:
        """Whether the repository holds a manifest."""
        path = f"{self._base}/manifests/{digest}"
        return self._send("HEAD", path, missing=True).status < 300  # noqa: PLR2004

    def referrers(self, digest: str, artifact_type: str | None) -> list[Descriptor]:
        """What refers to `digest` with this type, or with any."""
        query = "" if artifact_type is None else f"?artifactType={quote(artifact_type, safe='')}"
        path = f"{self._base}/referrers/{digest}{query}"
        body = self._send("GET", path, cap=oci.MANIFEST_CAP).body
        found: Index = oci.decode_index(body, what="the list of referrers")
        return [one for one in found.manifests if artifact_type in {None, one.artifact_type}]

    def tags(self) -> list[str]:
        """All tags; none if the repository is not there."""
        return self._pages(f"{self._base}/tags/list", "tags")

    def _pages(self, start: str, field: str) -> list[str]:
        found: list[str] = []
        path: str | None = start
        while path is not None and len(found) < MAX_LISTED:
            reply = self._send("GET", path, cap=oci.MANIFEST_CAP, missing=True)
            if reply.status == httpx2.codes.NOT_FOUND:
                return found
            page = parse_strict(reply.body, cap=oci.MANIFEST_CAP, what="the registry's list")
            found += [str(name) for name in page.get(field) or []]
            path = _next_page(reply.headers.get("link", ""), start)
        return found

    # -- push ------------------------------------------------------------------------------

    def push_blob(
        self,
        digest: str,
        size: int,
        file: BinaryIO,
        *,
        progress: Progress = lambda _: None,
        memory: Path | None = None,
    ) -> None:
        """Push a blob unless it is there; goes on where an earlier try broke off.

        Args:
            digest: what the registry must find.
            size: bytes.
            file: the bytes, seekable.
            progress: hears of every byte that is there.
            memory: where the address of the unfinished upload is kept between runs.
        """
        if self.has_blob(digest):
            progress(size)
            return
        location, received = self._begin(memory)
        progress(received)
        while size - received > CHUNK:
            received, location = self._chunk(file, location, received, CHUNK, progress)
        file.seek(received)
        last = file.read(size - received)
        mark = "&" if "?" in location else "?"
        self._send(
            "PUT",
            f"{location}{mark}digest={quote(digest, safe='')}",
            body=last,
            headers={"content-type": "application/octet-stream"},
        )
        progress(len(last))
        if memory is not None:
            remove_file(memory)

    def _begin(self, memory: Path | None) -> tuple[str, int]:
        if memory is not None and memory.is_file():
            location = memory.read_text(encoding="ascii", errors="replace")
            if location.startswith(f"{self._base}/") and _UPLOAD.fullmatch(location):
                reply = self._send("GET", location, missing=True)
                if reply.status == httpx2.codes.NO_CONTENT:
                    return location, _received(reply)
        reply = self._send("POST", f"{self._base}/blobs/uploads/")
        location = self._location(reply)
        if memory is not None:
            write_atomic(memory, location.encode("ascii"))
        return location, 0

    def _chunk(
        self, file: BinaryIO, location: str, received: int, length: int, progress: Progress
    ) -> tuple[int, str]:
        """Send one chunk; after a failure, ask how much arrived and go on from there."""
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            file.seek(received)
            piece = file.read(length)
            headers = {
                "content-type": "application/octet-stream",
                "content-range": f"{received}-{received + len(piece) - 1}",
            }
            try:
                reply = self._send("PATCH", location, body=piece, headers=headers)
            except errors.AllodError as error:
                if attempt == TRIES or error.code not in {"server-unreachable", "wrong-offset"}:
                    raise
                self.api.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, no secret
                pause *= 2
                there = error.details.get("received")
                if not isinstance(there, int):
                    there = _received(self._send("GET", location))
                progress(max(there - received, 0))
                received = there
            else:
                progress(len(piece))
                return _received(reply), self._location(reply)
        raise RuntimeError("the last try returns or raises")

    def push_manifest(self, reference: str, media_type: str, raw: bytes) -> None:
        """Push a manifest, by digest or tag; repeating it is harmless.

        Raises:
            Conflict: `version-taken`.
        """
        path = f"{self._base}/manifests/{quote(reference, safe=':')}"
        self._send("PUT", path, body=raw, headers={"content-type": media_type})

    def _location(self, reply: Answer) -> str:
        target = urlsplit(reply.headers.get("location", ""))
        location = target.path + (f"?{target.query}" if target.query else "")
        if not location.startswith(f"{self._base}/") or not _UPLOAD.fullmatch(target.path):
            raise errors.Untrusted(
                "bad-location", f"cannot push: the server sends us to {location[:120]!r}"
            )
        return location

    # -- one exchange ----------------------------------------------------------------------

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        cap: int = _ERROR_CAP,
        missing: bool = False,
    ) -> Answer:
        """One request; what can be repeated without harm is, while the server is unavailable.

        Raises:
            AllodError: what the registry answered; with `missing`, 404 is an answer like others.
        """
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                reply = self.api.exchange(method, path, body=body, headers=headers or {}, cap=cap)
            except errors.Unavailable as error:
                repeatable = method in {"GET", "HEAD"} or error.details.get("unsent", False)
                if attempt == TRIES or not repeatable:
                    raise
            else:
                if reply.status < 300 or (missing and reply.status == 404):  # noqa: PLR2004
                    return reply
                error_ = _error_of(reply.status, reply.body, path)
                if attempt == TRIES or reply.status not in _RETRIED:
                    raise error_
            self.api.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, no secret
            pause *= 2
        raise RuntimeError("the last try returns or raises")


def _wrong_digest(reference: str) -> errors.Untrusted:
    return errors.Untrusted(
        "wrong-digest", f"cannot use {reference}: the registry sends other bytes under this digest"
    )


def _received(reply: Answer) -> int:
    fits = _RECEIVED.fullmatch(reply.headers.get("range", "0-0"))
    end = int(fits.group(1)) if fits is not None else 0
    return end + 1 if end else 0


def _next_page(link: str, start: str) -> str | None:
    fits = re.match(r'<([^>]{1,1000})>\s*;\s*rel="?next"?', link)
    if fits is None:
        return None
    target = urlsplit(fits.group(1))
    return f"{target.path}?{target.query}" if target.path == start else None


def repositories(api: ApiClient) -> list[str]:
    """What the registry holds of a fleet: "<provider>/<name>"."""
    client = RegistryClient(api, "")
    return client._pages(f"/v2/{api.fleet}/_catalog", "repositories")  # noqa: SLF001 - same module


def _error_of(status: int, body: bytes, path: str) -> errors.AllodError:
    """The failure that an answer in OCI's form names, with our own code in its detail."""
    first: dict[str, Any] = {}
    try:
        said = msgspec.json.decode(body).get("errors")
        first = said[0] if isinstance(said, list) and isinstance(said[0], dict) else {}
    except (msgspec.DecodeError, AttributeError, IndexError):
        pass
    detail = first.get("detail")
    detail = detail if isinstance(detail, dict) else {}
    kind = _BRANCHES.get(str(detail.get("branch")))
    if kind is None:
        unavailable = status >= 500 or status in _RETRIED  # noqa: PLR2004
        kind = errors.Unavailable if unavailable else errors.InvalidInput
    code = str(detail.get("code") or _STATUS_CODES.get(status) or "server-failed")
    message = str(first.get("message") or f"cannot do this at {path}: the server said {status}")
    values = {
        key: value for key, value in detail.items() if key not in {"code", "branch", "message"}
    }
    return kind(code, message[:1000], **values)
