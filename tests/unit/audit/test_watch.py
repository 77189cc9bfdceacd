"""`allod audit watch` beside a whole server: it raises what is wrong, once, and brings it to hooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.unit.audit.machine import Machine, machine_of

from allod.cli.audit.hooks import PAUSE, CommandHook, Webhook
from allod.server import keys
from allod.testing.logs import note_signer
from allod.testing.repository import key_from
from allod.tlog.checkpoint import Checkpoint, sign_checkpoint
from allod.tlog.fork import parse_fork, unproven
from allod.tlog.growth import Edge
from allod.tlog.lines import write_base64
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.note import Kind, NoteSigner, VerifierKey
from allod.trust.dsse import make_envelope
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import RoleStatement, encode_authority, encode_role_statement, log_origin
from allod.wire.report import Alarm
from allod.wire.trust import Witnesses

FOUND = 7


@pytest.fixture
def machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """An owner with a fleet of two logs."""
    with machine_of(tmp_path, capsys, monkeypatch) as made:
        yield made


def look(machine: Machine, *options: str | Path, status: int = 0) -> list[str]:
    """The codes of what one look raises."""
    said = machine.ask("audit", "watch", "--once", *options, status=status)
    return [one["code"] for one in said["events"] if one["event"] == "raised"]


def thief(machine: Machine) -> NoteSigner:
    """Whoever has the key of the authority log."""
    key = keys.load_log_key(machine.rig.settings.layout)
    assert key is not None
    name = log_origin(machine.rig.fleet, "authority")
    return NoteSigner(VerifierKey(name, Kind.ED25519, key.public), key.sign)


def other_history(machine: Machine, size: int) -> tuple[Checkpoint, str]:
    """Another log of that size, as the thief signs it."""
    signer = thief(machine)
    root = range_over(leaf_hash(f"{number}".encode()) for number in range(size)).root()
    checkpoint = Checkpoint(signer.key.name, size, root)
    return checkpoint, sign_checkpoint(checkpoint, signer).encode().decode()


def test_a_fleet_without_fault_is_well(machine: Machine) -> None:
    """Nothing is raised, the status is 0, also with a device that reports and after changes."""
    assert look(machine) == []
    device = machine.rig.bound()
    machine.hand_in(device, trust=machine.trust())
    assert look(machine) == []
    people = machine.rig.server.fleets.need(machine.rig.fleet).document.people
    machine.publish(machine.rig.simulator.set_fleet(people=people, revoked_invites=["x"]))
    assert look(machine) == []
    assert machine.run("audit", "watch", "--once") == 0
    assert "All is well" in machine.out


def test_an_entry_that_does_not_count_is_raised_once(machine: Machine) -> None:
    """Whoever has the log's key appends; the owner hears of each entry once, and it is no standing fault."""
    look(machine)
    statement = RoleStatement(
        fleet=machine.rig.fleet, role="targets", version=99, digest="sha256:" + "0" * 64
    )
    entry = encode_authority(
        make_envelope(encode_role_statement(statement), LOG_ROLE, [key_from("thief")])
    )
    origin = log_origin(machine.rig.fleet, "authority")
    machine.rig.server.publications.logs.append(machine.rig.fleet, origin, [entry])
    assert "log-entry-ignored" in look(machine, status=FOUND)
    assert look(machine) == []


def test_two_histories_shown_to_a_device_and_the_owner_are_a_fork(machine: Machine) -> None:
    """The device's report holds the other checkpoint in the log's own hand: evidence lies here."""
    look(machine)
    device = machine.rig.bound()
    lie, note = other_history(machine, 5)
    seen = {lie.origin: f"5 {write_base64(lie.root)}"}
    machine.hand_in(device, trust=machine.trust(logs=seen, notes={lie.origin: note}))
    said = machine.ask("audit", "watch", "--once", status=FOUND)
    found = next(one for one in said["events"] if one["code"] == "log-fork")
    key = thief(machine).key
    parse_fork(Path(found["evidence"]).read_bytes()).verify(key.name, [key])
    assert machine.run("audit", "fork", found["evidence"]) == 0
    assert [one["code"] for one in said["events"]] == ["log-fork"]
    assert look(machine) == []


