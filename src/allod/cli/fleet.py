"""What this machine knows of a fleet: its keys, its server, and floors of its own.

`$ALLOD_HOME/fleets/<name>/` (default `~/.local/share/allod`) holds

    fleet.json   id, name, server with pins, who the caller is
    keys/        the key store
    anchor/      root.json and trust.json: the newest that were verified here
    floors.json  what the next answer of the server must not go below
    cache/       the files that were verified last
    history/     every root, trust statement and configuration that was seen: a server that lost
                 them gets them back from here (`allod server floors`)

Anchor and floors are durable and never go down, except by a trust statement that names them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.keystore import KeyRecord, KeyStore
from allod.cli.passphrase import Passphrase
from allod.domain.ids import FleetId, parse_fleet, parse_name
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import Conflict, InvalidInput, Unavailable, Untrusted
from allod.wire.codec import Document, decode, encode
from allod.wire.trust import Location

if TYPE_CHECKING:
    from allod.cli.client import ApiClient, ApiKey
    from allod.trust.anchor import Anchor
    from allod.trust.floors import Floors

HOME: Final = "ALLOD_HOME"
FLEET: Final = "ALLOD_FLEET"
_CAP: Final = 4 * 1024 * 1024


class LocalSettings(Document, frozen=True, kw_only=True):
    """`fleet.json` on the owner's machine."""

    type: Literal["allod.local-fleet"] = "allod.local-fleet"
    format: Literal[1] = 1
    fleet: str
    name: str
    person: str = "owner"  #: the caller's name in the fleet's `people`
    profile: Literal["home", "production"] = "home"
    server: Location | None = None
    server_directory: str | None = None  #: of the embedded server, if it lies on this machine


def home_directory() -> Path:
    """Where everything of the owner lies on this machine."""
    given = os.environ.get(HOME)
    return Path(given) if given else Path.home() / ".local" / "share" / "allod"


def fleet_names() -> tuple[str, ...]:
    """The fleets that this machine knows, by name."""
    directory = home_directory() / "fleets"
    if not directory.is_dir():
        return ()
    return tuple(sorted(path.parent.name for path in directory.glob("*/fleet.json")))


def choose_fleet(name: str | None) -> str:
    """The fleet that is meant: `name`, else $ALLOD_FLEET, else the only one.

    Raises:
        InvalidInput: `which-fleet`.
        Unavailable: `no-fleet`.
    """
    known = fleet_names()
    wanted = name or os.environ.get(FLEET)
    if wanted:
        if parse_name(wanted, "a fleet's name") not in known:
            raise Unavailable(
                "no-fleet", f"cannot find the fleet {wanted!r} here; there are: {', '.join(known)}"
            )
        return wanted
    if not known:
        raise Unavailable("no-fleet", "cannot find a fleet on this machine: run 'allod init NAME'")
    if len(known) > 1:
        raise InvalidInput(
            "which-fleet",
            f"cannot tell which fleet you mean: give --fleet with one of {', '.join(known)}",
        )
    return known[0]


