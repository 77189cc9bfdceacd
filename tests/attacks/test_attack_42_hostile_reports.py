"""Attack 42: a device sends reports that are meant to hurt the server or whoever reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allod.testing.asgi import Answer, ask
from allod.testing.server import ServerRig, SimulatedDevice
from allod.trust.dsse import sign_envelope
from allod.wire.codec import encode
from allod.wire.envelope import REPORT
from allod.wire.report import Alarm, Inhibitor, PackageReport, Refusal

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Iterator[ServerRig]:
    """A server that takes any number of reports."""
    made = ServerRig.make(tmp_path_factory.mktemp("attack42") / "server")
    from allod.server.services.limits import Rate

    made.server.receive_report._rate = Rate(made.clock, 1_000_000, "reports")
    made.server.receive_report._room = Rate(made.clock, 10**9, "KiB")
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def device(rig: ServerRig) -> SimulatedDevice:
    """A bound device: its key is good, its words are not."""
    return rig.bound()


def send(rig: ServerRig, device: SimulatedDevice, body: bytes, **parts) -> Answer:
    path = f"/f/{rig.fleet}/devices/{device.id}/reports"
    return ask(rig.application, "POST", path, body=body, **parts)


def signed(device: SimulatedDevice, payload: bytes) -> bytes:
    """Any bytes as a report, under the device's real signature."""
    return sign_envelope(payload, REPORT, [device.key])


def refused(answer: Answer, status: int, *codes: str) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] in codes
    assert len(answer.body) < 2000


def reports(rig: ServerRig, device: SimulatedDevice) -> list:
    return rig.server.listings.reports(rig.fleet, device.id, 0, 1000).reports


def test_attack_42_size_is_refused_before_it_is_read(rig, device) -> None:
    """10 MB, declared or not, and a bomb of base64: refused by length, nothing is kept."""
    before = reports(rig, device)
    refused(send(rig, device, b"{" * 10 * MIB), 413, "too-large")
    drip = send(rig, device, b"x" * 3 * MIB, headers={"content-length": "10"}, pieces=30)
    refused(drip, 413, "too-large")
    big = device.report(facts={"a": "x" * MIB}, advance=False)
    refused(send(rig, device, big), 413, "too-large")
    assert reports(rig, device) == before


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"type":"allod.report","type":"allod.report"}',
        b'{"sequence":' + b"9" * 100_000 + b"}",
        b'{"uptime":NaN}',
        b"\xff\xfe\x00",
        b'{"facts":{' + b",".join(b'"%d":"x"' % n for n in range(60_000)) + b"}}",
        b"[" + b"," * 1_000_001 + b"]",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_attack_42_json_bombs_under_a_good_signature_are_refused(rig, device, payload) -> None:
    """Depth, doubled keys, endless numbers, NaN, no text at all: a problem each, and no 500."""
    before = reports(rig, device)
    refused(send(rig, device, signed(device, payload)), 422, "bad-json", "bad-document")
    refused(send(rig, device, payload or b" "), 422, "bad-json", "bad-document")
    assert reports(rig, device) == before


@pytest.mark.parametrize("sequence", [0, -1, 2**63, 10**30, 1.5, "1", None, True])
def test_attack_42_numbers_out_of_range_are_refused(rig, device, sequence) -> None:
    """Where a report stands in the chain is a number that every part of the server can hold."""
    envelope = json.loads(device.report(advance=False))
    report = json.loads(base64.b64decode(envelope["payload"]))
    payload = json.dumps({**report, "sequence": sequence}).encode()
    answer = send(rig, device, signed(device, payload))
    refused(answer, 422, "bad-document", "bad-json")


NASTY = [
    "<script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egnp.exe",
    "a\x00b",
    "\r\nSet-Cookie: x=y",
    "'; DROP TABLE reports; --",
    "../../../etc/passwd",
    "{{7*7}}",
    "\ud7ff\ue000\U0001f4a9",
]


def test_attack_42_nasty_words_are_kept_as_data(rig, device) -> None:
    """Markup, control characters and statements of SQL come back exactly as they were signed, as
    JSON that no browser takes for a page, and nothing of them reaches a header or a file name.
    """
    words = "".join(NASTY)
    body = device.report(
        facts={words: words},
        agent=words,
        packages=[],
        alarms=[Alarm(code=words, says=words)],
        refusals=[Refusal(code=words, reasons=NASTY, subject=words)],
        inhibitors=[Inhibitor(name=words, why=words, since=words)],
    )
    assert send(rig, device, body).status == 200
    path = f"/api/v1/fleets/{rig.fleet}/devices/{device.id}"
    for where, field in ((path, "facts"), (f"{path}/reports", "reports")):
        query = "limit=1000" if field == "reports" else ""
        target = f"{where}?{query}" if query else where
        answer = ask(rig.application, "GET", target, headers=rig.signed("GET", where, query=query))
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not any(nasty in value for value in answer.headers.values() for nasty in NASTY)
        assert b"\x1b" not in answer.body
        assert b"\x00" not in answer.body
        assert answer.json[field]
    assert rig.server.listings.device(rig.fleet, device.id).facts == {words: words}
    kept = reports(rig, device)[-1].report
    assert encode(kept) == body
    names = {file.name for file in (rig.directory / "fleets").rglob("*")}
    assert not any("script" in name or ".." in name for name in names)


TEXT = st.text(max_size=60)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    agent=TEXT,
    facts=st.dictionaries(TEXT, TEXT, max_size=5),
    package=TEXT,
    previous=st.none() | TEXT,
    journey=TEXT,
)
def test_attack_42_any_words_are_taken_or_refused(
    rig, device, agent, facts, package, previous, journey
) -> None:
    """Whatever a device says in the form of a report: taken and given back whole, or a problem."""
    from allod.wire.report import ConfigurationOnDevice

    said = PackageReport(
        package=package,
        state=agent,
        releases=[],
        configuration=ConfigurationOnDevice(digest=previous),
    )
    body = device.report(
        agent=agent, facts=facts, packages=[said], previous=previous, journey=journey
    )
    answer = send(rig, device, body)
    assert answer.status == 200, answer.body
    assert rig.server.listings.device(rig.fleet, device.id).sequence >= 1


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=300), cut=st.integers(0, 2000), junk=st.binary(max_size=20))
def test_attack_42_any_bytes_are_a_problem_and_no_failure(rig, device, data, cut, junk) -> None:
    """Random bytes, cut and mended envelopes: never taken, never a failure of the server."""
    report = device.report(advance=False)
    for body in (data, report[:cut], report[:cut] + junk + report[cut + 1 :], signed(device, data)):
        if body != report:
            answer = send(rig, device, body)
            assert 400 <= answer.status < 500 or answer.json.get("duplicate") is not None