def test_a_device_is_accused_once_however_often_it_reports(machine: Machine) -> None:
    """It says the same checkpoint in each report: one finding, also in the next audit."""
    look(machine)
    device = machine.rig.bound()
    lie, _ = other_history(machine, 5)
    seen = {lie.origin: f"5 {write_base64(lie.root)}"}
    for _ in range(2):
        machine.hand_in(device, trust=machine.trust(logs=seen))
    said = machine.ask("audit", "verify", status=FOUND)
    assert [one["code"] for one in said["findings"]].count("other-history") == 1
    machine.hand_in(device, trust=machine.trust(logs=seen))
    again = machine.ask("audit", "verify", status=0)
    assert (again["findings"], len(again["earlier"])) == ([], 1)


def standing(machine: Machine) -> bool:
    """Whether a condition stands."""
    file = json.loads((machine.fleet.directory / "audit" / "watch.json").read_bytes())
    return any(
        one["sight"]["lasting"] and one.get("raised") and not one.get("resolved")
        for one in file["known"]
    )


def test_evidence_that_a_device_reports_is_kept(machine: Machine) -> None:
    """Whoever brings the report: proven evidence and unproven, each once."""
    look(machine)
    device = machine.rig.bound()
    own = machine.fleet.floors.log_floor(thief(machine).key.name)
    assert own is not None
    signer = thief(machine)
    other = sign_checkpoint(Checkpoint(signer.key.name, own.size, leaf_hash(b"")), signer)
    raw = f"{unproven(own, other).encode().decode()}root {write_base64(other.root)}\n"
    longer = sign_checkpoint(Checkpoint(signer.key.name, own.size + 3, leaf_hash(b"")), signer)
    alarms = [
        Alarm(code="log-fork", says="two", evidence=raw),
        Alarm(
            code="log-fork-unproven", says="two", evidence=unproven(own, longer).encode().decode()
        ),
        Alarm(code="log-fork", says="none", evidence="x"),
    ]
    machine.hand_in(device, trust=machine.trust(), alarms=alarms)
    assert look(machine, status=FOUND).count("log-fork") == 1
    kept = sorted(path.name for path in (machine.fleet.directory / "evidence").iterdir())
    assert kept == sorted(
        [
            f"fork-authority-{own.size}-{own.size}.evidence",
            f"fork-authority-{own.size}-{own.size + 3}.evidence",
        ]
    )


def test_a_fork_that_is_shown_to_the_owner_is_raised_with_evidence(machine: Machine) -> None:
    """The server shows this machine another log; the monitor says so and goes on looking."""
    look(machine)
    signer = thief(machine)
    own = machine.fleet.floors.log_floor(signer.key.name)
    assert own is not None
    entries = [f"{number}".encode() for number in range(own.size + 2)]
    _, tiles = Edge().grown(entries)
    machine.lie = {f"log/authority/{tile.path}": data for tile, data in tiles.items()}
    _, note = other_history(machine, own.size + 2)
    machine.lie["log/authority/checkpoint"] = note.encode()
    assert sorted(look(machine, status=FOUND)) == ["log-consistency", "log-fork"]
    assert look(machine, status=FOUND) == []
    assert standing(machine)
    assert (machine.fleet.directory / "evidence").is_dir()


def test_a_device_that_went_back_and_two_with_one_identity(machine: Machine) -> None:
    """Older floors than before; two pasts under one key: one alarm each."""
    look(machine)
    device = machine.rig.bound()
    machine.hand_in(device, trust=machine.trust())
    look(machine)
    machine.hand_in(device, trust=machine.trust(roles={"targets": 1}))
    assert look(machine, status=FOUND) == ["device-went-back"]
    twin = machine.rig.device()
    twin.sequence = device.sequence - 1
    machine.hand_in(twin, trust=machine.trust(), facts={"device.name": "copy"})
    assert look(machine, status=FOUND).count("device-cloned") == 1
    assert look(machine) == []


