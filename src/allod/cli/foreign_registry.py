"""Pulling from somebody else's registry into a layout. Everything is checked by digest.

Only https, or http to this machine; anonymous, with the token that public registries hand out.
A reference by tag is only as good as that registry; one by digest is as good as the digest.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx2

from allod.cli.foreign_beside import Beside
from allod.domain.ids import Digest, parse_digest, sha256
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.packaging.archive import MAX_BYTES
from allod.packaging.layout import BlobWriter, Layout
from allod.wire import oci
from allod.wire.codec import parse_strict
from allod.wire.oci import Descriptor, Index

_REFERENCE: Final = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/(?P<name>[a-z0-9][a-z0-9._/-]{0,254}?)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?",
    re.ASCII,
)
_CHALLENGE: Final = re.compile(r'([a-z]+)="([^"]*)"')
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
_TOKEN_CAP: Final = 256 * 1024

Progress = Callable[[int], None]


@dataclass(slots=True)
class _Source:
    """One repository of one registry."""

    base: str
    name: str
    client: httpx2.Client
    headers: dict[str, str] = field(default_factory=dict)

    def open(self, path: str, accept: str) -> httpx2.Response:
        """The answer to a GET, not yet read; asks for a token once if one is wanted."""
        for attempt in (1, 2):
            request = self.client.build_request(
                "GET",
                f"{self.base}/v2/{self.name}/{path}",
                headers={"accept": accept, **self.headers},
            )
            try:
                answer = self.client.send(request, stream=True)
            except httpx2.TransportError as error:
                raise Unavailable(
                    "registry-unreachable", f"cannot reach {self.base}: {error}"
                ) from error
            if answer.is_success:
                return answer
            challenge = answer.headers.get("www-authenticate", "")
            answer.close()
            if answer.status_code != httpx2.codes.UNAUTHORIZED or attempt > 1:
                break
            self._authenticate(challenge)
        if answer.status_code == httpx2.codes.NOT_FOUND:
            raise InvalidInput(
                "no-such-release", f"cannot find {path} of {self.name} at {self.base}"
            )
        raise Unavailable(
            "registry-failed",
            f"cannot get {path} of {self.name}: {self.base} said {answer.status_code}",
        )

    def small(self, path: str) -> bytes | None:
        """A small document, by digest checked; None: there is none."""
        try:
            raw = _small(self.open(path, f"{oci.MANIFEST}, {oci.INDEX}"))
        except InvalidInput as error:
            if error.code == "no-such-release":
                return None
            raise
        wanted = path.rpartition("/")[2]
        if path.startswith("manifests/") and ":" in wanted and sha256(raw) != wanted:
            raise _wrong(wanted)
        return raw

    def _authenticate(self, challenge: str) -> None:
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.get("realm", "")
        if not challenge.lower().startswith("bearer ") or urlsplit(realm).scheme != "https":
            raise Unavailable(
                "registry-failed", f"cannot pull from {self.base}: it wants to know who asks"
            )
        query = {"scope": f"repository:{self.name}:pull"}
        if "service" in fields:
            query["service"] = fields["service"]
        try:
            answer = self.client.get(f"{realm}?{urlencode(query)}")
        except httpx2.TransportError as error:
            raise Unavailable("registry-unreachable", f"cannot reach {realm}: {error}") from error
        said = parse_strict(answer.content, cap=_TOKEN_CAP, what="the registry's token")
        token = said.get("token") or said.get("access_token") if isinstance(said, dict) else None
        if not answer.is_success or not isinstance(token, str):
            raise Unavailable("registry-failed", f"cannot pull from {self.base}: it gave no token")
        self.headers["authorization"] = f"Bearer {token}"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came beside the artifact itself."""

    index: Descriptor | None  #: from which its platform was chosen
    notes: tuple[str, ...] = ()  #: what of what lies beside it could not be had, and why


