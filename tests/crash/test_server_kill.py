"""`allod serve` is killed under load, again and again: what it acknowledged is there."""

from __future__ import annotations

import base64
import http.client
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.server_process import Served

from allod.domain.desired import StateDocument
from allod.domain.ids import GroupName, group_scope, sha256
from allod.server.settings import LogsIn
from allod.testing.client import SimulatedClient
from allod.testing.log_storage import served_log
from allod.testing.server import SimulatedDevice, signed_headers, upload_of
from allod.testing.server_logs import entries_of, logged, named
from allod.tlog.note import parse_key
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.effects import drive
from allod.trust.repository import descend
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode
from allod.wire.log import ACTIVITY, AUTHORITY, decode_activity, decode_authority

DEVICES = 4
REPORTS_A_ROUND = 50  # under a device's share of a minute


@dataclass
class Load:
    """Devices that report, an owner who publishes and a provider who pushes, all at once."""

    server: Served
    devices: list[SimulatedDevice]
    versions: dict[str, int]
    reports: dict[tuple[str, int], bytes] = field(default_factory=dict)  #: acknowledged
    changes: dict[str, int] = field(default_factory=dict)  #: digest of the file -> news
    blobs: dict[str, bytes] = field(default_factory=dict)
    unsent: dict[str, bytes] = field(default_factory=dict)
    resend: bytes | None = None  #: an upload without an answer
    stopped: threading.Event = field(default_factory=threading.Event)
    faults: list[str] = field(default_factory=list)
    number: int = 0

    def signed(self, method: str, path: str, body: bytes = b"", query: str = "") -> dict[str, str]:
        key = self.server.rig.simulator.owner.person
        return signed_headers(key, method, path, body, query=query, created=int(time.time()))

    def run(self) -> list[threading.Thread]:
        self.stopped.clear()
        acts: list[Callable[[], None]] = [self.publish, self.push]
        acts += [lambda device=device: self.report(device) for device in self.devices]  # type: ignore[misc]
        threads = [threading.Thread(target=self.until_cut, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        return threads

    def until_cut(self, act: Callable[[], None]) -> None:
        """Go on until the connection breaks: that is the kill."""
        for _ in range(REPORTS_A_ROUND):
            if self.stopped.is_set():
                return
            try:
                act()
            except (OSError, http.client.HTTPException):
                return

    def ask(self, method: str, path: str, body: bytes, query: str = "", **headers: str) -> dict:
        target = f"{path}?{query}" if query else path
        status, answer = self.server.ask(method, target, body, headers)
        if status not in {200, 201}:
            self.faults.append(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer) if answer else {}

    def report(self, device: SimulatedDevice) -> None:
        # Without an answer the device sends this very report again after the restart.
        body = self.unsent.get(device.id) or device.report()
        self.unsent[device.id] = body
        path = f"/f/{self.server.rig.fleet}/devices/{device.id}/reports"
        receipt = self.ask("POST", path, body)
        del self.unsent[device.id]
        self.reports[device.id, receipt["sequence"]] = body

    def publish(self) -> None:
        path = f"/api/v1/fleets/{self.server.rig.fleet}/changes"
        body, simulator = self.resend, self.server.rig.simulator
        if body is None:
            self.number += 1
            scope = group_scope(GroupName(f"group{self.number % 5}"))
            document = StateDocument(self.server.rig.fleet, scope, {}, hold=str(self.number))
            publication = simulator.set_state(document)
            roles = {name.split(".", 1)[1].removesuffix(".json") for name in publication.metadata}
            base = {role: self.versions[role] for role in roles if role in self.versions}
            upload = upload_of(publication, base)
            entries = entries_of(self.server.rig, upload.metadata, {})
            body = encode(
                ChangeUpload(
                    base=base, metadata=upload.metadata, targets=upload.targets, entries=entries
                )
            )
        self.resend = body
        receipt = self.ask("POST", path, body, **self.signed("POST", path, body))
        self.resend = None
        self.versions = receipt["versions"]
        for data in json.loads(body)["targets"].values():
            self.changes[sha256(base64.b64decode(data))] = receipt["news"]

    def push(self) -> None:
        data = random.randbytes(200_000)
        path = f"/v2/{self.server.rig.fleet}/me/toaster/blobs/uploads/"
        query = f"digest={sha256(data)}"
        self.ask("POST", path, data, query, **self.signed("POST", path, data, query))
        self.blobs[sha256(data)] = data


@dataclass
class ServedFiles:
    """`LogFiles`, as the owner's program reads them."""

    load: Load
    name: str

    def published(self) -> bytes | None:
        """See the port."""
        return self.read("checkpoint")

    def read(self, path: str) -> bytes | None:
        """See the port."""
        address = f"/f/{self.load.server.rig.fleet}/log/{self.name}/{path}"
        status, body = self.load.server.ask(
            "GET", address, headers=self.load.signed("GET", address)
        )
        assert status in {200, 404}
        return body if status == 200 else None


def check_logs(load: Load) -> None:
    """Both logs are whole; what was acknowledged is in them, and nothing twice."""
    entries = {}
    for log in named(load.server.rig):
        _, found = served_log(ServedFiles(load, log.name), log.origin, parse_key(log.key))
        assert len(set(found)) == len(found)
        entries[log.name] = found
    reported = {getattr(decode_activity(entry), "digest", None) for entry in entries[ACTIVITY]}
    for body in load.reports.values():
        assert sha256(payload_of(decode_envelope(body, what="a report"))) in reported
    roles = [decode_authority(entry).role for entry in entries[AUTHORITY]]
    versions = {role.version for role in roles if role is not None and role.role == "targets"}
    assert load.versions["targets"] in versions


def check(load: Load) -> None:
    """Everything acknowledged is there, byte for byte, over HTTP and in the files."""
    rig = load.server.rig
    api = f"/api/v1/fleets/{rig.fleet}"
    for device in load.devices:
        path, query = f"{api}/devices/{device.id}/reports", "limit=1000"
        answer = load.ask("GET", path, b"", query, **load.signed("GET", path, query=query))
        found = {entry["sequence"]: entry for entry in answer["reports"]}
        assert not any(entry["forked"] for entry in found.values())
        for (owner, sequence), body in load.reports.items():
            if owner == device.id:
                assert found[sequence]["report"] == json.loads(body)
    for digest, data in load.blobs.items():
        path = f"/v2/{rig.fleet}/me/toaster/blobs/{digest}"
        status, body = load.server.ask("GET", path, headers=load.signed("GET", path))
        assert (status, body) == (200, data)
    check_logs(load)
    directory = rig.settings.layout.fleet(rig.fleet)

    def get(path: str, cap: int) -> bytes | None:
        if path.startswith("log/"):
            _, name, rest = path.split("/", 2)
            return ServedFiles(load, name).read(rest)
        file = directory.served(path)
        return file.read_bytes() if file is not None and file.is_file() else None

    client = SimulatedClient(rig.simulator)
    now = rig.clock.moment
    repository = drive(descend(client.anchor, client.floors, {}, now), get, lambda _: None)
    drive(repository.load_all(), get, lambda _: None)
    for digest in load.changes:
        assert list((directory.root / "tuf").rglob(f"{digest.removeprefix('sha256:')}.*"))
    for role, version in load.versions.items():
        assert dict(repository.versions)[role] >= version
    path, query = f"{api}/changes", "limit=1000"
    answer = load.ask("GET", path, b"", query, **load.signed("GET", path, query=query))
    news = [change["news"] for change in answer["changes"]]
    assert news == sorted(set(news))
    assert set(load.changes.values()) <= set(news)
    alarms = load.ask("GET", f"{api}/alarms", b"", **load.signed("GET", f"{api}/alarms"))
    assert alarms["alarms"] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [2, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kept", ["directory", pytest.param("sql", marks=pytest.mark.slow)])
def test_a_kill_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, rounds: int, kept: LogsIn
) -> None:
    """Reports, changes and releases come in at once; the process is killed in the middle and
    started again. Everything it acknowledged is there byte for byte, nothing is doubled or
    looks forked, what had no answer is sent again and taken, and devices accept what is served. Both
    logs are whole after each kill, and have all of it once.
    """
    server = Served.make(tmp_path, logs=kept)
    rig = server.rig
    rig.start()
    logged(rig)
    devices = [rig.bound(f"device{n}", uses=DEVICES) for n in range(DEVICES)]
    load = Load(server, devices, dict(rig.versions))
    rig.server.close()
    chance = random.Random(62)
    counts = []
    try:
        server.start()
        for _ in range(rounds):
            threads = load.run()
            time.sleep(chance.uniform(0.2, 0.9))
            status, _ = server.signal(signal.SIGKILL)
            load.stopped.set()
            for thread in threads:
                thread.join(20)
            assert status == -signal.SIGKILL
            server.start()
            check(load)
            counts.append((len(load.reports), len(load.changes), len(load.blobs)))
    finally:
        server.close()
    assert load.faults == []
    assert all(counts[-1]), counts