def test_a_withheld_version_stands_until_it_is_shown(machine: Machine) -> None:
    """The log has a version whose file is not there: raised, standing, and over when it is back."""
    look(machine)
    people = machine.rig.server.fleets.need(machine.rig.fleet).document.people
    machine.publish(machine.rig.simulator.set_fleet(people=people, revoked_invites=["x"]))
    version = machine.rig.versions["targets"]
    machine.lie[f"tuf/{version}.targets.json"] = None
    assert "withheld" in look(machine, status=FOUND)
    assert look(machine, status=FOUND) == []
    machine.lie.clear()
    said = machine.ask("audit", "watch", "--once")
    assert ("resolved", "withheld") in {(one["event"], one["code"]) for one in said["events"]}


def test_an_outage_is_no_alarm_until_it_lasts(machine: Machine) -> None:
    """An hour without the server is one; what stood before stands; it ends when it is back."""
    look(machine)
    machine.down = True
    assert look(machine) == []
    machine.rig.clock.pass_time(minutes=61)
    assert look(machine, status=FOUND) == ["server-unreachable"]
    assert look(machine, status=FOUND) == []
    machine.down = False
    said = machine.ask("audit", "watch", "--once")
    assert [(one["event"], one["code"]) for one in said["events"]] == [
        ("resolved", "server-unreachable")
    ]


def test_a_quorum_that_is_missing_too_long_is_an_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No witness vouches for the log: not at once, but after a quarter of an hour; said once."""
    asleep = note_signer("w.example", Kind.COSIGNATURE)
    terms = Witnesses(keys=[str(asleep.key)], quorum=1, max_age_seconds=3600)
    with machine_of(tmp_path, capsys, monkeypatch, witnesses=terms) as machine:
        assert look(machine) == []
        machine.rig.clock.pass_time(minutes=16)
        assert look(machine, status=FOUND) == ["no-quorum"] * 2, "of each log"
        assert look(machine, status=FOUND) == []


# -- hooks ----------------------------------------------------------------------------------------


def fault(machine: Machine) -> None:
    """Something to raise."""
    machine.down = True
    look(machine)
    machine.rig.clock.pass_time(minutes=61)


def test_a_command_gets_the_alarm(machine: Machine, tmp_path: Path) -> None:
    """JSON on its standard input, the code in its environment, and no shell in between."""
    script = tmp_path / "hook.py"
    script.write_text(
        "import os, sys\n"
        "open(sys.argv[1], 'ab').write(os.environ['ALLOD_ALARM_CODE'].encode() + b' '"
        " + sys.stdin.buffer.read() + b'\\n')\n"
    )
    out = tmp_path / "out; touch x"
    fault(machine)
    command = f"{sys.executable} {script} '{out}'"
    assert look(machine, "--on-alarm", command, status=FOUND) == ["server-unreachable"]
    code, _, event = out.read_text().strip().partition(" ")
    assert code == "server-unreachable"
    assert json.loads(event)["event"] == "raised"
    look(machine, "--on-alarm", command, status=FOUND)
    assert len(out.read_text().splitlines()) == 1


def test_a_hook_that_fails_loses_nothing(machine: Machine, tmp_path: Path) -> None:
    """It fails, or is not there, or never ends: the alarm waits, and is brought in the next look."""
    fault(machine)
    out = tmp_path / "out"
    said = machine.ask("audit", "watch", "--once", "--on-alarm", "false", status=FOUND)
    assert said["undelivered"] == 1
    assert "did not take an alarm" in machine.err
    machine.ask("audit", "watch", "--once", "--on-alarm", "/no/such/program", status=FOUND)
    machine.down = False
    said = machine.ask("audit", "watch", "--once", "--on-alarm", "false", status=6)
    assert said["undelivered"] == 2
    said = machine.ask("audit", "watch", "--once", "--on-alarm", f"tee -a {out}")
    assert said["undelivered"] == 0
    events = [json.loads(f"{{{part}") for part in out.read_text().split("{")[1:]]
    assert [one["event"] for one in events] == ["raised", "resolved"]
    assert "did not end" in CommandHook(("sleep", "9"), timeout=0.05).take(an_event())


def an_event():  # noqa: ANN201 - a value of the room
    from allod.audit.alarms import Event

    return Event(fleet="f", event="raised", at="", code="stale", subject="log", says="", since="")


class _Server:
    """A webhook's server that answers as it is told."""

    def __init__(self, *answers: int) -> None:
        self.answers, self.bodies = list(answers), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.bodies.append((self.headers["allod-alarm-code"], json.loads(body)))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/hook"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def serving() -> Iterator[Callable[..., _Server]]:
    """Makes webhook servers."""
    made: list[_Server] = []

    def make(*answers: int) -> _Server:
        made.append(_Server(*answers))
        return made[-1]

    yield make
    for one in made:
        one.http.shutdown()
        one.http.server_close()


