"""The supervisor as a real process, with a worker that writes down how it was started."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from allod.agent.supervisor import BURST, FIRST_GAP, PACE, Supervisor, poke
from allod.agent.supervisor_services import look
from allod.agent.supervisor_worker import INSTALLED, TRIALS, Choice, mark_verified
from allod.testing.local_server import Request, local_server, make_authority, server_context

FLEET = "f" * 64
CODE = "import sys; from allod.agent.supervisor import main; sys.exit(main(sys.argv[1]))"
WORKER = """
import os, pathlib, sys, time
state = pathlib.Path(sys.argv[sys.argv.index("--state") + 1])
with (state / "runs").open("a") as log:
    log.write(f"{os.environ.get('ALLOD_AGENT_RUN')} {' '.join(sys.argv[3:])}\\n")
act = state / "act"
exec(act.read_text() if act.exists() else "")
"""


class Place:
    """A state directory whose agent package is a recording worker."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "packages" / "generic~allod~agent"
        for room in ("agent", "inhibitors", "services"):
            (root / room).mkdir(parents=True)
        self.boot = root / "boot"
        self.boot.write_text("boot-1")
        self.settings(poll_seconds=3600)
        self.install(1)

    def settings(self, **given: object) -> None:
        """Write agent.json."""
        known = {"service_manager": "systemd", "boot_id_file": str(self.boot), "wait_seconds": 20}
        (self.root / "agent.json").write_text(json.dumps({**known, **given}))

    def install(self, number: int, *, worker: str = WORKER) -> None:
        """Make activation `number` the current one; the one before is `previous`."""
        room = self.package / "activations" / str(number) / "tree" / "allod" / "agent"
        room.mkdir(parents=True)
        for file in (room.parent / "__init__.py", room / "__init__.py"):
            file.write_text("")
        (room / "worker.py").write_text(worker)
        current = self.package / "current"
        if current.is_symlink():
            current.rename(self.package / "previous")
        current.symlink_to(f"activations/{number}")

    def act(self, code: str) -> None:
        """What the worker does next."""
        (self.root / "act").write_text(code)

    @property
    def runs(self) -> list[str]:
        """How the worker was started, oldest first."""
        file = self.root / "runs"
        return file.read_text().splitlines() if file.exists() else []

    def ask(self, url: str, pins: tuple[str, ...] = ()) -> None:
        """Tell the supervisor where news are."""
        said = {"fleet": FLEET, "locations": [{"url": url, "pins": list(pins)}]}
        (self.root / "agent" / "poll").write_text(json.dumps(said))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The supervisor, until the block ends; it must end cleanly at SIGTERM."""
        words = [sys.executable, "-c", CODE, str(self.root)]
        with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=15)
        assert process.returncode == 0, said
        assert b"Traceback" not in said


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "state")


def test_first_run_after_a_restart_of_the_machine_is_a_boot_run(place: Place) -> None:
    """--boot once for each boot id, until a run of it went through."""
    with place.running():
        until(lambda: place.runs)
        until((place.root / "agent" / "boot").exists)
    with place.running():
        until(lambda: len(place.runs) == 2)
    place.boot.write_text("boot-2")
    with place.running():
        until(lambda: len(place.runs) == 3)
    assert [run.endswith("--boot") for run in place.runs] == [True, False, True]


def test_news_start_the_worker_over_tls_with_the_token(place: Place, tmp_path: Path) -> None:
    """A held question, answered, leads to one run; the next question asks for later news."""
    authority = make_authority()
    number, changed = [5], threading.Condition()

    def act(request: Request) -> None:
        after = int(request.path.partition("after=")[2].partition("&")[0])
        wait = int(request.path.partition("wait=")[2])
        with changed:
            changed.wait_for(lambda: number[0] > after, wait)
        if number[0] > after:
            request.answer(200, json.dumps({"news": number[0]}).encode())
        else:
            request.answer(204)

    (place.root / "token").write_text(json.dumps({"token": "abc", "expires": "later"}))
    with local_server(act, server_context(authority, tmp_path)) as server:
        place.ask(server.url, (authority.pem,))
        with place.running():
            # The first look, and one for what the server counted before it was first asked.
            until(lambda: len(place.runs) == 2 and len(server.requests) >= 2)
            until((place.root / "agent" / "news").exists)
            with changed:
                number[0] = 6
                changed.notify_all()
            until(lambda: len(place.runs) == 3)
            until(lambda: "after=6" in server.requests[-1].path)
        assert all(r.headers["authorization"] == "Bearer abc" for r in server.requests)
        assert server.requests[0].path == f"/f/{FLEET}/news?after=0&wait=0"
        before = len(place.runs)
        with place.running():  # nothing new since: one run at start, none for the known count
            until(
                lambda: "after=6&wait=20" in server.requests[-1].path and len(place.runs) > before
            )
            time.sleep(0.2)
        assert len(place.runs) == before + 1


@pytest.mark.slow
def test_a_server_that_cries_news_without_end_is_slowed_down(place: Place) -> None:
    """After a few, runs for news come at a fixed pace: no busy loop at its will."""
    count = [0]

    def act(request: Request) -> None:
        count[0] += 1
        request.answer(200, json.dumps({"news": count[0]}).encode())

    with local_server(act) as server:
        place.ask(server.url)
        with place.running():
            time.sleep(5)
    assert len(place.runs) <= BURST + 2
    assert count[0] <= BURST + 5


def test_an_owner_at_work_is_followed_at_once(place: Place) -> None:
    """A few changes within a minute come as quickly as the first; only a flood is spaced out."""
    one = Supervisor(str(place.root))
    gaps = [one._gap_before(1000.0) for _ in range(BURST)]
    assert gaps == [0.0] + [FIRST_GAP] * (BURST - 1)
    now, waited = 1000.0, []
    for _ in range(4):
        waited.append(one._gap_before(now))
        now += waited[-1]
    assert waited == [PACE] * 4
    assert one._gap_before(now + PACE) == FIRST_GAP  # nobody waits for what was long ago
    assert one._gap_before(now + 1000.0) == 0.0
    os.close(one._pipe[0])
    os.close(one._pipe[1])


def test_a_server_that_never_holds_the_question_is_asked_now_and_then(place: Place) -> None:
    """204 at once, again and again, is no reason to ask again at once."""
    with local_server(lambda request: request.answer(204)) as server:
        place.ask(server.url)
        with place.running():
            time.sleep(1.5)
        assert len(server.requests) <= 3


def test_a_refused_token_has_the_worker_renew_it(place: Place) -> None:
    """401 to the question starts the worker, once in a while."""
    with local_server(lambda request: request.answer(401)) as server:
        place.ask(server.url)
        with place.running():
            until(lambda: len(place.runs) == 2)
            time.sleep(0.3)
    assert len(place.runs) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\x00" * 40_000, b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\nx", b"x" * 100_000,
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"news":"none"',
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    ],
)  # fmt: skip
def test_nonsense_from_a_server_is_survived(place: Place, answer: bytes) -> None:
    """Whatever is answered, the supervisor goes on, and hears a poke."""

    def act(request: Request) -> None:
        request.handler.close_connection = True
        request.write(answer)

    with local_server(act) as server:
        place.ask(server.url)
        with place.running():
            until(lambda: server.requests)
            until(lambda: place.runs)
            assert poke(str(place.root))
            until(lambda: len(place.runs) >= 2)


def test_a_poke_starts_the_worker_now(place: Place) -> None:
    """SIGHUP by the command that changed something; during a run it means once more after it."""
    place.act("time.sleep(0.4)")
    with place.running():
        until(lambda: place.runs)
        assert poke(str(place.root))
        until(lambda: len(place.runs) == 2)
    assert not poke(str(place.root))


def test_the_worker_is_started_when_it_asked_to_be(place: Place) -> None:
    """`wake` holds a time; it is used once."""
    place.act(
        "(state / 'agent' / 'wake').write_text(str(int(time.time()) + 1)); (state / 'act').unlink()"
    )
    with place.running():
        until(lambda: len(place.runs) == 2)
        time.sleep(0.3)
    assert len(place.runs) == 2
    assert not (place.root / "agent" / "wake").exists()


def test_the_end_of_an_inhibitor_starts_the_worker(place: Place) -> None:
    """What waited is looked at as soon as nobody asks not to be disturbed any more."""
    with (place.root / "inhibitors" / "one").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with place.running():
            until(lambda: place.runs)
            time.sleep(0.2)
            assert len(place.runs) == 1
            fcntl.flock(held, fcntl.LOCK_UN)
            until(lambda: len(place.runs) == 2)


def test_an_answer_at_the_devices_button_starts_the_worker(place: Place) -> None:
    """It is on the disk when the button's program hears so, and acted on at once."""
    (place.root / "consent" / "answers").mkdir(parents=True)
    question = {"id": "abc", "package": "pkg:generic/acme/toaster", "attempt": "x|y"}
    (place.root / "consent" / "pending.json").write_text(json.dumps([question]))
    with place.running(), socket.socket(socket.AF_UNIX) as link:
        until(lambda: place.runs)
        room = os.open(place.root, os.O_PATH)
        link.connect(f"/proc/self/fd/{room}/inhibit.socket")
        os.close(room)
        link.sendall(b'{"consent": "approve", "id": "abc"}\n')
        assert json.loads(link.makefile().readline()) == {"answered": True}
        (answer,) = (place.root / "consent" / "answers").iterdir()
        until(lambda: len(place.runs) == 2)
    said = json.loads(answer.read_text())
    assert (said["package"], said["attempt"]) == (question["package"], question["attempt"])
    assert said["agrees"] is True
    assert said["by"] == f"user {os.getuid()}, process {os.getpid()}"


