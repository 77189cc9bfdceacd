"""What the server's online keys sign: what is newest, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from allod.errors import InvalidInput
from allod.trust.metadata import SNAPSHOT, TIMESTAMP, read

SNAPSHOT_LIFE: Final = timedelta(days=7)
TIMESTAMP_LIFE: Final = timedelta(days=1, hours=12)
_HASHES: Final = ["sha256"]


def snapshot_of(
    previous: bytes | None,
    changed: Mapping[str, bytes],
    signers: Sequence[Signer],
    now: datetime,
    *,
    life: timedelta = SNAPSHOT_LIFE,
    above: int = 0,
) -> bytes:
    """The next snapshot: all roles of the previous one, and those that changed.

    Args:
        previous: the snapshot so far; None: the first.
        changed: role -> targets-type metadata file. A role never leaves a snapshot.
        signers: of `snapshot`.
        now: the server's time.
        life: how long it holds.
        above: a floor that devices may have seen (after a restore): the version goes beyond it.

    Raises:
        InvalidInput: a file is no metadata, or older than the one it replaces (`older-role`).
    """
    meta: dict[str, MetaFile] = {}
    version = 0
    if previous is not None:
        signed = read(previous, SNAPSHOT).signed
        meta, version = dict(signed.meta), signed.version
    for role, data in changed.items():
        number = read(data, role).signed.version
        known = meta.get(f"{role}.json")
        if known is not None and number < known.version:
            raise InvalidInput(
                "older-role", f"cannot publish {role} version {number}: {known.version} is out"
            )
        meta[f"{role}.json"] = MetaFile.from_data(number, data, _HASHES)
    snapshot = Snapshot(
        version=max(version, above) + 1,
        expires=_expires(now, life),
        meta=dict(sorted(meta.items())),
    )
    return _signed(Metadata(snapshot), signers)


def timestamp_of(
    previous: bytes | None,
    snapshot: bytes,
    signers: Sequence[Signer],
    now: datetime,
    *,
    life: timedelta = TIMESTAMP_LIFE,
    above: int = 0,
) -> bytes:
    """The next timestamp, over `snapshot`.

    Args:
        previous: the timestamp so far; None: the first.
        snapshot: the snapshot file that is to be the newest.
        signers: of `timestamp`.
        now: the server's time.
        life: how long it holds.
        above: as in `snapshot_of`.

    Raises:
        InvalidInput: a file is no metadata.
    """
    version = 0 if previous is None else read(previous, TIMESTAMP).signed.version
    timestamp = Timestamp(
        version=max(version, above) + 1,
        expires=_expires(now, life),
        snapshot_meta=MetaFile.from_data(
            read(snapshot, SNAPSHOT).signed.version, snapshot, _HASHES
        ),
    )
    return _signed(Metadata(timestamp), signers)


def _expires(now: datetime, life: timedelta) -> datetime:
    return (now.astimezone(UTC) + life).replace(microsecond=0)


def _signed(metadata: Metadata[Snapshot] | Metadata[Timestamp], signers: Sequence[Signer]) -> bytes:
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()
