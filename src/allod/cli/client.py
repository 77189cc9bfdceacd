"""The HTTP client of the owner's command.

* TLS: only the fleet's own certificate authorities count (pins); their dates are ignored, since
  TLS protects confidentiality only and an expired certificate must not lock the owner out.
* Every request is signed by the caller's API key (RFC 9421); redirects are not followed.
* Answers that are no success become the `allod` error that the server named.
"""

from __future__ import annotations

import random
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from allod import errors
from allod.wire.api import ENROLMENT_HEADER, Problem
from allod.wire.codec import decode, encode
from allod.wire.httpsig import content_digest, sign_request

if TYPE_CHECKING:
    from allod.wire.trust import Location

_T = TypeVar("_T")

TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
TRIES: Final = 4
FIRST_PAUSE: Final = 0.2  #: seconds; doubled from try to try, with jitter
ANSWER_CAP: Final = 64 * 1024 * 1024
_ERROR_CAP: Final = 64 * 1024
_NO_CHECK_TIME: Final = 0x200000  #: OpenSSL's X509_V_FLAG_NO_CHECK_TIME
_RETRIED: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The caller's key, used only through `sign`.

    Args:
        id: as in TUF.
        sign: makes the raw Ed25519 signature; asks for a passphrase at its first use.
    """

    id: str
    sign: Callable[[bytes], bytes]

    def headers(self, method: str, url: httpx2.URL, body: bytes) -> dict[str, str]:
        """The fields that prove who sends this request."""
        return sign_request(
            method,
            url.raw_path.decode("ascii").partition("?")[0],
            url.query.decode("ascii"),
            content_digest(body),
            key_id=self.id,
            created=int(time.time()),
            nonce=secrets.token_urlsafe(24),
            sign=self.sign,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, its body read."""

    status: int
    headers: httpx2.Headers
    body: bytes


def tls_context(pins: Sequence[str]) -> ssl.SSLContext:
    """A context that trusts `pins` (PEM) alone and ignores dates; without pins, the system's.

    Raises:
        InvalidInput: `bad-pin`.
    """
    if not pins:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata="\n".join(pins))
    except (ssl.SSLError, ValueError) as error:
        raise errors.InvalidInput(
            "bad-pin", f"cannot read a certificate that the server is pinned to: {error}"
        ) from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags |= _NO_CHECK_TIME
    return context


