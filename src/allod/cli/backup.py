"""Backups of the owner's keys: one file, private keys sealed by the same passphrase as at home.

What stands in the clear is public anyway (key ids, the fleet's root). A restored store never
takes back a floor that is here already.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from allod.cli.fleet import LocalFleet, LocalSettings
from allod.cli.keystore import INDEX_CAP, KeyIndex, KeyRecord, KeyStore
from allod.cli.passphrase import Passphrase
from allod.domain.ids import sha256
from allod.durable import make_directory, write_atomic
from allod.errors import Conflict, InvalidInput
from allod.wire.codec import Document, decode, encode, instant

BACKUP_CAP: Final = 32 * 1024 * 1024


class KeyBackup(Document, frozen=True, kw_only=True):
    """The backup's file; `bytes` are base64."""

    type: Literal["allod.key-backup"] = "allod.key-backup"
    format: Literal[1] = 1
    at: str
    settings: LocalSettings
    keys: tuple[KeyRecord, ...]
    files: dict[str, bytes]  #: sealed private keys by name
    root: bytes
    trust: bytes | None
    floors: bytes


def write_backup(fleet: LocalFleet, path: Path, *, now: datetime) -> KeyBackup:
    """Write a backup of all keys of `fleet`, after each was opened once.

    Raises:
        Conflict: `exists`, the file is there.
        InvalidInput: `damaged-key`: a key could not be opened, so the backup would be worthless.
    """
    if path.exists():
        raise Conflict("exists", f"cannot write the backup: {path} is there already")
    records = fleet.keys.records()
    files: dict[str, bytes] = {}
    for record in records:
        if record.file is not None:
            fleet.keys.private(record)
            files[record.file] = (fleet.keys.directory / record.file).read_bytes()
    anchor = fleet.anchor
    backup = KeyBackup(
        at=instant(now),
        settings=fleet.settings,
        keys=records,
        files=files,
        root=anchor.root,
        trust=anchor.trust,
        floors=(fleet.directory / "floors.json").read_bytes(),
    )
    make_directory(path.absolute().parent)
    write_atomic(path.absolute(), encode(backup))
    return backup


def read_backup(path: Path) -> KeyBackup:
    """Read a backup; every sealed file must be whole.

    Raises:
        InvalidInput: `no-backup`, `damaged-backup`, `bad-document`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("no-backup", f"cannot read {path}: {error.strerror}") from error
    backup = decode(data, KeyBackup, cap=BACKUP_CAP, what=f"the backup {path}")
    for record in backup.keys:
        if record.file is None:
            continue
        sealed = backup.files.get(record.file)
        if sealed is None or sha256(sealed) != record.digest or "/" in record.file:
            raise InvalidInput(
                "damaged-backup", f"cannot use {path}: the {record.role} key in it is damaged"
            )
    return backup


def restore_backup(backup: KeyBackup, directory: Path, passphrase: Passphrase) -> LocalFleet:
    """Bring keys back into `directory`: missing and damaged ones; what is sound stays.

    Raises:
        Conflict: `other-fleet`, the directory belongs to another fleet.
        Refused: `wrong-passphrase`, checked before anything is written.
    """
    _check_passphrase(backup, passphrase)
    keys = KeyStore(directory / "keys", passphrase)
    make_directory(keys.directory)
    present: tuple[KeyRecord, ...] = ()
    if (keys.directory / "index.json").exists():
        present = _sound_index(keys)
    exists = (directory / "fleet.json").exists()
    if exists and LocalFleet.at(directory).id != backup.settings.fleet:
        raise Conflict("other-fleet", f"cannot restore into {directory}: it is another fleet's")
    for name, sealed in backup.files.items():
        target = keys.directory / name
        if not target.exists() or target.read_bytes() != sealed:
            write_atomic(target, sealed)
    states = {record.id: record.state for record in present}
    saved = {
        record.id: msgspec.structs.replace(record, state=states.get(record.id, record.state))
        for record in backup.keys
    }
    newer = [record for record in present if record.id not in saved]
    write_atomic(keys.directory / "index.json", encode(KeyIndex(keys=(*saved.values(), *newer))))
    if exists:
        fleet = LocalFleet.at(directory, passphrase=passphrase)
    else:
        fleet = LocalFleet(directory, backup.settings, keys)
    if not (directory / "floors.json").exists():
        write_atomic(directory / "floors.json", backup.floors)
    if not (directory / "anchor" / "root.json").exists():
        fleet.save_anchor(root=backup.root, trust=backup.trust)
    return fleet if exists else LocalFleet.create(directory, backup.settings, keys)


def _check_passphrase(backup: KeyBackup, passphrase: Passphrase) -> None:
    from allod.cli.pkcs8 import decrypt

    for sealed in list(backup.files.values())[:1]:
        decrypt(sealed, passphrase.read(), what="the backup")


def _sound_index(keys: KeyStore) -> tuple[KeyRecord, ...]:
    """The records that are here; a damaged index is replaced by the backup's."""
    data = (keys.directory / "index.json").read_bytes()
    try:
        return decode(data, KeyIndex, cap=INDEX_CAP, what="the key index").keys
    except InvalidInput:
        return ()