def test_a_webhook_gets_the_alarm(machine: Machine, serving: Callable[..., _Server]) -> None:
    """Posted as JSON, with its code in a header; once."""
    server = serving()
    fault(machine)
    assert look(machine, "--webhook", server.url, status=FOUND) == ["server-unreachable"]
    look(machine, "--webhook", server.url, status=FOUND)
    ((code, body),) = server.bodies
    assert (code, body["code"], body["type"]) == (
        "server-unreachable",
        "server-unreachable",
        "allod.alarm",
    )


def test_a_webhook_is_tried_again(serving: Callable[..., _Server]) -> None:
    """Three times in a look, with growing pauses; a redirect is no taker, nor is nobody there."""
    slept: list[float] = []
    server = serving(500, 302, 204)
    assert Webhook(server.url, sleep=slept.append).take(an_event()) == ""
    assert (slept, len(server.bodies)) == ([PAUSE, 2 * PAUSE], 3)
    server = serving(500, 500, 500)
    assert "answered 500" in Webhook(server.url, sleep=slept.append).take(an_event())
    assert Webhook("http://127.0.0.1:1/", sleep=slept.append).take(an_event()) != ""


def test_two_hooks_are_independent(machine: Machine, serving: Callable[..., _Server]) -> None:
    """One fails, the other has taken it; the one is asked again, the other is not."""
    server = serving()
    fault(machine)
    hooks = ("--on-alarm", "false", "--webhook", server.url)
    machine.ask("audit", "watch", "--once", *hooks, status=FOUND)
    said = machine.ask("audit", "watch", "--once", *hooks, status=FOUND)
    assert said["undelivered"] == 1
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--on-alarm", ""),
        ("--on-alarm", "a 'b"),
        ("--webhook", "ftp://a/b"),
        ("--webhook", "https://"),
        ("--every", "1s"),
    ],
)
def test_what_makes_no_sense_is_refused(machine: Machine, options: tuple[str, str]) -> None:
    """Before anything is looked at."""
    assert machine.run("audit", "watch", "--once", *options, "--json") == 2
    assert machine.asked == []


# -- a process --------------------------------------------------------------------------------------


def test_the_monitor_ends_when_it_is_asked_to(machine: Machine) -> None:
    """As a process of its own: the server is away, it goes on; SIGTERM ends it with 0."""
    machine.down = True
    look(machine)
    command = [sys.executable, "-m", "allod.program", "audit", "watch", "--every", "5s", "--json"]
    environment = {**os.environ, "ALLOD_HOME": str(machine.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        file = machine.fleet.directory / "audit" / "watch.json"
        before = file.read_bytes()
        for _ in range(600):
            if file.read_bytes() != before:
                break
            time.sleep(0.05)
        assert machine.run("audit", "watch", "--once", "--json") == 4
        assert json.loads(machine.err)["error"]["code"] == "in-use"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert file.read_bytes() != before
