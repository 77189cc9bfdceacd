"""What a rollout costs the controller: each report the same, however many devices there are.

    python bench/rollout.py [--devices 100000]

A plan of a canary, 5, 25 and 100 %. Every device reports once in its stage: one in a thousand failed, the
others run what comes after. The time is the controller's own work on a report that was verified and
kept, and on a look whether a stage is to open; signatures, disk and database, which every report
costs without a rollout too, are left out. Goal: the work per report does not grow with the fleet.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import DeviceId, ProviderName, Purl, Version, group_scope, parse_group, sha256
from allod.domain.rollout import Needs, Rollout, Stage
from allod.domain.rollout_course import Done, Open
from allod.server.keys import public_key
from allod.server.ports import DeviceRow
from allod.server.services.rollout_plans import OpenRollout
from allod.server.services.rollout_track import Taken, Tracked
from allod.testing.repository import key_from
from allod.trust.dsse import sign_envelope
from allod.wire.codec import encode, instant
from allod.wire.envelope import REPORT
from allod.wire.report import (
    Boot,
    ConfigurationOnDevice,
    PackageReport,
    ReleaseOnDevice,
    Report,
    TrustState,
)
from allod.wire.rollout_state import RolloutRecord

PACKAGE = Purl("pkg:generic/acme/toaster")
OLD, NEW = sha256(b"1"), sha256(b"2")
KITCHEN = parse_group("kitchen")
START = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = (1_000, 10_000, 100_000)
GROWTH = 3.0  #: how much more a report may cost in the largest fleet than in the smallest
KEY = key_from("device")
KEY_JSON = encode(public_key(KEY)).decode()


def order(digest: str, version: str) -> ReleaseOrder:
    """An active release."""
    return ReleaseOrder(ProviderName("acme"), Version(version), digest, Level.ACTIVE)  # type: ignore[arg-type]


def plan(canary: DeviceId) -> OpenRollout:
    """One canary, then 5, 25 and 100 %, an hour apart."""
    percents = (0.0, 5.0, 25.0, 100.0)
    stages = tuple(
        Stage(
            START + number * timedelta(hours=1),
            percent,
            frozenset({canary}) if number == 0 else frozenset(),
            needs=Needs.SUCCESS if number else Needs.TIME,
            max_failed=2,
            max_silent=10,
        )
        for number, percent in enumerate(percents)
    )
    rollout = Rollout("bench", stages, before=Software(releases=(order(OLD, "1"),)))
    after = PackageEntry(software=Software(releases=(order(NEW, "2"),)), rollout=rollout)
    scope = group_scope(KITCHEN)
    return OpenRollout("owner", PACKAGE, rollout, after, {scope: "owner"}, (scope,))


def rows(count: int) -> Iterator[DeviceRow]:
    """That many devices of the group."""
    for number in range(count):
        device = DeviceId(hashlib.sha256(str(number).encode()).hexdigest())
        yield DeviceRow(device, 1, "i", KEY_JSON, (KITCHEN,), False, {}, "", bound=START)


def report(row: DeviceRow, at: datetime, *, failed: bool) -> Report:
    """What a device says once its stage has come; twelve other packages stand beside."""
    runs = OLD if failed else NEW
    packages = [
        PackageReport(
            package=str(PACKAGE) if number == 6 else f"pkg:generic/acme/other-{number}",
            state="active",
            releases=[ReleaseOnDevice(provider="acme", version="2", digest=runs, level="active")],
            configuration=ConfigurationOnDevice(digest=None),
            failed=[NEW] if failed else [],
            healthy=True,
        )
        for number in range(13)
    ]
    return Report(
        fleet="f" * 64,
        device=row.device,
        epoch=1,
        sequence=1,
        previous=None,
        kind="change",
        at=instant(at),
        agent="1",
        boot=Boot(id="b", count=1),
        uptime=1,
        facts={},
        trust=TrustState(root=1, trust=1, roles={}, time=instant(at)),
        packages=packages,
        journey=OLD,
    )


@dataclass
class Measured:
    """Seconds of one rollout."""

    devices: int
    reading: float  #: finding the stage of every device, once
    report: float  #: the median of one report
    slowest: float  #: of a hundred reports, the slowest but one
    look: float  #: one look whether a stage is to open, the slowest
    failed: int


def measure(count: int) -> Measured:
    """Run a rollout over so many devices, to its end."""
    devices = list(rows(count))
    open_rollout = plan(devices[0].device)
    tracked = Tracked.begin(open_rollout, RolloutRecord(), [None] * 4)
    begun = time.perf_counter()
    stages: list[list[DeviceRow]] = [[] for _ in range(4)]
    for row in devices:
        number = tracked.enrol(row)
        if number is not None:
            stages[number].append(row)
    reading = time.perf_counter() - begun
    now, spent, looks = START, [], []
    for number, members in enumerate(stages):
        now = START + number * timedelta(hours=1)
        verdict = tracked.judge(now)
        if verdict != Open(number):
            raise RuntimeError(f"stage {number} does not open: {verdict}")
        tracked.counts[number].opened = now
        for place, row in enumerate(members):
            said = report(row, now, failed=place % 1000 == 999)
            raw = sign_envelope(encode(said), REPORT, [KEY]) if number == 0 else b""
            taken = Taken(replace(row, sequence=1), said, raw, now + timedelta(minutes=1))
            start = time.perf_counter()
            tracked.take(taken)
            spent.append(time.perf_counter() - start)
        start = time.perf_counter()
        last = tracked.judge(now + timedelta(minutes=2))
        looks.append(time.perf_counter() - start)
    if last != Done():
        raise RuntimeError(f"the rollout does not end: {last}")
    spent.sort()
    middle, slow = spent[len(spent) // 2], spent[len(spent) * 99 // 100]
    return Measured(count, reading, middle, slow, max(looks), tracked.failed)


def main() -> int:
    """Print the table; whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=SIZES[-1], help="the largest fleet")
    largest = parser.parse_args().devices
    measure(100)  # what is loaded at first use is no part of it
    found = [measure(count) for count in (*(s for s in SIZES if s < largest), largest)]
    print("| devices | µs a report (median) | 99 of 100 below | µs a look | s to begin | failed |")
    print("|---|---|---|---|---|---|")
    for one in found:
        print(
            f"| {one.devices:,} | {one.report * 1e6:.1f} | {one.slowest * 1e6:.1f} "
            f"| {one.look * 1e6:.1f} | {one.reading:.2f} | {one.failed} |"
        )
    met = found[-1].report <= found[0].report * GROWTH
    print(f"goal: a report costs the same in every fleet: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
