"""The keys of the logs that a server keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from allod.domain.ids import parse_fleet
from allod.server.keys import load_log_key
from allod.server.layout import ServerDirectory
from allod.tlog.note import Kind, VerifierKey
from allod.wire.log import log_origin


def log_key(directory: Path, fleet: str, name: Literal["authority", "activity"]) -> VerifierKey:
    """The key of a log, from the directory of its server."""
    key = load_log_key(ServerDirectory(directory))
    assert key is not None
    return VerifierKey(log_origin(parse_fleet(fleet), name), Kind.ED25519, key.public)
