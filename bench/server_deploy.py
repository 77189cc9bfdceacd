"""A deployment to a group: what it costs for 10 devices, and for 100,000.

    python bench/server_deploy.py

The devices are bound in a real server (their rows stand in its projection and one of them polls);
the owner signs one document of the group; the server checks and publishes it. Goal: one
signature, less than one second, and the same bytes for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import (
    DeviceId,
    GroupName,
    ProviderName,
    Purl,
    Version,
    group_scope,
    parse_digest,
    sha256,
)
from allod.server.events import Bound
from allod.testing.server import ServerRig, upload_of
from allod.wire.codec import encode

GOAL_SECONDS = 1.0
SCOPE = group_scope(GroupName("kitchen"))
PACKAGE = Purl("pkg:generic/me/toaster")


class CountingSigner:
    """Counts what a key signs."""

    def __init__(self, signer) -> None:
        self.signer, self.count = signer, 0
        self.public_key = signer.public_key

    def sign(self, payload: bytes):
        self.count += 1
        return self.signer.sign(payload)


def deploy(devices: int) -> dict[str, float | int]:
    with tempfile.TemporaryDirectory() as name:
        rig = ServerRig.make(Path(name) / "server")
        now = datetime.now(UTC)
        database = rig.server.stores.database
        for start in range(0, devices, 10_000):
            database.apply(
                *(
                    Bound(
                        rig.fleet,
                        DeviceId(sha256(b"%d" % number).removeprefix("sha256:")),
                        1,
                        "invite-1",
                        ("kitchen",),
                        "{}",
                        now,
                        surplus=False,
                    )
                    for number in range(start, min(devices, start + 10_000))
                )
            )
        order = ReleaseOrder(
            ProviderName("me"), Version("1"), parse_digest(sha256(b"release")), Level.ACTIVE
        )
        entry = PackageEntry(software=Software(releases=(order,)))
        document = StateDocument(rig.fleet, SCOPE, {PACKAGE: entry})
        counter = CountingSigner(rig.simulator.owner.targets[0])
        rig.simulator.owner.targets = [counter]
        begin = time.perf_counter()
        publication = rig.simulator.set_state(document)
        upload = upload_of(publication, rig.base(publication))
        signed = time.perf_counter()
        rig.server.publish(rig.fleet, upload)
        end = time.perf_counter()
        known = rig.server.stores.database.device_count(rig.fleet)
        rig.server.close()
        return {
            "devices": known,
            "signatures": counter.count,
            "bytes": len(encode(upload)),
            "sign": signed - begin,
            "publish": end - signed,
        }


def main() -> int:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    rows = [deploy(10), deploy(100_000)]
    print("| devices | signatures | bytes uploaded | sign s | check and publish s |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['devices']:,} | {row['signatures']} | {row['bytes']:,} "
            f"| {row['sign']:.3f} | {row['publish']:.3f} |"
        )
    small, large = rows
    good = (
        small["signatures"] == large["signatures"] == 1
        and small["bytes"] == large["bytes"]
        and large["sign"] + large["publish"] < GOAL_SECONDS
    )
    print("\ngoal (one signature, < 1 s, the same bytes):", "met" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
