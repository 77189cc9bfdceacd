"""Keys of every role rotated on real processes, with a device beside them that goes on accepting."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.owner_machine import Machine, WalkingDevice, begin


@pytest.mark.slow
def test_every_role_is_rotated_and_devices_go_on(tmp_path: Path) -> None:
    """Daily key, root, provider, API key, online keys, TLS authority: after each, old and new
    devices accept, and the next command works.
    """
    machine, server = begin(tmp_path)
    offer = server.directory / "offer.json"
    try:
        device = WalkingDevice.bound_now(machine)
        first = device.accept().root
        for arguments in (
            ("targets",),
            ("root",),
            ("provider",),
            ("api",),
            ("spare-ca",),
            ("root", "--recovery-file", tmp_path / "paper", "--new-recovery-file", tmp_path / "p2"),
        ):
            machine.do("keys", "rotate", *arguments, "--yes")
            device.accept()
        machine.do("server", "new-keys", server.directory)
        machine.do("keys", "rotate", "online", "--server-offer", offer, "--yes")
        last = device.accept().root
        for role, entry in last.roles.items():
            assert set(entry.keyids).isdisjoint(first.roles[role].keyids), role
        server.stop()
        machine.do("server", "settle-keys", server.directory)
        server.start()
        machine.do("keys", "renew", "--yes")
        device.accept()
        WalkingDevice.bound_now(machine).accept()
    finally:
        server.stop()


def test_a_rotation_needs_the_server_to_have_the_keys(tmp_path: Path) -> None:
    """Online keys that the server does not hold are refused by the server, before anything is out."""
    machine, server = begin(tmp_path)
    try:
        other = Machine(tmp_path / "other")
        other.do("server", "init", tmp_path / "stranger", "--url", "https://localhost:1")
        offer = tmp_path / "stranger" / "offer.json"
        assert (
            machine.refused("keys", "rotate", "online", "--server-offer", offer, "--yes") == "auth"
        )
        assert WalkingDevice.bound_now(machine).accept().root.version == 1
    finally:
        server.stop()


@pytest.mark.slow
def test_keys_are_listed_without_a_server(tmp_path: Path) -> None:
    """Where no server answers, the keys of this machine are shown all the same, and that is said."""
    machine, server = begin(tmp_path)
    server.stop()
    done = machine.run("keys", "list", "--json")
    assert done.returncode == 0, done.stderr
    roles = {one["role"] for one in json.loads(done.stdout)}
    assert {"root", "targets", "api", "provider:me"} <= roles
    assert "only what this machine knows" in done.stderr
    assert machine.refused("status") == "server-unreachable"


def test_ctrl_c_leaves_no_traceback(tmp_path: Path) -> None:
    """An interrupted command ends with one line and status 130."""
    machine = Machine(tmp_path)
    code = (
        "import os, signal, sys; from allod import program; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # jobs in the background ignore it
        "program.build = lambda: os.kill(os.getpid(), signal.SIGINT); "
        "sys.exit(program.main(['status']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.env, capture_output=True, text=True
    )
    assert done.returncode == 130
    assert done.stderr.strip() == "allod: interrupted"


def test_help_is_quick_and_every_verb_can_be_called(tmp_path: Path) -> None:
    """`allod --help` loads none of the verbs' modules; each verb's own help works."""
    machine = Machine(tmp_path)
    best = 9.0
    for _ in range(3):
        begun = time.perf_counter()
        assert machine.run("--help").returncode == 0
        best = min(best, time.perf_counter() - begun)
    assert best < 2.0, "five times the figure that is aimed at: the machine may be busy"
    from allod.program import VERBS

    code = "from allod.program import main, VERBS; import sys\nfor v in VERBS: assert main([v.name, '--help']) == 0, v"
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(VERBS) > 20
    assert machine.run("--version").stdout.strip()
    assert "complete" in machine.run("completion", "bash").stdout


def test_errors_are_one_line_with_code_and_status(tmp_path: Path) -> None:
    """Each branch of errors has its exit status; words and code fit on one line."""
    machine = Machine(tmp_path)
    for arguments, status, code in (
        (("init", "BAD NAME"), 2, "bad-name"),
        (("trust", "show"), 6, "no-fleet"),
        (("nonsense",), 2, "bad-arguments"),
        (("keys", "rotate"), 2, "bad-arguments"),
    ):
        done = machine.run(*arguments)
        assert done.returncode == status, (arguments, done.stderr)
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("allod: cannot ")
        assert line.endswith(f"[{code}]")
    assert signal.SIGINT
