"""Health probes (port `Probe`): running, http, tcp, command. Each attempt ends within its time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from allod.agent.ports import ProbeResult, RunState, ServiceUnit
from allod.domain.release import HealthCheck, ProbeKind

BODY_CAP: Final = 64 * 1024
HEAD_CAP: Final = 16 * 1024
SAYS_CAP: Final = 200
_PIECE: Final = 16 * 1024


class SystemProbe:
    """Asks a service on this device how it is.

    The http probe is a small client of its own: HTTP/1.0, over TLS if the address says https, no redirects, no proxy, only to
    addresses of this device itself (attack 11), one deadline for everything (attack 12).
    A command of a release is the release's own code: it runs as the user of its service.

    Args:
        user: tells as whom a unit's command runs; empty: as the agent itself.
        redact: takes secrets out of what a service says.
    """

    def __init__(
        self,
        user: Callable[[ServiceUnit], str] = lambda _: "",
        redact: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._user = user
        self._redact = redact

    def attempt(self, check: HealthCheck, unit: ServiceUnit | None, run: RunState) -> ProbeResult:
        """Try `check` once, within `check.timeout`. Never raises for an unhealthy service."""
        found = self._attempt(check, unit, run)
        return ProbeResult(healthy=found.healthy, detail=self._redact(found.detail))

    def _attempt(self, check: HealthCheck, unit: ServiceUnit | None, run: RunState) -> ProbeResult:
        if unit is not None and not run.running:
            return ProbeResult(healthy=False, detail=run.detail or "not running")
        try:
            if check.kind is ProbeKind.RUNNING:
                return _running(unit, run)
            if check.kind is ProbeKind.COMMAND:
                return _command(check, unit, "" if unit is None else self._user(unit))
            return _http(check) if check.kind is ProbeKind.HTTP else _tcp(check)
        except TimeoutError:
            return ProbeResult(healthy=False, detail=f"no answer within {check.timeout:g} s")
        except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            return ProbeResult(healthy=False, detail=_printable(str(error)))


def _running(unit: ServiceUnit | None, run: RunState) -> ProbeResult:
    if unit is None:
        return ProbeResult(healthy=False, detail="there is no service to run")
    return ProbeResult(healthy=run.running, detail=run.detail)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()[:SAYS_CAP]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _local(host: str, port: int) -> tuple[str, int]:
    """An address of this device. Raises ValueError for any other."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    for address in addresses:
        if ip_address(address).is_loopback or _is_own(address):
            return address, port
    raise ValueError(f"{host} is not an address of this device")


def _is_own(address: str) -> bool:
    """Whether an interface of this device has the address: only then can it be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as trial:
        trial.bind((address, 0))
        return not ip_address(address).is_unspecified
    return False


def _tcp(check: HealthCheck) -> ProbeResult:
    host, _, port = check.address.rpartition(":")
    address = _local(host.strip("[]") or "localhost", int(port))
    with socket.create_connection(address, timeout=check.timeout):
        return ProbeResult(healthy=True, detail=f"{check.address} accepts connections")


def _http(check: HealthCheck) -> ProbeResult:
    deadline = time.monotonic() + check.timeout
    parts = urlsplit(check.url)
    secure = parts.scheme == "https"
    if not (secure or parts.scheme == "http") or not parts.hostname or parts.username is not None:
        return ProbeResult(healthy=False, detail="only web addresses of this device are asked")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not (target.isascii() and target.isprintable()) or " " in target:
        return ProbeResult(healthy=False, detail="the address holds signs that it can't")
    address = _local(parts.hostname, parts.port or (443 if secure else 80))
    request = f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: allod-agent\r\n\r\n"
    with socket.create_connection(address, timeout=_left(deadline)) as plain:
        if secure:
            with _unproven().wrap_socket(plain, server_hostname=parts.hostname) as link:
                head, body = _exchange(link, request, deadline)
        else:
            head, body = _exchange(plain, request, deadline)
    words = head.split(b"\r\n", 1)[0].split()
    if not words[1:] or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return ProbeResult(healthy=False, detail="the answer is no HTTP")
    status = int(words[1])
    if status != check.status:
        return ProbeResult(healthy=False, detail=f"answered {status} and not {check.status}")
    if check.contains and check.contains.encode() not in body:
        return ProbeResult(healthy=False, detail=f"the answer lacks {_printable(check.contains)!r}")
    return ProbeResult(healthy=True, detail=f"answered {status}")


def _unproven() -> ssl.SSLContext:
    """TLS to this device itself: there is nobody in between, and certificates name other hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _exchange(link: socket.socket, request: str, deadline: float) -> tuple[bytes, bytes]:
    link.settimeout(_left(deadline))
    link.sendall(request.encode("ascii"))
    return _answer(link, deadline)


def _answer(link: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    """Head and the first 64 KiB of the body."""
    data = bytearray()
    end = -1
    while True:
        if end < 0:
            end = data.find(b"\r\n\r\n")
        if (end < 0 and len(data) > HEAD_CAP) or (end >= 0 and len(data) >= end + 4 + BODY_CAP):
            break
        link.settimeout(_left(deadline))
        piece = link.recv(_PIECE)
        if not piece:
            break
        data += piece
    if end < 0:
        return bytes(data[:HEAD_CAP]), b""
    return bytes(data[:end]), bytes(data[end + 4 : end + 4 + BODY_CAP])


def _command(check: HealthCheck, unit: ServiceUnit | None, user: str) -> ProbeResult:
    """Run it as a session of its own; all of that is gone when the time is over."""
    directory = None if unit is None else unit.directory
    process = subprocess.Popen(
        [_filled(word, unit, first=number == 0) for number, word in enumerate(check.command)],
        cwd=directory,
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            **({} if unit is None else unit.environment),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=user or None,
        group=user or None,
        extra_groups=() if user else None,
    )
    with process:
        try:
            says = _says(process, time.monotonic() + check.timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    ended = process.returncode
    return ProbeResult(healthy=ended == 0, detail=f"ended with {ended}{': ' if says else ''}{says}")


def _says(process: subprocess.Popen[bytes], deadline: float) -> str:
    """Wait for its end; keep the first output, drop the rest."""
    kept = bytearray()
    if process.stdout is None:
        raise RuntimeError("the command's output was not piped")
    fd = process.stdout.fileno()
    while True:
        ended = process.poll() is not None
        readable = bool(select.select([fd], [], [], 0 if ended else min(0.05, _left(deadline)))[0])
        piece = os.read(fd, _PIECE) if readable else b""
        kept += piece[: SAYS_CAP * 4 - len(kept)]
        if ended and not piece:
            return _printable(kept.decode("utf-8", "replace"))
        if readable and not piece:  # it closed its output and goes on
            time.sleep(min(0.02, _left(deadline)))
        _left(deadline)


def _filled(word: str, unit: ServiceUnit | None, *, first: bool) -> str:
    """Fill in {tree}, {config} and {data}; a program without a slash at its start lies in the tree."""
    if unit is None:
        return word
    places = {"{tree}": unit.directory, "{config}": unit.configuration, "{data}": unit.data or ""}
    for name, place in places.items():
        word = word.replace(name, str(place))
    inside = Path(unit.directory) / word
    return str(inside) if first and not word.startswith("/") and inside.exists() else word
