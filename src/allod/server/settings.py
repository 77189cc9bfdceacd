"""Settings: one frozen value, read once by the composition root; secrets come from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from allod import durable
from allod.errors import InvalidInput
from allod.server.layout import ServerDirectory
from allod.wire.codec import Document, decode, encode

_DAY = 86_400
LogsIn = Literal["directory", "sql"]  #: where the fleets' logs are kept


_LONGEST_POLL: Final = 86_400


class SettingsFile(Document, frozen=True, kw_only=True):
    """`settings.json`."""

    type: Literal["allod.server-settings"] = "allod.server-settings"
    format: Literal[1] = 1
    url: str  #: how devices and owners reach the server, without a trailing slash
    address: str = "127.0.0.1"
    port: int = 8443
    tls: bool = True
    logs: LogsIn = "directory"
    poll_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that shapes a running server."""

    directory: Path
    url: str
    address: str = "127.0.0.1"
    port: int = 8443
    tls: bool = True
    logs: LogsIn = "directory"  #: chosen once, with the first fleet
    upload_cap: int = 64 * 1024 * 1024  #: bytes of one change
    body_seconds: float = 30.0  #: how long a body may take, plus one second for every 16 KiB
    bodies_room: int = 256 * 1024 * 1024  #: bytes of all bodies that are being read
    connections: int = 4096  #: requests in work at once
    reports_a_minute: int = 60  #: of one device
    orders_an_hour: int = 60  #: changes of one delegation
    documents_an_hour: int = 30  #: of one channel
    read_token_seconds: int = 24 * 3600
    challenge_seconds: int = 300
    snapshot_hours: int = 7 * 24
    timestamp_hours: int = 36
    heartbeats_kept: int = 16  #: of one device
    wait_seconds: float = 120.0  #: the longest wait for news
    refresh_every_seconds: float = 600.0
    poll_seconds: float = 300.0  #: between two looks at a channel that is copied
    copy_every_seconds: float = 5.0  #: between two looks for channels whose turn it is
    gather_every_seconds: float = 2.0  #: between two rounds of asking witnesses
    rollouts_every_seconds: float = 5.0  #: between two looks whether a stage is to open
    settle_every_seconds: float = 60.0  #: between two looks for what is to be logged late
    threads: int = 8  #: use cases at once
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def layout(self) -> ServerDirectory:
        """The directory's plan."""
        return ServerDirectory(self.directory)


def load_settings(directory: Path) -> Settings:
    """Read `settings.json` of a directory made by `server init`.

    Raises:
        InvalidInput: `no-server`, `bad-settings`, or the file can't be read.
    """
    path = ServerDirectory(directory).settings
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(
            "no-server", f"cannot find a server in {directory}: make one by 'allod server init'"
        ) from error
    file = decode(data, SettingsFile, cap=64 * 1024, what=str(path))
    if not 0 < file.port < 65536:  # noqa: PLR2004 - ports of TCP
        raise InvalidInput("bad-settings", f"cannot use {path}: no port has number {file.port}")
    if not 1 <= file.poll_seconds <= _LONGEST_POLL:
        raise InvalidInput(
            "bad-settings", f"cannot use {path}: pollSeconds is 1 to {_LONGEST_POLL} seconds"
        )
    return Settings(
        directory,
        file.url,
        file.address,
        file.port,
        file.tls,
        file.logs,
        poll_seconds=file.poll_seconds,
    )


def save_settings(settings: Settings) -> None:
    """Write `settings.json`, durably."""
    file = SettingsFile(
        url=settings.url,
        address=settings.address,
        port=settings.port,
        tls=settings.tls,
        logs=settings.logs,
        poll_seconds=settings.poll_seconds,
    )
    durable.write_atomic(settings.layout.settings, encode(file))
