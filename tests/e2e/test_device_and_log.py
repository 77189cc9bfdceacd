"""A device that runs the real agent, under a server with logs and a witness, all as processes."""

from __future__ import annotations

import base64
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Device, Home
from tests.e2e.log_keys import log_key
from tests.e2e.witness_process import WitnessProcess
from tests.e2e.witnessed import served, witnessed_home

from allod.cli.client import ApiClient
from allod.domain.ids import sha256
from allod.testing.log_storage import served_log
from allod.tlog.checkpoint import CHECKPOINT_CAP, vouched
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.tiles import parse_tile_path
from allod.trust.dsse import payload_of
from allod.wire.api import BindingList, ReportList
from allod.wire.codec import decode
from allod.wire.log import ACTIVITY, AUTHORITY, decode_activity, decode_authority
from allod.wire.report import REPORT_CAP, Report

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]
AGE = 20  #: seconds: the greatest age of what witnesses say


@dataclass
class ServedFiles:
    """`LogFiles` as anybody reads them, over HTTP."""

    client: ApiClient
    name: str

    def published(self) -> bytes | None:
        """See the port."""
        return self.client.file(f"log/{self.name}/checkpoint", cap=CHECKPOINT_CAP)

    def read(self, path: str) -> bytes | None:
        """See the port."""
        return self.client.file(f"log/{self.name}/{path}", cap=parse_tile_path(path).cap)


def entries(home: Home, name: str) -> tuple[bytes, ...]:
    """Every entry of a log, verified."""
    fleet = home.fleet()
    key = log_key(home.place / "server", fleet.id, name)
    return served_log(ServedFiles(fleet.client, name), key.name, key)[1]


def said(device: Device) -> dict[str, Any]:
    """What it says of itself."""
    return dict(json.loads(device.run("status", "--json", code=None)))


def refusals(device: Device) -> set[str]:
    """What it refused when it looked last."""
    return {one["code"] for one in said(device)["refusals"]}


def active(device: Device) -> list[str]:
    """The versions that run."""
    [package] = said(device)["packages"]
    return [one["version"] for one in package["releases"] if one["level"] == "active"]


def receipts_hold(home: Home, device: Device) -> None:
    """Authorities against the authority log; binding and reports against the activity log."""
    client = home.fleet().client
    roles = [decode_authority(entry).role for entry in entries(home, AUTHORITY)]
    logged = [decode_activity(entry) for entry in entries(home, ACTIVITY)]
    named = {(type(one).__name__, one.digest) for one in logged}
    [bound] = client.get("bindings", BindingList).bindings
    assert ("BindingEntry", sha256(payload_of(bound.record))) in named
    receipts = 0
    for one in client.get(f"devices/{device.id}/reports", ReportList).reports:
        payload = payload_of(one.report)
        report = decode(payload, Report, cap=REPORT_CAP, what="a report")
        assert (("ReportEntry", sha256(payload)) in named) is (report.kind == "change")
        for change in report.changes:
            authority = change.authority
            if authority is None or authority.log_index is None:
                continue
            role = roles[authority.log_index]
            assert role is not None
            assert (role.role, role.version) == (authority.role, authority.version)
            seen = authority.checkpoint
            assert seen is not None
            assert authority.log_index < seen.size
            under = range_over(map(leaf_hash, entries(home, AUTHORITY)[: seen.size]))
            assert base64.b64decode(seen.root) == under.root()
            receipts += 1
    assert receipts >= 3


def test_a_device_gives_receipts_of_the_log_and_its_reports_are_logged(tmp_path: Path) -> None:
    """Each change in its report names the entry of the role that allowed it, under a checkpoint that
    the log still has; binding and reports that carry changes stand in the activity log.
    """
    witness = WitnessProcess(tmp_path / "witness")
    home = witnessed_home(tmp_path / "home", witness, witness.make())
    try:
        device = home.device("toaster", "kitchen")
        home.do("deploy", "kitchen", home.app("bread", "1.0"), "--yes")
        device.converge()
        assert home.row(device, "bread")["active"] == "1.0"
        receipts_hold(home, device)
    finally:
        witness.stop(signal.SIGKILL)
        home.close()


def test_a_device_runs_on_when_nobody_vouches_any_more(tmp_path: Path) -> None:
    """An idle log stays vouched for; when its witness is gone for longer than the greatest age the
    device runs on and says `stale`; with the witness again all goes on.
    """
    witness = WitnessProcess(tmp_path / "witness")
    cosigner = witness.make()
    home = witnessed_home(tmp_path / "home", witness, cosigner, age=f"{AGE}s")

    def as_of() -> float:
        return float(vouched(served(home), [cosigner]).as_of(1) or 0)

    try:
        device = home.device("toaster", "kitchen")
        home.do("deploy", "kitchen", home.app("bread", "1.0"), "--yes")
        device.converge()
        size, before = served(home).size, as_of()
        time.sleep(AGE + 2)
        device.converge()
        assert (served(home).size, refusals(device)) == (size, set())
        assert as_of() > before
        witness.stop(signal.SIGKILL)
        time.sleep(AGE + 2)
        device.converge()
        assert refusals(device) == {"stale"}
        assert said(device)["trust"]["stale"]
        assert active(device) == ["1.0"]
        witness.start()
        for _ in range(60):
            device.converge()
            if not refusals(device):
                break
            time.sleep(0.5)
        assert refusals(device) == set()
        home.do("deploy", "kitchen", home.app("bread", "2.0"), "--yes")
        device.converge()
        assert active(device) == ["2.0"]
    finally:
        witness.stop(signal.SIGKILL)
        home.close()
