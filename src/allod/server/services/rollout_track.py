"""One rollout as the controller follows it: who is in which stage, and what they said so far.

A report is taken by constant work: one look for the device, one count that changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from allod.domain.ids import DeviceId
from allod.domain.rollout import stage_of
from allod.domain.rollout_course import (
    Halt,
    StageCount,
    Standing,
    Standpoint,
    Track,
    Verdict,
    heard,
    judge,
)
from allod.server.ports import DeviceRow
from allod.server.services.rollout_plans import OpenRollout
from allod.server.services.rollout_words import word_of
from allod.trust.dsse import decode_envelope
from allod.trust.gates import canaries_before
from allod.wire.codec import decode, instant, parse_instant
from allod.wire.envelope import PublicKey
from allod.wire.gate import CanaryReport
from allod.wire.report import Report
from allod.wire.rollout_state import (
    DeviceTrouble,
    RolloutRecord,
    RolloutState,
    StageState,
    State,
)

_PROBLEMS = 100
_KEY_CAP = 16 * 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """A report that was verified and kept."""

    row: DeviceRow
    report: Report
    raw: bytes
    received: datetime
    forked: bool = False


@dataclass(frozen=True, slots=True)
class _Proof:
    """A canary's first and newest report in which it runs well."""

    key: PublicKey
    first: bytes
    last: bytes
    at: datetime  #: of the last, by the device's clock
    received: datetime  #: likewise, by the server's