def test_sigterm_ends_a_run_that_goes_on(place: Place) -> None:
    """The worker is told to end, and nobody is left behind."""
    place.act("(state / 'number').write_text(str(os.getpid())); time.sleep(60)")
    with place.running():
        until(lambda: (place.root / "number").exists() and (place.root / "number").read_text())
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert not Path(f"/proc/{(place.root / 'number').read_text()}").exists()


def test_there_is_one_supervisor_for_a_state_directory(place: Place) -> None:
    """A second one says so and ends."""
    with place.running():
        until(lambda: place.runs)
        words = [sys.executable, "-c", CODE, str(place.root)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 4
        assert done.stderr.startswith("allod-agent: cannot run: another supervisor")


def test_a_new_agent_that_crashes_is_left_for_the_one_before(place: Place) -> None:
    """After so many starts without a verified run `previous` is started, and `rejected` says why."""
    agent = place.root / "agent"
    (agent / "verified").write_text("activations/1")
    place.install(2, worker=WORKER + "\nsys.exit(1)")
    choice = Choice(str(place.root), 900)
    for count in range(TRIALS):
        assert choice.pick(float(count)).name == "activations/2"
        choice.failed(choice.pick(float(count)))
        choice = Choice(str(place.root), 900)  # the count outlives the supervisor
    assert choice.pick(9.0).name == "activations/1"
    assert (agent / "rejected").read_text() == "activations/2"
    place.install(3)
    assert choice.pick(10.0).name == "activations/3"  # the next one has its own chance


def test_a_new_agent_without_a_verified_run_in_time_is_left(place: Place, monkeypatch) -> None:
    """It may run on and on: without a verified run its time ends. With one, it stays."""
    place.install(2)
    choice = Choice(str(place.root), 900)
    assert choice.pick(0.0).name == "activations/2"
    assert choice.pick(899.0).name == "activations/2"
    monkeypatch.setenv("ALLOD_AGENT_RUN", "activations/2")
    mark_verified(str(place.root))
    assert choice.pick(5000.0).name == "activations/2"
    place.install(3)
    assert choice.pick(5000.0).name == "activations/3"
    assert choice.pick(5901.0).name == "activations/2"


def test_without_an_agent_package_the_installed_one_is_started(tmp_path: Path) -> None:
    """The first agent comes from pip or a .deb."""
    assert Choice(str(tmp_path), 900).pick(0.0) is INSTALLED


def test_a_worker_is_started_from_its_own_tree(place: Place) -> None:
    """And knows which activation it is."""
    with place.running():
        until(lambda: place.runs)
    assert place.runs[0].startswith("activations/1 ")


def test_a_worker_leaves_nothing_in_its_own_tree(place: Place, monkeypatch) -> None:
    """Compiled modules that it wrote there would be drift of its own release."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    before = sorted(place.root.rglob("*.pyc"))
    with place.running():
        until(lambda: place.runs)
    assert sorted(place.root.rglob("*.pyc")) == before == []


def test_only_a_service_that_ended_wants_the_helper(tmp_path: Path) -> None:
    """A living process is recognised by number and start; any other state asks for help."""
    service = tmp_path / "services" / "generic~me~toaster"
    service.mkdir(parents=True)
    boot = tmp_path / "boot"
    boot.write_text("boot-1")
    (service / "unit.json").write_text("{}")
    assert look(str(tmp_path / "services"), str(boot)) == (True, 1.0)
    stat = Path("/proc/self/stat").read_text()
    (service / "process").write_text(f"boot-1\nkernel\n{stat}")
    assert look(str(tmp_path / "services"), str(boot)) == (False, 5.0)
    (service / "process").write_text(f"boot-0\nkernel\n{stat}")
    assert look(str(tmp_path / "services"), str(boot))[0]
    (service / "process").write_text(f"boot-1\nkernel\n{stat.replace(str(os.getpid()), '1', 1)}")
    assert look(str(tmp_path / "services"), str(boot))[0]
    watch = {"boot": "boot-1", "at": time.monotonic() + 30}
    (service / "watch.json").write_text(json.dumps(watch))
    wanted, again = look(str(tmp_path / "services"), str(boot))
    assert not wanted
    assert again <= 5.0
    (service / "unit.json").unlink()
    (service / "watch.json").unlink()
    assert look(str(tmp_path / "services"), str(boot)) == (False, 5.0)


def test_a_new_agent_that_hangs_is_killed_and_left(place: Place) -> None:
    """It neither ends nor crashes: its time ends, and the one before is started."""
    place.settings(poll_seconds=3600, verify_seconds=0.2)
    (place.root / "agent" / "verified").write_text("activations/1")
    place.install(2, worker=WORKER + "\ntime.sleep(600)")
    with place.running():
        until(lambda: any(run.startswith("activations/1 ") for run in place.runs))
    assert place.runs[0].startswith("activations/2 ")
    assert (place.root / "agent" / "rejected").read_text() == "activations/2"


def test_a_run_that_goes_on_for_a_day_is_hung(place: Place) -> None:
    """Also of an agent that was verified; one on trial has less time."""
    choice = Choice(str(place.root), 900)
    assert choice.patience(choice.pick(0.0), 0.0) == 3600
    assert choice.patience(choice.pick(600.0), 600.0) == 3000
    (place.root / "agent" / "verified").write_text("activations/1")
    assert choice.patience(choice.pick(700.0), 700.0) == 86400
    assert choice.patience(INSTALLED, 0.0) == 86400
