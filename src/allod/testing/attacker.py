"""Whoever took over the server: every online key, every old file, and no key of the owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, T, Timestamp

from allod.testing.repository import RepositorySimulator
from allod.trust.metadata import read
from allod.trust.online import SNAPSHOT_LIFE, TIMESTAMP_LIFE


@dataclass(slots=True)
class OnlineAttacker:
    """Makes what the online keys can make, out of what the owner ever signed."""

    target: RepositorySimulator

    def listed(self) -> dict[str, MetaFile]:
        """What the snapshot that is out lists."""
        return dict(read(self.target.roles["snapshot"], "snapshot").signed.meta)

    def show(
        self,
        roles: Mapping[str, bytes | None],
        *,
        versions: Mapping[str, int] | None = None,
        snapshot_version: int | None = None,
        timestamp_version: int | None = None,
    ) -> None:
        """Serve these files as these roles, under a snapshot and timestamp that vouch for them.

        Args:
            roles: role -> file; None takes the role out of the snapshot.
            versions: what the snapshot says instead of the files' own versions.
            snapshot_version: instead of the next.
            timestamp_version: instead of the next.
        """
        listed = self.listed()
        for role, data in roles.items():
            if data is None:
                listed.pop(f"{role}.json", None)
                continue
            version = (versions or {}).get(role) or Metadata.from_bytes(data).signed.version
            listed[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])
            self.target.files[f"tuf/{version}.{role}.json"] = data
        now = self.target.now
        old = read(self.target.roles["snapshot"], "snapshot").signed.version
        snapshot = Snapshot(
            version=snapshot_version or old + 1, expires=now + SNAPSHOT_LIFE, meta=listed
        )
        data = self.sign(snapshot, self.target.owner.snapshot)
        self.target.files[f"tuf/{snapshot.version}.snapshot.json"] = data
        self.target.roles["snapshot"] = data
        self.stamp(data, timestamp_version)

    def stamp(self, snapshot: bytes, version: int | None = None) -> None:
        """A timestamp over this snapshot."""
        old = read(self.target.files["tuf/timestamp.json"], "timestamp").signed.version
        number = read(snapshot, "snapshot").signed.version
        timestamp = Timestamp(
            version=version or old + 1,
            expires=self.target.now + TIMESTAMP_LIFE,
            snapshot_meta=MetaFile.from_data(number, snapshot, ["sha256"]),
        )
        self.target.files["tuf/timestamp.json"] = self.sign(timestamp, self.target.owner.timestamp)

    @staticmethod
    def sign(signed: T, *signers: Signer) -> bytes:
        """Any metadata under any keys that the attacker has."""
        metadata: Metadata[T] = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()
