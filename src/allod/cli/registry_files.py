"""Files in somebody's OCI registry: read, and pushed with a login where one is needed.

Only https, or http to this machine. What is read is checked by digest, or by whoever reads it.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final
from urllib.parse import urlencode, urljoin, urlsplit

import httpx2

from allod.domain.ids import sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.wire import oci
from allod.wire.codec import parse_strict

_PATH: Final = re.compile(r"(?:/[a-z0-9][a-z0-9._-]{0,127}){0,8}", re.ASCII)
_CHALLENGE: Final = re.compile(r'([a-z]+)="([^"]*)"')
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
_ERROR_CAP: Final = 256 * 1024
_TOLD: Final = 200  #: characters of a registry's own words
_PIECE: Final = 1024 * 1024
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a registry said, read whole."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def good(self) -> bool:
        return self.status < httpx2.codes.MULTIPLE_CHOICES


@dataclass(slots=True)
class RegistryFiles:
    """One repository.

    Args:
        base: scheme and host.
        name: of the repository.
        login: what `Authorization: Basic` carries; None: nobody in particular.
    """

    base: str
    name: str
    login: str | None = field(default=None, repr=False)
    _headers: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, text: str, repository: str, login: Path | None = None) -> RegistryFiles:
        """The repository below `https://host/path`. Raises InvalidInput `bad-reference`."""
        parts = urlsplit(text.rstrip("/"))
        local = parts.hostname in {"localhost", "127.0.0.1"}
        allowed = {"https", "http"} if local else {"https"}
        bad = parts.query or parts.fragment or parts.username or not parts.hostname
        if parts.scheme not in allowed or bad or _PATH.fullmatch(parts.path) is None:
            raise InvalidInput(
                "bad-reference",
                f"cannot use {text[:200]!r}: it is like https://registry.acme.example/acme",
            )
        name = f"{parts.path.strip('/')}/{repository}".strip("/")
        return cls(f"{parts.scheme}://{parts.netloc}", name, _read_login(login))

    def beside(self, repository: str) -> RegistryFiles:
        """Another repository of the same owner, with the same login."""
        above = self.name.rpartition("/")[0]
        return RegistryFiles(self.base, f"{above}/{repository}".strip("/"), self.login)

    @property
    def address(self) -> str:
        """For messages."""
        return f"{self.base}/{self.name}"

    def manifest(self, tag: str, media_type: str = oci.MANIFEST) -> bytes | None:
        """A manifest by its tag; None: there is none."""
        accept = {"accept": media_type}
        answer = self._ask("GET", f"manifests/{tag}", headers=accept, cap=oci.MANIFEST_CAP)
        if answer.status == httpx2.codes.NOT_FOUND:
            return None
        return self._require(answer, "read").body

    def blob(self, digest: str, size: int) -> bytes:
        """A blob, checked. Raises Untrusted `wrong-digest`."""
        cap = max(size, _ERROR_CAP)
        answer = self._ask("GET", f"blobs/{digest}", cap=cap)
        if answer.status in _MOVED:  # where big registries keep blobs; the digest decides
            place = urljoin(f"{self.base}/", answer.headers.get("location", ""))
            if urlsplit(place).scheme != "https":
                raise Unavailable("registry-failed", f"cannot follow {self.base} to {place[:100]}")
            answer = self._send("GET", place, cap=cap)
        data = self._require(answer, "read").body
        if sha256(data) != digest:
            raise Untrusted("wrong-digest", f"cannot use {digest}: {self.base} sends other bytes")
        return data

    def push_blob(self, data: bytes) -> None:
        """Push a small blob, unless it is there."""
        self.push_file(sha256(data), len(data), io.BytesIO(data))

    def push_file(self, digest: str, size: int, file: BinaryIO) -> None:
        """Push a blob of any size, unless it is there; in one piece, as it is read."""
        if self._ask("HEAD", f"blobs/{digest}").good:
            return
        begun = self._require(self._ask("POST", "blobs/uploads/"), "begin an upload")
        place = urljoin(f"{self.base}/v2/{self.name}/blobs/", begun.headers.get("location", ""))
        if urlsplit(place)[:2] != urlsplit(self.base)[:2]:
            raise Untrusted("bad-location", f"cannot push: {self.base} sends us to {place[:100]!r}")
        mark = "&" if urlsplit(place).query else "?"
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(size),
            **self._headers,
        }
        url = f"{place}{mark}{urlencode({'digest': digest})}"
        content = iter(partial(file.read, _PIECE), b"")
        self._require(self._send("PUT", url, headers=headers, content=content), f"push {digest}")

    def push_manifest(self, tag: str, raw: bytes, media_type: str = oci.MANIFEST) -> bool:
        """Push a manifest under a tag or digest; whether the registry lists what it refers to."""
        headers = {"content-type": media_type}
        answer = self._ask("PUT", f"manifests/{tag}", headers=headers, content=raw)
        return "oci-subject" in self._require(answer, f"push {tag}").headers

    # -- one exchange --------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] = _NONE,
        content: bytes = b"",
        cap: int = _ERROR_CAP,
    ) -> _Answer:
        """One request; a registry that wants to know who asks is told once."""
        url = f"{self.base}/v2/{self.name}/{path}"
        for attempt in (1, 2):
            given = {**headers, **self._headers}
            answer = self._send(method, url, headers=given, content=content, cap=cap)
            if answer.status != httpx2.codes.UNAUTHORIZED or attempt > 1:
                return answer
            self._authenticate(answer.headers.get("www-authenticate", ""))
        raise RuntimeError("the last try returns")

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NONE,
        content: bytes | Iterator[bytes] = b"",
        cap: int = _ERROR_CAP,
    ) -> _Answer:
        found = bytearray()
        try:
            with (
                httpx2.Client(timeout=_TIMEOUT, follow_redirects=False) as client,
                client.stream(method, url, headers=dict(headers), content=content) as answer,
            ):
                for part in answer.iter_bytes():
                    found += part
                    if len(found) > cap:
                        raise Untrusted(
                            "too-large", f"cannot take the answer of {self.base}: over {cap} bytes"
                        )
        except httpx2.TransportError as error:
            raise Unavailable(
                "registry-unreachable", f"cannot reach {self.base}: {error}"
            ) from error
        return _Answer(answer.status_code, answer.headers, bytes(found))

    def _authenticate(self, challenge: str) -> None:
        kind = challenge.partition(" ")[0].lower()
        if kind == "basic" and self.login is not None:
            self._headers["authorization"] = f"Basic {self.login}"
            return
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.get("realm", "")
        if kind != "bearer" or urlsplit(realm).scheme != "https":
            raise Unavailable(
                "registry-failed",
                f"cannot use {self.address}: it wants to know who asks; give --login FILE",
            )
        wanted = "pull,push" if self.login is not None else "pull"
        query = {"scope": f"repository:{self.name}:{wanted}"}
        if "service" in fields:
            query["service"] = fields["service"]
        headers = {} if self.login is None else {"authorization": f"Basic {self.login}"}
        answer = self._send("GET", f"{realm}?{urlencode(query)}", headers=headers)
        said = parse_strict(
            self._require(answer, "log in").body, cap=_ERROR_CAP, what="the registry's token"
        )
        token = said.get("token") or said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(token, str):
            raise Unavailable("registry-failed", f"cannot use {self.base}: it gave no token")
        self._headers["authorization"] = f"Bearer {token}"

    def _require(self, answer: _Answer, what: str) -> _Answer:
        if not answer.good:
            raise Unavailable(
                "registry-failed",
                f"cannot {what} at {self.address}: it said {answer.status}{_told(answer.body)}",
            )
        return answer


def _told(body: bytes) -> str:
    """What a registry says about its refusal, in the form of the OCI distribution specification."""
    try:
        said = parse_strict(body, cap=_ERROR_CAP, what="the registry's answer")
    except AllodError:
        return ""
    errors = said.get("errors") if isinstance(said, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    message = first.get("message") if isinstance(first, dict) else None
    return f" ({message[:_TOLD]})" if isinstance(message, str) and message else ""


def _read_login(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput("no-file", f"cannot read the login {path}: {why}") from error
    if not lines or ":" not in lines[0]:
        raise InvalidInput("no-file", f"cannot read the login {path}: it is user:password")
    return b64encode(lines[0].encode()).decode()
