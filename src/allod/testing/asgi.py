"""Asks an ASGI application in this process; no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return msgspec.json.decode(self.body)


async def exchange(
    application: Any,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    pieces: int = 1,
) -> Answer:
    """One request; the body comes in `pieces`."""
    path, _, query = target.partition("?")
    fields = {name.lower(): value for name, value in (headers or {}).items()}
    if body:
        fields.setdefault("content-length", str(len(body)))
        fields.setdefault("content-type", "application/json")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    size = max(1, -(-len(body) // pieces))
    waiting = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    said: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            return {"type": "http.disconnect"}
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        said.append(message)

    await application(scope, receive, send)
    start = said[0]
    return Answer(
        start["status"],
        {name.decode().lower(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in said[1:]),
    )


def ask(application: Any, method: str, target: str, **parts: Any) -> Answer:
    """`exchange`, in a loop of its own."""
    return asyncio.run(exchange(application, method, target, **parts))
