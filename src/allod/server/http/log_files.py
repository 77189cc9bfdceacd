"""`/f/<fleet>/log/…`: the logs as C2SP tlog-tiles, and the door for cosignatures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from allod.domain.ids import FleetId
from allod.errors import InvalidInput
from allod.server.http.answers import IMMUTABLE, in_thread, send_range, tag_of, whole
from allod.server.http.messages import (
    NO_STORE,
    Bodies,
    Receive,
    Scope,
    Send,
    method_not_allowed,
    not_found,
    respond,
)
from allod.server.services.limits import Rate
from allod.server.services.logs import Logs, read_tile
from allod.server.services.witnesses import GatherAll
from allod.tlog.checkpoint import CHECKPOINT_CAP
from allod.tlog.tiles import parse_tile_path

_PLACE: Final = r"log/((?:authority|activity)(?:/[1-9][0-9]{0,5})?)"
_FILE: Final = re.compile(_PLACE + r"/(checkpoint|tile/[0-9a-z/.]{1,80})", re.ASCII)
_COSIGNED: Final = re.compile(_PLACE + r"/cosignatures", re.ASCII)
_TEXT: Final = b"text/plain; charset=utf-8"


class LogFilesApp:
    """Answers below `log/`; who may read was decided before.

    Args:
        logs: of the fleets.
        gather: takes cosignatures.
        submissions: of cosigned checkpoints, by fleet.
        bodies: reads them.
    """

    def __init__(self, logs: Logs, gather: GatherAll, submissions: Rate, bodies: Bodies) -> None:
        self._logs = logs
        self._gather = gather
        self._submissions = submissions
        self._bodies = bodies

    async def file(self, fleet: FleetId, rest: str, scope: Scope, send: Send) -> None:
        """The checkpoint, a tile or an entry bundle of a log (C2SP tlog-tiles)."""
        found = _FILE.fullmatch(rest)
        if found is None:
            raise not_found("this file")
        place, name = found.groups()
        files = self._logs.files(fleet, place)
        if name == "checkpoint":
            checkpoint = await in_thread(files.published)
            if checkpoint is None:
                raise not_found("this log")
            await whole(scope, send, checkpoint, _TEXT)
            return
        try:
            tile = parse_tile_path(name)
        except InvalidInput as error:
            raise not_found("this tile") from error
        data = await in_thread(read_tile, files, tile)
        if data is None:
            raise not_found("this tile")
        fields = [IMMUTABLE, (b"content-type", b"application/octet-stream")]

        def pieces(offset: int, length: int) -> Iterator[bytes]:
            return iter([data[offset : offset + length]])

        await send_range(
            scope, send, len(data), pieces, fields, b'"%s"' % tag_of(f"{place} {name}")
        )

    async def cosigned(
        self, fleet: FleetId, rest: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A checkpoint that somebody had cosigned: what counts is who signed, not who brings it."""
        found = _COSIGNED.fullmatch(rest)
        if found is None:
            raise not_found("this address")
        if scope["method"] != "POST":
            raise method_not_allowed(scope)
        self._submissions.take(fleet)
        body = await self._bodies.read(scope, receive, cap=CHECKPOINT_CAP)
        await in_thread(self._gather.submitted, fleet, found.group(1), body)
        await respond(send, 204, headers=(NO_STORE,))
