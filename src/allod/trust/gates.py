"""Gates of rollouts: whether a stage is open (docs/spec/rollout.md).

The gate key is online. It can hold a stage back, and open one no earlier than the plan says that
the owner signed; a stage that needs success it cannot open without the canaries' own word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from securesystemslib.signer import Signer

from allod.domain.desired import PackageEntry
from allod.domain.ids import DeviceId, FleetId
from allod.domain.rollout import Needs, Rollout, stage_of
from allod.errors import AllodError, Untrusted
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope, verify, verify_envelope
from allod.trust.keys import device_id, to_key
from allod.trust.verified import Verified, seal
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.envelope import GATE, REPORT
from allod.wire.gate import GATE_CAP, CanaryReport, Gate
from allod.wire.report import REPORT_CAP, PackageReport, Report
from allod.wire.trust import FleetDocument

ENVELOPE_CAP: Final = GATE_CAP * 4 // 3 + 4096
_MOST_REPORTS: Final = 1_024


def open_gate(
    raw: bytes,
    fleet: FleetDocument,
    rollout: str,
    stage: int,
    wanted: Iterable[tuple[str, PackageEntry]],
    *,
    signed: bool = False,
) -> Verified[Gate]:
    """Check that a gate opens a stage of every entry that is part of the rollout.

    A stage that needs success demands, of each canary that the stages before it name, reports that
    show the new release (or configuration) in force and not unhealthy, for as long as the stage
    says: from the first of them, or the change in it, to the last.

    Args:
        raw: the envelope.
        fleet: the owner's document that names the gate key.
        rollout: whose gate it is to be.
        stage: which one.
        wanted: package and entry of all that this rollout is about.
        signed: its signature was good before, on this very device; then the key may have changed.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `no-gate-key`, `auth`, `wrong-type`, `wrong-fleet`, `wrong-gate`,
            `canary-unproved`.
    """
    what = f"the gate {stage} of {rollout}"
    gate, by = _read(raw, fleet, what, signed=signed)
    if gate.fleet != fleet.fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is signed for another fleet")
    if (gate.rollout, gate.stage) != (rollout, stage):
        raise Untrusted("wrong-gate", f"cannot accept {what}: it is signed as another one")
    parse_instant(gate.at)
    seen: dict[DeviceId, list[Report]] | None = None
    for package, entry in wanted:
        plan = entry.rollout
        if plan is None or plan.id != rollout or not 0 <= stage < len(plan.stages):
            raise Untrusted("wrong-gate", f"cannot accept {what}: the plan of {package} has none")
        if plan.stages[stage].needs is Needs.SUCCESS:
            if seen is None:
                seen = _reports(gate, fleet, what)
            _check_canaries(seen, plan, stage, package, entry, what)
    return seal(gate, by)


def _read(
    raw: bytes, fleet: FleetDocument, what: str, *, signed: bool
) -> tuple[Gate, frozenset[str]]:
    if signed:
        return _decode(raw, what), frozenset()
    if fleet.gate_key is None:
        raise Untrusted("no-gate-key", f"cannot accept {what}: the owner named no gate key")
    keys = [to_key(fleet.gate_key)]
    verified = verify_envelope(raw, GATE, keys, 1, ENVELOPE_CAP, what=what)
    return decode(verified.value, Gate, cap=GATE_CAP, what=what), verified.by


def _decode(raw: bytes, what: str) -> Gate:
    payload = payload_of(decode_envelope(raw, cap=ENVELOPE_CAP, what=what))
    return decode(payload, Gate, cap=GATE_CAP, what=what)


def canaries_before(plan: Rollout, stage: int) -> frozenset[DeviceId]:
    """The canaries whose success the stage may need: all that earlier stages name."""
    return frozenset(device for one in plan.stages[:stage] for device in one.canaries)


def _reports(gate: Gate, fleet: FleetDocument, what: str) -> dict[DeviceId, list[Report]]:
    """Device -> its reports in the gate that are signed by the key that its id is made of."""
    if len(gate.reports) > _MOST_REPORTS:
        raise Untrusted("canary-unproved", f"cannot accept {what}: it carries too many reports")
    found: dict[DeviceId, list[Report]] = {}
    for one in gate.reports:
        try:
            device = device_id(one.key)
            verified = verify(one.report, REPORT, [to_key(one.key)], 1, what="a canary's report")
            report = decode(verified.value, Report, cap=REPORT_CAP, what="a canary's report")
        except AllodError:
            continue  # one that cannot be read proves nothing
        if report.fleet == fleet.fleet and report.device == device:
            found.setdefault(device, []).append(report)
    return found


def _check_canaries(
    reports: dict[DeviceId, list[Report]],
    plan: Rollout,
    stage: int,
    package: str,
    entry: PackageEntry,
    what: str,
) -> None:
    bake = timedelta(seconds=plan.stages[stage].bake_seconds)
    canaries = canaries_before(plan, stage)
    if not canaries:
        raise Untrusted(
            "canary-unproved", f"cannot accept {what}: it needs success, and no canary is named"
        )
    for canary in sorted(canaries):
        number = stage_of(plan, canary)
        begun = datetime.max.replace(tzinfo=UTC) if number is None else plan.stages[number].at
        if not _ran_for(reports.get(canary, []), package, entry, bake, begun):
            raise Untrusted(
                "canary-unproved",
                f"cannot accept {what}: no report shows that {package} has run well on"
                f" {canary[:12]} for {int(bake.total_seconds())} seconds",
                device=canary,
            )


def _ran_for(
    reports: list[Report], package: str, entry: PackageEntry, bake: timedelta, begun: datetime
) -> bool:
    """Whether the reports show what is wanted in force for so long, to their end.

    What was reported before the rollout came to the device (`begun`) is no word about it: the same
    release may have run there once.
    """
    spans: list[tuple[datetime, datetime]] = []
    for report in sorted(reports, key=lambda one: (one.epoch, one.sequence)):
        if parse_instant(report.at) < begun:
            continue
        span = _runs_since(report, package, entry)
        # It went back, or was ill: what was before counts for nothing.
        spans = [] if span is None else [*spans, span]
    return bool(spans) and spans[-1][1] - max(spans[0][0], begun) >= bake


def _runs_since(
    report: Report, package: str, entry: PackageEntry
) -> tuple[datetime, datetime] | None:
    """Since when, and until when, this report shows what is wanted; None: it does not."""
    found = next((one for one in report.packages if one.package == package), None)
    if found is None or found.healthy is False or not _in_force(found, entry):
        return None
    at = parse_instant(report.at)
    order = entry.configuration
    after = {_release(entry), None if order is None else order.digest} - {None}
    changed = [
        parse_instant(change.at)
        for change in report.changes
        if change.package == package and change.outcome == "done" and change.after in after
    ]
    return min(max(changed, default=at), at), at


def _release(entry: PackageEntry) -> str | None:
    active = None if entry.software is None else entry.software.active
    return None if active is None else active.digest


def _in_force(found: PackageReport, entry: PackageEntry) -> bool:
    """Whether the package has what the entry wants after the rollout."""
    wanted = _release(entry)
    active = next((one.digest for one in found.releases if one.level == "active"), None)
    # A rollout of the configuration alone says nothing of releases; somebody else may decide there.
    alone = entry.rollout is not None and entry.rollout.before is None
    if entry.software is not None and not alone and active != wanted:
        return False
    order = entry.configuration
    if order is None or order.digest is None:
        return True
    return found.configuration.digest == order.digest


def make_gate(
    fleet: FleetId,
    rollout: str,
    stage: int,
    at: datetime,
    signers: Sequence[Signer],
    reports: Sequence[CanaryReport] = (),
) -> bytes:
    """Open a stage. For a bake time the canaries' first and last good reports go along."""
    gate = Gate(fleet=fleet, rollout=rollout, stage=stage, at=instant(at), reports=list(reports))
    return sign_envelope(encode(gate), GATE, signers)
