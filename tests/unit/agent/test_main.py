"""`allod-agent` as a command: words, exit statuses, one line for every failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.agent import main as command
from allod.testing.repository import RepositorySimulator

NOW = datetime.now(UTC).replace(microsecond=0)


def agent(*words: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    line = [sys.executable, "-m", "allod.agent.main", *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if k != "ALLOD_TRACE"}
    return subprocess.run(line, capture_output=True, text=True, input=given or "", env=environment)


@pytest.fixture
def invite(tmp_path: Path) -> Path:
    """An invite of a fleet whose time is now."""
    fleet = RepositorySimulator(now=NOW)
    file = tmp_path / "invite.json"
    file.write_bytes(fleet.invite())
    return file


def test_a_device_is_bound_looked_at_and_unbound(tmp_path: Path, invite: Path) -> None:
    """The everyday words, for people and for programs."""
    state = ("--state", tmp_path / "state")
    done = agent("bind", "--offline", "--json", invite, *state)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["groups"], said["epoch"], said["handedIn"]) == (["kitchen"], 1, False)
    assert said["device"][:16] in agent("status", *state).stdout
    found = json.loads(agent("status", "--json", *state).stdout)
    assert (found["bound"], found["device"]) == (True, said["device"])
    done = agent("bind", "--offline", invite, *state)
    assert (done.returncode, done.stdout) == (4, "")
    done = agent("unbind", *state)
    assert done.returncode == 3
    assert "--yes" in done.stderr
    assert agent("unbind", "--yes", *state).returncode == 0
    assert "belongs to nobody" in agent("status", *state).stdout


def test_every_failure_is_one_line_that_begins_with_cannot(tmp_path: Path, invite: Path) -> None:
    """And the exit status is that of its branch; never a traceback."""
    state = ("--state", tmp_path / "state")
    altered = tmp_path / "altered.json"
    altered.write_bytes(invite.read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    cases = [
        (("status", "--state", tmp_path / "nowhere"), 6),
        (("bind", "--offline", tmp_path / "missing.json", *state), 2),
        (("bind", "--offline", "allod:xxx", *state), 2),
        (("bind", "--offline", altered, *state), 5),
        (("report", *state), 6),
        (("unbind", "--yes", *state), 4),
        (("secret", "set", "not-a-package", "name", *state), 2),
        (("inhibit", "--why", "x", *state), 2),
        (("bind", "--offline", invite, "--state", invite), 2),
    ]
    for words, status in cases:
        done = agent(*words)
        assert done.returncode == status, (words, done)
        assert done.stderr.startswith("allod-agent: cannot "), done.stderr
        assert re.search(r" \[[a-z0-9-]+\]\n$", done.stderr), "it has a stable code"
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_a_fault_of_the_program_is_said_without_a_traceback(monkeypatch, capsys) -> None:
    """A bug has a status of its own; ALLOD_TRACE shows it to who asks."""
    from allod.agent import commands

    def broken(given: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(commands, "dispatch", broken)
    monkeypatch.delenv("ALLOD_TRACE", raising=False)
    assert command.main(["version"]) == 70
    assert capsys.readouterr().err.startswith("allod-agent: cannot go on: a fault of the program")
    monkeypatch.setenv("ALLOD_TRACE", "1")
    with pytest.raises(RuntimeError):
        command.main(["version"])


def test_secrets_come_from_stdin_and_are_listed_by_name_only(tmp_path: Path) -> None:
    """The value is never on a command line, and never printed."""
    state = ("--state", tmp_path / "state")
    package = "pkg:generic/acme/toaster"
    assert agent("secret", "set", package, "password", *state, given="crumbs\n").returncode == 0
    listed = agent("secret", "list", *state).stdout
    assert listed == f"{package} password\n"
    assert json.loads(agent("secret", "list", "--json", *state).stdout) == {package: ["password"]}
    short = package.rpartition("/")[2]
    assert "password" in agent("secret", "list", short, *state).stdout
    assert agent("secret", "remove", short, "password", *state).returncode == 0
    assert "cannot tell which package" in agent("secret", "list", "other", *state).stderr
    assert agent("secret", "list", *state).stdout == ""


def test_a_command_that_inhibits_is_seen_as_long_as_it_runs(tmp_path: Path) -> None:
    """Its own exit status comes through."""
    state = tmp_path / "state"
    look = f"{sys.executable} -m allod.agent.main inhibitors --json --state {state}"
    agent("status", "--state", state)
    (state).mkdir(exist_ok=True)
    done = agent("inhibit", "--why", "surgery", "--name", "me", "--state", state, "--", "sh", "-c",
                 f"{look}; exit 7")  # fmt: skip
    assert done.returncode == 7, done.stderr
    (one,) = json.loads(done.stdout)
    assert (one["name"], one["why"]) == ("me", "surgery")
    assert json.loads(agent("inhibitors", "--json", "--state", state).stdout) == []


def test_one_run_of_an_unbound_device_says_what_to_do(tmp_path: Path) -> None:
    """`run --once` before `bind`."""
    done = agent("run", "--once", "--state", tmp_path / "state")
    assert done.returncode == 6
    assert "cannot work: this device has no owner" in done.stderr


def test_starting_the_command_loads_little(tmp_path: Path) -> None:
    """`version` and the command line itself load neither cryptography nor TUF."""
    code = (
        "import sys; from allod.agent.main import main; main(['version']); "
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"tuf", "cryptography", "urllib3", "msgspec", "securesystemslib"}
