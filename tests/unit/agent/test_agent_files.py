"""State directory, settings, twin files, identity, view and floors on the disk."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from allod.agent.floors_store import FloorsStore
from allod.agent.identity import make_identity
from allod.agent.settings import Settings, decode_settings, load_settings
from allod.agent.state_dir import open_state
from allod.agent.tokens import Tokens
from allod.agent.twin import TwinFile
from allod.agent.view import load_view, save_view
from allod.domain.desired import StateDocument
from allod.domain.ids import GroupName, Scope, group_scope
from allod.errors import Conflict, InvalidInput, Unavailable
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.trust.dsse import verify_envelope
from allod.trust.keys import device_id, to_key
from allod.wire.desired import encode_state
from allod.wire.envelope import REPORT


def test_a_state_directory_has_rooms_with_their_permissions(tmp_path: Path) -> None:
    """Private rooms are private, again at every start."""
    state = open_state(tmp_path / "a" / "b")
    assert state.secrets.stat().st_mode & 0o777 == 0o700
    assert state.store.stat().st_mode & 0o777 == 0o755
    state.secrets.chmod(0o755)
    open_state(state.root)
    assert state.secrets.stat().st_mode & 0o777 == 0o700


def test_a_state_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever could exchange the floors would need no exploit."""
    root = tmp_path / "state"
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(InvalidInput) as caught:
        open_state(root)
    assert caught.value.code == "bad-state-directory"


def test_a_room_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A link in place of a room leads nowhere."""
    root = tmp_path / "state"
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "floors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        open_state(root)


def test_a_missing_state_directory_is_not_made_by_looking(tmp_path: Path) -> None:
    """`status` of a wrong path says so."""
    with pytest.raises(Unavailable) as caught:
        open_state(tmp_path / "none", create=False)
    assert caught.value.code == "no-state"
    assert not (tmp_path / "none").exists()


def test_one_worker_at_a_time_and_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A second one is told; a killed one leaves nothing behind."""
    state = open_state(tmp_path / "state")
    code = (
        "import sys, pathlib; from allod.agent.state_dir import open_state\n"
        "with open_state(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state.root)], stdin=-1, stdout=-1, stderr=-3
    ) as process:
        process.stdout.readline()
        with pytest.raises(Conflict) as caught, state.lock():
            pass
        assert caught.value.code == "agent-busy"
        process.kill()
        process.wait()
        with state.lock():
            pass


def test_settings_have_defaults_and_ignore_what_a_newer_agent_knows(tmp_path: Path) -> None:
    """No file: defaults; unknown settings are left alone."""
    assert load_settings(tmp_path / "agent.json").poll_seconds == Settings().poll_seconds
    found = decode_settings(b'{"poll_seconds": 5, "from_the_future": true, "bandwidth": null}')
    assert (found.poll_seconds, found.bandwidth) == (5.0, None)
    found = decode_settings(b'{"restarter": "command", "restart_command": ["/sbin/reboot"]}')
    assert found.restart_command == ("/sbin/reboot",)