def pull(
    reference: str,
    layout: Layout,
    *,
    progress: Progress = lambda _: None,
    client: httpx2.Client | None = None,
) -> Pulled:
    """Pull `HOST/NAME:TAG` or `HOST/NAME@DIGEST` into a layout, with what lies beside it.

    Of a foreign index only this machine's platform is taken; of an Allod release all are.

    Raises:
        InvalidInput: `bad-reference`, `no-such-release`, `too-large`, or it is malformed.
        Untrusted: `wrong-digest`.
        Unavailable: `registry-unreachable`, `registry-failed`.
    """
    fits = _REFERENCE.fullmatch(reference)
    if fits is None:
        raise InvalidInput(
            "bad-reference", f"cannot read {reference[:200]!r}: it is like ghcr.io/acme/toaster:1.0"
        )
    local = fits["host"].partition(":")[0] in {"localhost", "127.0.0.1"}
    base = f"{'http' if local else 'https'}://{fits['host']}"
    layout.create()
    with client or httpx2.Client(timeout=_TIMEOUT, follow_redirects=True, max_redirects=5) as http:
        source = _Source(base, fits["name"], http)
        wanted = fits["digest"] or fits["tag"] or "latest"
        above: list[Descriptor] = []
        descriptor = _pull_document(source, layout, wanted, progress, above)
        beside = Beside(layout, source.small, lambda blob: _pull_blob(source, layout, blob, _quiet))
        for one in (descriptor, *above):
            beside.about(one.digest)
        layout.write_index([descriptor, *beside.found])
        return Pulled(above[0] if above else None, tuple(beside.notes))


def _quiet(_: int) -> None:
    """No progress is shown."""


def _pull_document(
    source: _Source,
    layout: Layout,
    reference: str,
    progress: Progress,
    above: list[Descriptor] | None = None,
) -> Descriptor:
    answer = source.open(f"manifests/{reference}", f"{oci.MANIFEST}, {oci.INDEX}")
    raw = _small(answer)
    digest = sha256(raw)
    if reference.startswith("sha256:") and digest != reference:
        raise _wrong(reference)
    document = oci.decode_document(raw, what=f"the manifest {reference}")
    if isinstance(document, Index):
        if document.artifact_type != oci.RELEASE:
            named = Descriptor(media_type=oci.INDEX, digest=layout.put(raw), size=len(raw))
            if above is not None:
                above.append(named)
            return _pull_document(source, layout, _this_platform(document).digest, progress)
        for one in document.manifests[: oci.MAX_MANIFESTS]:
            _pull_document(source, layout, parse_digest(one.digest), progress)
    else:
        for blob in (document.config, *document.layers[: oci.MAX_LAYERS]):
            _pull_blob(source, layout, blob, progress)
    layout.put(raw)
    media_type = oci.INDEX if isinstance(document, Index) else oci.MANIFEST
    return Descriptor(
        media_type=media_type, digest=digest, size=len(raw), artifact_type=document.artifact_type
    )


def _this_platform(index: Index) -> Descriptor:
    wanted = oci.platform_of(platform.machine())
    for one in index.manifests:
        fits = one.platform is None or (one.platform.os, one.platform.architecture) == (
            wanted.os,
            wanted.architecture,
        )
        if fits:
            parse_digest(one.digest)
            return one
    raise InvalidInput("wrong-architecture", "cannot import it: it has nothing for this machine")


def _small(answer: httpx2.Response) -> bytes:
    parts = bytearray()
    try:
        for part in answer.iter_bytes():
            parts += part
            if len(parts) > oci.MANIFEST_CAP:
                raise InvalidInput("too-large", "cannot take a manifest of more than 4 MiB")
    except httpx2.TransportError as error:
        raise Unavailable("registry-unreachable", f"cannot go on: {error}") from error
    finally:
        answer.close()
    return bytes(parts)


def _pull_blob(source: _Source, layout: Layout, blob: Descriptor, progress: Progress) -> None:
    digest = parse_digest(blob.digest)
    if not 0 <= blob.size <= MAX_BYTES:
        raise InvalidInput("too-large", f"cannot take {digest}: {blob.size} bytes")
    if layout.path(digest).is_file():
        progress(blob.size)
        return
    state = hashlib.sha256()
    left = blob.size
    with BlobWriter(layout) as target:
        answer = source.open(f"blobs/{digest}", "*/*")
        try:
            for part in answer.iter_raw():
                left -= len(part)
                if left < 0:
                    raise _wrong(digest)
                state.update(part)
                target.file.write(part)
                progress(len(part))
        except httpx2.TransportError as error:
            raise Unavailable("registry-unreachable", f"cannot go on: {error}") from error
        finally:
            answer.close()
        if left or f"sha256:{state.hexdigest()}" != digest:
            raise _wrong(digest)
        target.keep(Digest(digest))


def _wrong(reference: str) -> Untrusted:
    return Untrusted(
        "wrong-digest", f"cannot use {reference}: the registry sends other bytes under this digest"
    )
