"""Where a witness keeps what it knows.

::

    witness.json                  its name, and where it listens
    key.pem                       its key, mode 0600; in no backup that is put back later
    tls/{certificate,key}.pem     if it is to speak TLS itself
    lock                          held while it serves
    logs/<SHA-256 of origin>/log.json     the log's origin and keys
    logs/<SHA-256 of origin>/latest.json  what it cosigned last
    logs/<SHA-256 of origin>/evidence/…   requests that contradict it

A witness that went back to an older `latest.json` could be made to cosign a fork, so one that is
lost or damaged is an error and never a first visit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from allod import durable
from allod.errors import AllodError, Conflict, InvalidInput, Unavailable
from allod.tlog.checkpoint import CHECKPOINT_CAP, Checkpoint, parse_checkpoint
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind, NoteSigner, VerifierKey, check_name, parse_key
from allod.tlog.witness import origin_hash
from allod.wire.codec import Document, decode, encode

MAX_EVIDENCE: Final = 16  #: requests kept against one log; one is enough
_FILE_CAP: Final = 4 * CHECKPOINT_CAP


class WitnessFile(Document, frozen=True, kw_only=True):
    """`witness.json`."""

    type: Literal["allod.witness"] = "allod.witness"
    format: Literal[1] = 1
    name: str
    address: str = "127.0.0.1"
    port: int = 8448


class LogFile(Document, frozen=True, kw_only=True):
    """`log.json`."""

    type: Literal["allod.witness-log"] = "allod.witness-log"
    format: Literal[1] = 1
    origin: str
    keys: list[str]


class LatestFile(Document, frozen=True, kw_only=True):
    """`latest.json`: the text that was cosigned last, and the note that brought it."""

    type: Literal["allod.witness-latest"] = "allod.witness-latest"
    format: Literal[1] = 1
    text: str
    note: str
    digest: str  #: of both, so that damage shows


@dataclass(frozen=True, slots=True)
class WitnessDirectory:
    """A witness's directory. Whoever reads and then writes a log's state holds its lock."""

    root: Path

    @property
    def settings(self) -> WitnessFile:
        """What `witness init` was told. Raises InvalidInput `no-witness`."""
        try:
            data = (self.root / "witness.json").read_bytes()
        except FileNotFoundError as error:
            raise InvalidInput(
                "no-witness",
                f"cannot find a witness in {self.root}: make one by 'allod witness init'",
            ) from error
        return decode(data, WitnessFile, cap=_FILE_CAP, what="witness.json")

    def create(self, name: str, address: str, port: int) -> VerifierKey:
        """Make the key and the settings; a witness that is there stays what it is.

        Raises:
            Conflict: `witness-exists`: there is one with another name.
            InvalidInput: `bad-key`: the name can be no key's; `bad-settings`.
        """
        check_name(name)
        if not 0 < port < 65536:  # noqa: PLR2004 - ports of TCP
            raise InvalidInput("bad-settings", f"cannot listen on port {port}: there is none")
        if (self.root / "witness.json").exists() and self.settings.name != name:
            raise Conflict(
                "witness-exists",
                f"cannot make a witness in {self.root}: {self.settings.name} lives there",
            )
        durable.make_directory(self.root / "logs")
        if not (self.root / "key.pem").exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            durable.write_atomic(self.root / "key.pem", pem)
        file = WitnessFile(name=name, address=address, port=port)
        durable.write_atomic(self.root / "witness.json", encode(file))
        return self.signer().key

    def signer(self) -> NoteSigner:
        """The key that cosigns. Raises Unavailable `no-witness-key`."""
        try:
            pem = (self.root / "key.pem").read_bytes()
            key = serialization.load_pem_private_key(pem, None)
        except (OSError, ValueError) as error:
            raise _no_key(self.root) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key(self.root)
        public = key.public_key().public_bytes_raw()
        return NoteSigner(VerifierKey(self.settings.name, Kind.COSIGNATURE, public), key.sign)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only process that cosigns. Raises Conflict `in-use`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.root / "lock", flags, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(
                    "in-use", f"cannot use {self.root}: a witness is running on it; stop it first"
                ) from error
            yield
        finally:
            os.close(fd)

    def add_log(self, origin: str, keys: tuple[VerifierKey, ...]) -> None:
        """Know a log, or know it by other keys; what was cosigned of it stays. It may serve.

        Raises:
            InvalidInput: `bad-key`: one of the keys only cosigns.
        """
        check_name(origin)
        if not keys or any(key.kind is not Kind.ED25519 for key in keys):
            raise InvalidInput("bad-key", "cannot know a log by a key that does not sign logs")
        place = self._log(origin)
        durable.make_directory(place / "evidence")
        if not (place / "log.json").exists() and not (place / "latest.json").exists():
            self._write_latest(Checkpoint(origin, 0, EMPTY_ROOT), b"")
        file = LogFile(origin=origin, keys=[str(key) for key in keys])
        durable.write_atomic(place / "log.json", encode(file))

    def logs(self) -> tuple[LogFile, ...]:
        """The logs that it knows, by origin."""
        files = sorted((self.root / "logs").glob("*/log.json"))
        found = [decode(path.read_bytes(), LogFile, cap=_FILE_CAP) for path in files]
        return tuple(sorted(found, key=lambda log: log.origin))

    def keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys of a log; none: it is not known here."""
        try:
            data = (self._log(origin) / "log.json").read_bytes()
        except FileNotFoundError:
            return ()
        file = decode(data, LogFile, cap=_FILE_CAP, what="log.json")
        return tuple(map(parse_key, file.keys)) if file.origin == origin else ()

    def latest(self, origin: str) -> Checkpoint:
        """What was cosigned last of a known log; at first the empty log.

        Raises:
            Unavailable: `witness-damaged`.
        """
        try:
            data = (self._log(origin) / "latest.json").read_bytes()
            file = decode(data, LatestFile, cap=_FILE_CAP, what="latest.json")
            checkpoint = parse_checkpoint(file.text)
        except (OSError, AllodError) as error:
            raise _damaged(origin) from error
        if file.digest != _digest(file.text, file.note) or checkpoint.origin != origin:
            raise _damaged(origin)
        return checkpoint

    def keep(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Make what is to be cosigned durable."""
        self._write_latest(checkpoint, note)

    def keep_evidence(self, origin: str, request: bytes) -> None:
        """Keep a request that contradicts what was cosigned, with what was, if there is room."""
        place = self._log(origin) / "evidence"
        durable.make_directory(place)
        name = sha256(request).hexdigest()
        if (place / name).exists() or len(list(place.glob("*.latest"))) >= MAX_EVIDENCE:
            return
        latest = (self._log(origin) / "latest.json").read_bytes()
        durable.write_atomic(place / f"{name}.latest", latest)
        durable.write_atomic(place / name, request)

    def _log(self, origin: str) -> Path:
        return self.root / "logs" / origin_hash(origin)

    def _write_latest(self, checkpoint: Checkpoint, note: bytes) -> None:
        text = note.decode()
        file = LatestFile(text=checkpoint.text, note=text, digest=_digest(checkpoint.text, text))
        path = self._log(checkpoint.origin) / "latest.json"
        durable.write_atomic(path, msgspec.json.encode(file, order="sorted"))


def _digest(text: str, note: str) -> str:
    return sha256(f"{text}\0{note}".encode()).hexdigest()


def _no_key(root: Path) -> Unavailable:
    return Unavailable(
        "no-witness-key",
        f"cannot read the key of the witness in {root}; make a new witness, and let owners "
        "name its key",
    )


def _damaged(origin: str) -> Unavailable:
    return Unavailable(
        "witness-damaged",
        f"cannot cosign {origin[:200]}: what was cosigned last is lost or damaged; make a new "
        "witness with a key of its own, for an older state could cosign a fork",
    )