@pytest.mark.parametrize(
    "given",
    [
        "[]", "{", '{"poll_seconds": "5"}', '{"poll_seconds": -1}', '{"poll_seconds": true}',
        '{"bandwidth": 1.5}', '{"bandwidth": 0}', '{"service_manager": "upstart"}', '{"restarter": []}',
        '{"facts": {"a": 1}}', '{"restart_command": "reboot"}', '{"restarter": "command"}',
        '{"boot_id_file": "relative"}', '{"background": 1}', "[" * 100_000,
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name(given: str) -> None:
    """One line that says which."""
    with pytest.raises(InvalidInput) as caught:
        decode_settings(given.encode())
    assert caught.value.code == "bad-settings"
    assert str(caught.value).startswith("cannot ")


def test_every_setting_can_be_given() -> None:
    """No setting exists that the file cannot hold."""
    for field in dataclasses.fields(Settings):
        value = getattr(Settings(restarter="command", restart_command=("x",)), field.name)
        given = {field.name: list(value) if isinstance(value, tuple) else value}
        if field.name == "restarter":
            given["restart_command"] = ["x"]
        decode_settings(json.dumps(given, default=dict).encode())


def test_a_cut_between_two_copies_is_no_damage(tmp_path: Path) -> None:
    """The newer copy wins, and nobody is alarmed."""
    twin = TwinFile(tmp_path, "file")
    twin.save(b"old")
    old = twin.paths[1].read_bytes()
    twin.save(b"new")
    twin.paths[1].write_bytes(old)
    found = twin.load()
    assert (found.data, found.healed) == (b"new", "")
    assert twin.paths[1].read_bytes() == twin.paths[0].read_bytes()


def test_an_identity_is_made_once_and_signs_statements_only(tmp_path: Path) -> None:
    """The same key at every start; its id is that of the public key; DSSE is all it signs."""
    key = make_identity(tmp_path)
    again = make_identity(tmp_path)
    assert key.device == again.device == device_id(key.key)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]
    envelope = key.sign_envelope(REPORT, b"{}")
    assert verify_envelope(envelope, REPORT, [to_key(key.key)], 1).value == b"{}"
    assert key.public()["keytype"] == "ed25519"


def test_a_view_is_stored_with_its_bytes_authorities_and_holds(tmp_path: Path) -> None:
    """What comes back is what was accepted; a refused document comes back as its hold."""
    source = RepositorySimulator()
    scope = group_scope(GroupName("kitchen"))
    source.set_packages(scope, {})
    device = SimulatedDevice(tmp_path / "device", source)
    device.bind(source.invite(groups=["kitchen", "attic"]))
    view = device.accept().view
    assert load_view(device.state.accepted) == view
    assert [str(one) for one in view.scopes][1:] == ["groups/kitchen", "groups/attic"]
    wrong = StateDocument(source.anchor.fleet, Scope("groups", "kitchen"))
    source.set_state(wrong)
    source.set_target("state/groups/attic.json", encode_state(wrong))
    found = device.accept()
    assert found.fresh
    assert [refusal.code for refusal in found.view.refusals] == ["wrong-scope"]
    held = load_view(device.state.accepted).documents[group_scope(GroupName("attic"))]
    assert held.hold
    save_view(device.state.accepted, found.view)
    assert load_view(device.state.accepted).documents.keys() == found.view.documents.keys()


def test_a_view_without_news_is_not_written_again(tmp_path: Path) -> None:
    """A look that brings nothing new wears out no flash memory."""
    source = RepositorySimulator()
    device = SimulatedDevice(tmp_path / "device", source)
    device.bind(source.invite())
    device.accept()
    rooms = ("floors", "binding", "accepted", "tuf", "agent", "identity")
    files = [file for room in rooms for file in (device.directory / room).iterdir()]
    before = {file: file.stat().st_ino for file in files}
    device.clock.wall = source.now
    assert device.accept().fresh
    assert {file: file.stat().st_ino for file in files} == before


def test_cached_names_cannot_leave_the_cache(tmp_path: Path) -> None:
    """A name out of a document becomes one file in one directory."""
    state = open_state(tmp_path / "state")
    store = FloorsStore(state)
    for name in ("../x", "..", ".", "", "a/../../b"):
        assert store.read(name) is None
    for name in ("state/groups/kitchen.json.target", "a%2Fb", "a b"):
        assert store._path(name).parent == state.tuf


@pytest.mark.skipif(os.geteuid() != 0, reason="wants to become another user")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    """The agent works as the user to whom its state belongs."""
    root = tmp_path / "state"
    root.mkdir()
    os.chown(root, 12345, 12345)
    with pytest.raises(InvalidInput):
        open_state(root)


def test_a_token_that_is_damaged_is_none(tmp_path: Path) -> None:
    """Then the server asks for a new one."""
    key = make_identity(tmp_path)
    file = tmp_path / "token"
    tokens = Tokens(file, "f" * 64, key.device, 1, key)
    for data in (b"", b"{", b'{"token": 1}', b"\xff"):
        file.write_bytes(data)
        assert tokens.current() is None
    file.write_text('{"token": "abc", "expires": "2026-01-01T00:00:00Z"}')
    assert tokens.current() == "abc"