@dataclass(slots=True)
class Tracked:
    """A rollout under way.

    Args:
        rollout: as the documents say.
        record: pauses and halts.
        counts: of its stages.
        members: digest of what decided who is in it.
    """

    rollout: OpenRollout
    record: RolloutRecord
    counts: tuple[StageCount, ...]
    members: str = ""
    _stages: dict[str, int | None] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    _tracks: dict[str, Track] = field(default_factory=dict)
    _heads: dict[str, tuple[int, int]] = field(default_factory=dict)
    _proofs: dict[str, _Proof] = field(default_factory=dict)
    _failed: dict[str, None] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        rollout: OpenRollout,
        record: RolloutRecord,
        opened: Sequence[datetime | None],
        members: str = "",
    ) -> Tracked:
        """A rollout of which nothing is known but its open stages. Named canaries always count."""
        made = cls(rollout, record, tuple(StageCount(at) for at in opened), members)
        for device in canaries_before(rollout.plan, len(opened)):
            number = stage_of(rollout.plan, device)
            if number is not None:
                made._count(device, number)
        return made

    def go_on(self, old: Tracked) -> None:
        """Keep what was decided of it, durably, while this was being read from files."""
        self.record = old.record
        for count, known in zip(self.counts, old.counts, strict=False):
            count.opened = count.opened or known.opened

    @property
    def open_stages(self) -> int:
        """How many stages are open."""
        return sum(one.opened is not None for one in self.counts)

    @property
    def failed(self) -> int:
        """How many devices failed."""
        return sum(one.failed for one in self.counts)

    def enrol(self, row: DeviceRow) -> int | None:
        """The stage of a device, which is known from now on; None: it is no part of this.

        One that was bound after its stage opened counts once it says something of the rollout.
        """
        if row.device in self._stages:
            return self._stages[row.device]
        number = self._stages[row.device] = self.rollout.stage(row)
        if number is not None:
            opened = self.counts[number].opened
            if opened is None or row.bound is None or row.bound <= opened:
                self._count(row.device, number)
        return number

    def _count(self, device: str, number: int) -> None:
        if device not in self._counted:
            self._counted.add(device)
            self.counts[number].devices += 1

    def take(self, taken: Taken) -> None:
        """Take a report once; those of stages that are not open, and older ones, say nothing."""
        row, report = taken.row, taken.report
        number = self.enrol(row)
        if number is None or (opened := self.counts[number].opened) is None:
            return
        head = (report.epoch, report.sequence)
        if taken.received < opened or head <= self._heads.get(row.device, (0, 0)):
            return
        self._heads[row.device] = head
        word = word_of(self.rollout, report, taken.received)
        before = self._tracks.get(row.device)
        # 38, 40. Whoever speaks with two tongues is not believed that it runs well.
        doubtful = taken.forked or row.quarantined
        after = Track() if doubtful else heard(before, word, self._bake(number))
        if after.standing is not Standing.UNDERWAY:
            self._count(row.device, number)
        if row.device in self._counted:
            self.counts[number].move(before, after)
            self._tracks[row.device] = after
        if after.standing is Standing.FAILED:
            self._failed[row.device] = None
        else:
            self._failed.pop(row.device, None)
        self._prove(taken, before, after)

    def _bake(self, number: int) -> timedelta:
        """For how long a device of the stage has to run well before the next opens."""
        following = self.rollout.plan.stages[number + 1 : number + 2]
        return timedelta(seconds=following[0].bake_seconds if following else 0)

    def _prove(self, taken: Taken, before: Track | None, after: Track) -> None:
        device = taken.row.device
        if not any(device in stage.canaries for stage in self.rollout.plan.stages):
            return
        known = self._proofs.pop(device, None)
        if after.standing is not Standing.SUCCEEDED:
            return
        goes_on = known is not None and before is not None and before.at == after.at
        first = known.first if known is not None and goes_on else taken.raw
        key = decode(taken.row.key.encode(), PublicKey, cap=_KEY_CAP, what="the device's key")
        at = parse_instant(taken.report.at)
        self._proofs[device] = _Proof(key, first, taken.raw, at, taken.received)

    def proofs(self, number: int) -> list[CanaryReport]:
        """What the gate of a stage that needs success carries."""
        found = []
        for device in sorted(canaries_before(self.rollout.plan, number)):
            proof = self._proofs.get(device)
            if proof is not None:
                found += [
                    CanaryReport(key=proof.key, report=decode_envelope(raw))
                    for raw in dict.fromkeys((proof.first, proof.last))
                ]
        return found

    def _lacking(self) -> tuple[DeviceId, ...]:
        """Canaries who have not proved what the next stage needs."""
        number = self.open_stages
        stages = self.rollout.plan.stages
        if not 0 < number < len(stages):
            return ()
        bake = timedelta(seconds=stages[number].bake_seconds)
        return tuple(
            device
            for device in sorted(canaries_before(self.rollout.plan, number))
            if not self._ran(device, bake)
        )

    def _ran(self, device: str, bake: timedelta) -> bool:
        track, proof = self._tracks.get(device), self._proofs.get(device)
        if track is None or proof is None or track.standing is not Standing.SUCCEEDED:
            return False
        if track.at is None or track.since is None:
            return False
        return proof.at - track.at >= bake and proof.received - track.since >= bake

    def judge(self, now: datetime) -> Verdict:
        """What follows for the next stage."""
        if self.rollout.clash:
            return Halt("clash", self.rollout.clash)
        record = self.record
        here = Standpoint(
            now,
            self._lacking(),
            None if record.resumed is None else parse_instant(record.resumed),
            record.forgiven,
        )
        return judge(self.rollout.plan, self.counts, here)

    def state(self, word: State, why: str, until: datetime | None) -> RolloutState:
        """As the API tells it."""
        rollout, record = self.rollout, self.record
        stop = record.paused or record.halted
        active = None if rollout.software is None else rollout.software.active
        return RolloutState(
            id=rollout.id,
            author=rollout.author,
            scopes=sorted(map(str, rollout.scopes)),
            package=rollout.package,
            version="" if active is None else active.version,
            digest=rollout.digest,
            state=word,
            why=why if stop is None else stop.says,
            since="" if stop is None else stop.at,
            by="" if stop is None else stop.by,
            until=None if until is None else instant(until),
            stages=[
                StageState(
                    at=instant(stage.at),
                    percent=stage.percent,
                    canaries=sorted(stage.canaries),
                    needs=stage.needs,
                    opened=None if count.opened is None else instant(count.opened),
                    devices=count.devices,
                    succeeded=count.succeeded,
                    failed=count.failed,
                )
                for stage, count in zip(rollout.plan.stages, self.counts, strict=True)
            ],
            problems=[
                DeviceTrouble(
                    device=device, stage=self._stages[device] or 0, why=self._tracks[device].why
                )
                for device in list(self._failed)[:_PROBLEMS]
            ],
        )