@dataclass(slots=True)
class LocalFleet:
    """One fleet on the owner's machine."""

    directory: Path
    settings: LocalSettings
    keys: KeyStore
    _client: ApiClient | None = field(default=None, repr=False)

    @classmethod
    def open(cls, name: str | None = None, *, passphrase: Passphrase | None = None) -> LocalFleet:
        """The fleet `name`, or the one that the environment or the only directory names.

        Raises:
            InvalidInput: `which-fleet`, or its settings are damaged.
            Unavailable: `no-fleet`.
        """
        return cls.at(home_directory() / "fleets" / choose_fleet(name), passphrase=passphrase)

    @classmethod
    def at(cls, directory: Path, *, passphrase: Passphrase | None = None) -> LocalFleet:
        """The fleet in `directory`."""
        settings = _read_settings(directory)
        parse_fleet(settings.fleet)
        return cls(directory, settings, KeyStore(directory / "keys", passphrase or Passphrase()))

    @classmethod
    def create(cls, directory: Path, settings: LocalSettings, keys: KeyStore) -> LocalFleet:
        """Make the fleet's settings file, last: before it, the fleet does not exist here.

        Raises:
            Conflict: `exists`.
        """
        if (directory / "fleet.json").exists():
            raise Conflict("exists", f"cannot make the fleet {settings.name}: it is there already")
        make_directory(directory)
        write_atomic(directory / "fleet.json", encode(settings))
        return cls(directory, settings, keys)

    @property
    def id(self) -> FleetId:
        """The fleet's id."""
        return parse_fleet(self.settings.fleet)

    @property
    def name(self) -> str:
        """The fleet's name on this machine."""
        return self.directory.name

    @property
    def established(self) -> bool:
        """Whether the fleet's settings are written, and not only being made."""
        return (self.directory / "fleet.json").exists()

    @property
    def client(self) -> ApiClient:
        """The way to the fleet's server, signed with this machine's API key.

        Raises:
            Unavailable: `no-server`.
        """
        if self._client is None:
            from allod.cli.client import ApiClient

            if self.settings.server is None:
                raise Unavailable(
                    "no-server",
                    f"cannot reach a server of {self.name}: none is set; run 'allod server use URL'",
                )
            self._client = ApiClient(self.settings.server, self.id, api_key(self.keys))
        return self._client

    def use(self, client: ApiClient) -> None:
        """Speak to the server by another client from now on."""
        self._client = client

    def save_settings(self, settings: LocalSettings) -> None:
        """Replace the settings, durably."""
        write_atomic(self.directory / "fleet.json", encode(settings))
        self.settings = settings
        self._client = None

    def repin(self, location: Location) -> None:
        """The fleet's server has other pins, as a verified trust statement says."""
        client = self._client
        self.save_settings(msgspec.structs.replace(self.settings, server=location))
        if client is not None:
            client.location = location
            client.close()
            self._client = client

    # -- what was verified here ------------------------------------------------------------

    @property
    def anchor(self) -> Anchor:
        """The newest root and trust statement that were verified here.

        Raises:
            Unavailable: `no-anchor`.
        """
        from allod.trust.anchor import Anchor

        try:
            root = (self.directory / "anchor" / "root.json").read_bytes()
        except FileNotFoundError as error:
            raise Unavailable(
                "no-anchor",
                f"cannot verify anything of {self.name}: anchor/root.json is missing; "
                "restore it with 'allod keys restore'",
            ) from error
        return Anchor(fleet=self.id, root=root, trust=self._optional("anchor/trust.json"))

    def save_anchor(self, *, root: bytes, trust: bytes | None) -> None:
        """Keep a newer verified root and trust statement, durably."""
        make_directory(self.directory / "anchor")
        if trust is not None:
            write_atomic(self.directory / "anchor" / "trust.json", trust)
        write_atomic(self.directory / "anchor" / "root.json", root)

    @property
    def floors(self) -> Floors:
        """What the server must not go below.

        Raises:
            Unavailable: `no-floors`; a lost file is an alarm, never a first run.
            InvalidInput: the file is damaged; likewise.
        """
        from allod.trust.floors import decode_floors

        data = self._optional("floors.json")
        if data is None:
            raise Unavailable(
                "no-floors",
                f"cannot tell what was verified of {self.name} before: floors.json is missing; "
                "restore it with 'allod keys restore'",
            )
        floors = decode_floors(data)
        if floors.fleet != self.id:
            raise InvalidInput("bad-floors", "cannot use floors.json: it belongs to another fleet")
        return floors

    def save_floors(self, floors: Floors) -> None:
        """Keep `floors`, durably, before anything is done on their strength.

        Another command may have verified more meanwhile: what it kept does not fall.
        """
        from allod.trust.floors import decode_floors, encode_floors

        with self.alone():
            data = self._optional("floors.json")
            known = None if data is None else decode_floors(data)
            if known is not None and known.fleet == floors.fleet:
                floors = floors.joined(known)
            if floors != known:
                write_atomic(self.directory / "floors.json", encode_floors(floors))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Held while a file of this fleet is read and written by what was read.

        Commands run side by side; nothing is asked and nothing is fetched under it.
        """
        make_directory(self.directory)
        fd = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def cached(self) -> dict[str, bytes]:
        """The files that were verified last, by their address relative to `/f/<fleet>/`."""
        directory = self.directory / "cache"
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def save_cache(self, files: Mapping[str, bytes], *, drop: Iterable[str] = ()) -> None:
        """Add verified files to the cache, and drop some."""
        for path, data in files.items():
            target = self._inside(path)
            make_directory(target.parent)
            if not target.exists() or target.read_bytes() != data:
                write_atomic(target, data)
        for path in drop:
            remove_file(self._inside(path))

    def history(self, kind: str) -> dict[str, bytes]:
        """Files that never change, by name: kind is `roots`, `trust` or `blobs`."""
        directory = self.directory / "history" / kind
        paths = sorted(directory.glob("*")) if directory.is_dir() else []
        return {path.name: path.read_bytes() for path in paths if not path.name.startswith(".")}

    def kept(self, kind: str, name: str) -> bytes | None:
        """One of these files; None: it was not seen here."""
        target = self._inside(name, room=f"history/{kind}")
        return target.read_bytes() if target.is_file() else None

    def save_history(self, kind: str, files: Mapping[str, bytes]) -> None:
        """Keep files that never change."""
        for name, data in files.items():
            target = self._inside(name, room=f"history/{kind}")
            if not target.exists():
                make_directory(target.parent)
                write_atomic(target, data)

    def _inside(self, path: str, *, room: str = "cache") -> Path:
        parts = path.split("/")
        if not all(parts) or any(part.startswith(".") for part in parts):
            raise Untrusted("bad-path", f"cannot keep a file under the name {path[:80]!r}")
        return self.directory.joinpath(room, *parts)

    def _optional(self, name: str) -> bytes | None:
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None


def api_key(keys: KeyStore) -> ApiKey | None:
    """The key that signs requests, if one lies here."""
    held = [r for r in keys.records("api") if r.file is not None and r.state == "current"]
    if not held:
        return None
    return signing_key(keys, held[-1])


def signing_key(keys: KeyStore, record: KeyRecord) -> ApiKey:
    """One API key; its private half is opened at the first request."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from allod.cli.client import ApiKey

    opened: list[Ed25519PrivateKey] = []

    def sign(data: bytes) -> bytes:
        if not opened:
            key = keys.private(record)
            if not isinstance(key, Ed25519PrivateKey):
                raise InvalidInput(
                    "damaged-key", "cannot sign requests: the API key is no Ed25519 key"
                )
            opened.append(key)
        return opened[0].sign(data)

    return ApiKey(record.id, sign)


def _read_settings(directory: Path) -> LocalSettings:
    path = directory / "fleet.json"
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise Unavailable("no-fleet", f"cannot find a fleet in {directory}") from error
    return decode(data, LocalSettings, cap=_CAP, what=f"the fleet's settings {path}")
