"""Pain 13 (rauc-hawkbit-updater#17): offline installs stay invisible to the server."""

from __future__ import annotations

import json
from pathlib import Path

from allod.agent.identity import load_identity
from allod.agent.link import open_link
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.trust.binding import verify_binding
from allod.wire.envelope import REPORT


def export(source: RepositorySimulator, stick: Path) -> None:
    """What `allod export` writes: the server's addresses as files."""
    for path, data in source.files.items():
        file = stick / "f" / source.anchor.fleet / path.replace(":", "-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def test_pain_13_what_happens_offline_comes_back_on_the_stick(tmp_path: Path) -> None:
    """Bound and updated without network: binding and reports lie on the stick, as the server takes them."""
    source = RepositorySimulator()
    stick = tmp_path / "stick"
    export(source, stick)
    device = SimulatedDevice(tmp_path / "device", source)
    bound = device.bind(source.invite(), online=False)
    link = open_link(device.state, device.clock, bound, stick=stick)
    assert link.look().fresh
    record = (stick / "outbox" / "bindings" / f"{bound.device}.json").read_bytes()
    roots = lambda number: source.files.get(f"tuf/{number}.root.json")  # noqa: E731
    assert verify_binding(record, roots).value.device == bound.device
    key = load_identity(device.state.identity)
    signed = key.sign_envelope(REPORT, json.dumps({"sequence": 7}).encode())
    link.transport.post(f"devices/{bound.device}/reports", signed)
    assert (stick / "outbox" / "reports" / bound.device / "7.json").read_bytes() == signed
    # A stick may be lost: the server gets the record itself at the first contact.
    assert not device.bound.handed_in
    link = open_link(device.state, device.clock, device.bound)
    link.transport = device.transport
    assert link.look().fresh
    assert device.transport.posted == [("bindings", record)]
    assert device.bound.handed_in
