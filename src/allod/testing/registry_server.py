"""The real registry on a real socket, with a gate of fixed tokens."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from allod.errors import Refused
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.registry.app import RegistryApp
from allod.server.registry.catalogue import DirectoryCatalogue
from allod.server.registry.ports import Action, Caller, FleetStore
from allod.wire.httpsig import read_request

FLEET: Final = "f1" * 32


@dataclass(slots=True)
class TokenGate:
    """Lets in who brings one of its tokens, as Bearer or as the password of Basic.

    Args:
        tokens: secret -> what it may; empty: everybody may do everything.
        signed: let in signed requests too, without looking at the key (their body is checked).
    """

    tokens: dict[str, frozenset[Action]] = field(default_factory=dict)
    signed: bool = False

    def admit(self, fleet: str | None, action: Action, caller: Caller) -> bytes | None:
        """See the port."""
        del fleet
        if self.signed and "signature" in caller.headers:
            request = read_request(caller.method, caller.path, caller.query, caller.headers)
            return request.body_digest
        if not self.tokens:
            return None
        scheme, _, value = caller.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if value not in self.tokens:
            raise Refused("unauthenticated", "cannot let you in: bring a token")
        if action not in self.tokens[value]:
            raise Refused("forbidden", f"cannot let you {action}: your token does not allow it")
        return None


@dataclass(slots=True)
class RunningRegistry:
    """A registry that answers."""

    url: str
    store: FleetStore
    gate: TokenGate
    failures: list[BaseException]  #: bugs that it met

    @property
    def host(self) -> str:
        """host:port."""
        return self.url.removeprefix("http://")


@contextmanager
def registry_server(directory: Path, gate: TokenGate | None = None) -> Iterator[RunningRegistry]:
    """Serve one fleet, `FLEET`, out of `directory`."""
    store = FleetStore(
        DirectoryBlobStore(directory / "blobs"), DirectoryCatalogue(directory / "registry")
    )
    admits = gate or TokenGate()
    failures: list[BaseException] = []
    app = RegistryApp(
        lambda fleet: store if fleet == FLEET else None,
        admits,
        lambda _, error: failures.append(error),
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        log_enabled=False,
        log_level=LogLevels.critical,
        websockets=False,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
    thread.start()
    _await_port(port)
    try:
        yield RunningRegistry(f"http://127.0.0.1:{port}", store, admits, failures)
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        loop.close()


def _await_port(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the registry did not start")
