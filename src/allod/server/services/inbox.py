"""The inbox: genesis uploads that were laid into the server's directory before it ran.

Whoever can write there owns the server's machine, so no enrolment secret is asked for.
"""

from __future__ import annotations

import structlog

from allod import durable
from allod.errors import AllodError
from allod.server.layout import ServerDirectory
from allod.server.services.admit_fleet import AdmitFleet
from allod.wire.api import UPLOAD_CAP, Genesis
from allod.wire.codec import decode

_log = structlog.get_logger("allod.server.inbox")


def empty_inbox(layout: ServerDirectory, admit_fleet: AdmitFleet) -> None:
    """Admit every upload in the inbox; one that is refused stays beside, as `….refused`."""
    for path in sorted(layout.inbox.glob("*.json")):
        try:
            genesis = decode(path.read_bytes(), Genesis, cap=2 * UPLOAD_CAP, what=path.name)
            receipt = admit_fleet(genesis)
        except AllodError as error:
            _log.error("inbox-refused", path=str(path), code=error.code, reason=error.message)
            path.rename(path.with_suffix(".refused"))
            durable.sync_directory(layout.inbox)
            continue
        _log.info("fleet-admitted", fleet=receipt.fleet, path=str(path))
        durable.remove_file(path)