def check_url(url: str) -> str:
    """A server's address: https, or http to this machine only, without path and credentials.

    Raises:
        InvalidInput: `bad-url`.
    """
    unfit = errors.InvalidInput(
        "bad-url", f"cannot use {url[:200]!r} as a server: it is like https://host:port"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise unfit from error
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    fits = parts.scheme == "https" or (parts.scheme == "http" and local)
    if not fits or not parts.hostname or port == 0:
        raise unfit
    if parts.username or parts.query or parts.fragment:
        raise unfit
    return url.rstrip("/")


@dataclass(slots=True)
class ApiClient:
    """Speaks to one server about one fleet.

    Args:
        location: the server's address and pins.
        fleet: the fleet's id.
        key: signs every request; without one they go unsigned.
        enrolment: the server's own secret, for whoever has no key that it knows (recovery).
    """

    location: Location
    fleet: str
    key: ApiKey | None = None
    enrolment: str | None = None
    sleep: Callable[[float], None] = time.sleep
    _client: httpx2.Client | None = field(default=None, repr=False)

    def file(self, path: str, *, cap: int) -> bytes | None:
        """A file of the fleet (`path` relative to `/f/<fleet>/`); None: not there."""
        try:
            return self.request("GET", f"/f/{self.fleet}/{path}", cap=cap)
        except errors.AllodError as error:
            if error.code == "not-found":
                return None
            raise

    def get(self, path: str, type_: type[_T], *, cap: int = ANSWER_CAP) -> _T:
        """A document of the administration API below `/api/v1/fleets/<fleet>`."""
        answer = self.request("GET", self._api(path), cap=cap)
        return _read(answer, type_, cap)

    def post(
        self, path: str, body: Any, type_: type[_T], *, headers: dict[str, str] | None = None
    ) -> _T:
        """Send a document to the administration API below `/api/v1/fleets/<fleet>`."""
        answer = self.request("POST", self._api(path), body=encode(body), headers=headers)
        return _read(answer, type_, ANSWER_CAP)

    def delete(self, path: str) -> None:
        """Remove something of the administration API below `/api/v1/fleets/<fleet>`."""
        self.request("DELETE", self._api(path))

    def _api(self, path: str) -> str:
        return f"/api/v1/fleets/{self.fleet}" + (f"/{path}" if path else "")

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        cap: int = ANSWER_CAP,
    ) -> bytes:
        """One exchange, repeated while the server is unavailable.

        A request that may have taken effect is repeated only if it was never sent, or if the
        server said that it did nothing.

        Raises:
            AllodError: what the server answered, or `server-unreachable`, `too-large`.
        """
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                return self._exchange(method, path, body, headers or {}, cap)
            except errors.Unavailable as error:
                repeatable = method == "GET" or error.details.get("unsent", False)
                if attempt == TRIES or not repeatable:
                    raise
            self.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, no secret
            pause *= 2
        raise RuntimeError("the last try returns or raises")

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str], cap: int
    ) -> bytes:
        answer = self.exchange(method, path, body=body, headers=headers, cap=cap)
        if httpx2.codes.is_success(answer.status):
            return answer.body
        raise _error_of(answer.status, answer.body, path)

    def exchange(
        self, method: str, path: str, *, body: bytes, headers: dict[str, str], cap: int
    ) -> Answer:
        """One exchange as it is, whatever the status, and never repeated.

        Raises:
            Unavailable: `server-unreachable`; its detail `unsent` says that nothing was sent.
            Untrusted: `wrong-certificate`, `too-large`.
        """
        url = httpx2.URL(self.location.url + path)
        sent = dict(headers)
        if body:
            sent.setdefault("content-type", "application/json")
        if self.enrolment is not None:
            sent[ENROLMENT_HEADER] = self.enrolment
        if self.key is not None:
            sent |= self.key.headers(method, url, body)
        try:
            with self._open().stream(method, url, headers=sent, content=body) as answer:
                limit = cap if answer.is_success else _ERROR_CAP
                data = _read_body(answer, limit)
                return Answer(answer.status_code, answer.headers, data)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error, unsent=True) from error
        except httpx2.TransportError as error:
            raise self._unreachable(error, unsent=False) from error

    def _unreachable(self, error: Exception, *, unsent: bool) -> errors.AllodError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return errors.Untrusted(
                "wrong-certificate",
                f"cannot speak to {self.location.url}: its certificate is not one of the fleet's; "
                "if it lost its own, see 'allod keys certify'",
            )
        return errors.Unavailable(
            "server-unreachable",
            f"cannot reach {self.location.url}: {str(error) or type(error).__name__}; "
            "is 'allod serve' running?",
            unsent=unsent,
        )

    def _open(self) -> httpx2.Client:
        if self._client is None:
            self._client = httpx2.Client(
                verify=tls_context(self.location.pins), timeout=TIMEOUT, follow_redirects=False
            )
        return self._client

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _read_body(answer: httpx2.Response, cap: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > cap:
            raise errors.Untrusted(
                "too-large", f"cannot take the answer of {answer.url.path}: more than {cap} bytes"
            )
        parts.append(part)
    return b"".join(parts)


def _read(answer: bytes, type_: type[_T], cap: int) -> _T:
    if type_ is type(None):
        return None
    return decode(answer, type_, cap=cap, what="the server's answer")


_BRANCHES: Final = {
    kind.branch.title: kind
    for kind in (errors.InvalidInput, errors.Conflict, errors.Untrusted, errors.Unavailable)
}


_LET_IN: Final = (
    "if this machine's key was replaced, 'allod keys restore' brings the new one; "
    "whoever is new is let in by the owner, with 'allod people add'"
)


def _error_of(status: int, body: bytes, path: str) -> errors.AllodError:
    """The failure that an answer in problem+json (RFC 9457) names."""
    try:
        problem = decode(body, Problem, cap=_ERROR_CAP, what="the server's answer")
    except errors.InvalidInput:
        code = _CODES.get(status, "server-failed")
        problem = Problem(
            type="about:blank",
            title=errors.Unavailable.branch.title if status in _RETRIED else "",
            status=status,
            detail=f"cannot get {path}: the server answered {status}",
            code=code,
        )
    if status in _RETRIED:
        unsent = status in {429, 503}
        return errors.Unavailable(problem.code, problem.detail, unsent=unsent)
    if problem.title == errors.Refused.branch.title:
        return errors.Refused(
            problem.code, problem.detail, reasons=tuple(problem.reasons), **problem.details
        )
    if problem.code == "unauthenticated":
        problem = msgspec.structs.replace(problem, detail=f"{problem.detail}; {_LET_IN}")
    kind = _BRANCHES.get(problem.title)
    if kind is None:
        kind = errors.InvalidInput if status < 500 else errors.Unavailable  # noqa: PLR2004
    return kind(problem.code, problem.detail, **problem.details)


_CODES: Final = {401: "unauthenticated", 403: "forbidden", 404: "not-found", 409: "out-of-date"}
