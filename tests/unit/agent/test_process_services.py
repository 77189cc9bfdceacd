"""Services as processes: they outlive the agent, come back after a crash, and end when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.ports import ServiceUnit
from allod.agent.services import process, process_files
from allod.agent.services.process import ProcessServiceManager, check_services
from allod.agent.services.processes import look, parse_stat
from allod.errors import InvalidInput
from allod.testing.payloads import PACKAGE

HOME = "generic~acme~toaster"


def python(code: str) -> tuple[str, ...]:
    """A command that runs this code."""
    return (sys.executable, "-S", "-c", code)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A state directory with a boot id of its own."""
    (tmp_path / "boot").write_text("first\n")
    for name in ("tree", "data", "config"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def unit(room: Path) -> ServiceUnit:
    """A service that says what it was given and sleeps."""
    return ServiceUnit(
        package=PACKAGE,
        name="toaster",
        command=python(
            "import os,time; print(os.getcwd(), sorted(os.environ), flush=True); time.sleep(60)"
        ),
        environment={"TOAST": "brown"},
        directory=room / "tree",
        data=room / "data",
        configuration=room / "config",
        access=frozenset(),
        stop_seconds=2,
    )


@pytest.fixture
def manager(room: Path) -> Iterator[ProcessServiceManager]:
    """A manager whose service is gone at the end."""
    found = ProcessServiceManager(room / "services", boot_id_file=room / "boot")
    yield found
    found.stop(PACKAGE)


def pid_of(manager: ProcessServiceManager) -> int:
    """The number of the first process."""
    return int(manager.state(PACKAGE).detail.split()[1])


def wait(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until it is true."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it never came true"
        time.sleep(0.01)


def check(room: Path, now: float | None = None) -> float:
    """What the supervisor does in its loop."""
    return check_services(room / "services", boot_id_file=room / "boot", now=now)


def log(room: Path) -> str:
    """What the service said."""
    return (room / "services" / HOME / "log").read_text()


def test_it_gets_its_directory_a_clean_environment_and_a_session(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Working directory and variables are those of the unit; nothing of the agent's leaks in."""
    os.environ["ALLOD_LEAK"] = "1"
    try:
        manager.start(unit)
    finally:
        del os.environ["ALLOD_LEAK"]
    wait(lambda: "\n" in log(room))
    said = log(room)
    assert said.startswith(str(room / "tree"))
    assert "TOAST" in said
    assert "ALLOD" not in said
    seen = look(pid_of(manager))
    assert seen is not None
    assert seen.session == seen.pid != os.getsid(0)
    assert not set(os.listdir(f"/proc/{seen.pid}/fd")) - {"0", "1", "2"}


def test_it_outlives_the_agent(
    unit: ServiceUnit, manager: ProcessServiceManager, room: Path
) -> None:
    """The worker that started it is killed; the service runs on and is found again."""
    code = (
        "import sys,os;from pathlib import Path;from allod.agent.ports import ServiceUnit;"
        "from allod.agent.services.process import ProcessServiceManager as M;"
        f"r=Path({str(room)!r});m=M(r/'services',boot_id_file=r/'boot');"
        f"m.start(ServiceUnit({PACKAGE!r},'toaster',{unit.command!r},{{}},r/'tree',None,r/'config',"
        "frozenset(),2.0));os.kill(os.getpid(),9)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "src"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert manager.state(PACKAGE).running
    pid = pid_of(manager)
    manager.stop(PACKAGE)
    wait(lambda: look(pid) is None or not look(pid).alive)


def test_a_crash_is_counted_and_mended_with_growing_pauses(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Each end that nobody asked for counts; the pause doubles up to a minute."""
    manager.start(unit)
    now, pauses = 1000.0, []
    for count in range(1, 9):
        os.kill(pid_of(manager), signal.SIGKILL)
        wait(lambda: not manager.state(PACKAGE).running)
        began = now
        now += check(room, now)
        assert not manager.state(PACKAGE).running
        assert manager.state(PACKAGE).restarts == count
        while not manager.state(PACKAGE).running:
            now += check(room, now)
        pauses.append(now - process.CHECK_EVERY - began)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    now += 61
    os.kill(pid_of(manager), signal.SIGKILL)
    wait(lambda: not manager.state(PACKAGE).running)
    assert check(room, now) == 1, "a minute of running makes the pause short again"


def test_a_program_that_is_not_there_says_so(
    manager: ProcessServiceManager, unit: ServiceUnit
) -> None:
    """It does not run, and the state says why."""
    manager.start(replace(unit, command=("/nowhere/toast",)))
    wait(lambda: not manager.state(PACKAGE).running)
    assert "toast" in manager.state(PACKAGE).detail


def test_stopping_takes_the_whole_session(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Children go too; who ignores SIGTERM is killed after its time; nothing starts it again."""
    code = (
        "import os,signal,time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "print(child or os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    manager.start(replace(unit, command=python(code), stop_seconds=0.2))
    wait(lambda: log(room).count("\n") == 2)
    child = int(log(room).split()[0])
    begin = time.monotonic()
    manager.stop(PACKAGE)
    assert 0.2 <= time.monotonic() - begin < 2
    assert look(child) is None or not look(child).alive
    assert check(room) == process.CHECK_EVERY
    assert not manager.state(PACKAGE).running


def test_children_of_a_crashed_service_do_not_stay(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Before it is started again, what its first life left behind is ended."""
    code = "import os,time\nchild=os.fork()\nif child: print(child, flush=True); os._exit(1)\ntime.sleep(60)"
    manager.start(replace(unit, command=python(code)))
    wait(lambda: not manager.state(PACKAGE).running and "\n" in log(room))
    child = int(log(room).split()[0])
    assert look(child) is not None
    check(room, 1000.0)
    check(room, 1001.0)
    assert look(child) is None or not look(child).alive


def test_it_comes_back_after_a_restart_of_the_machine(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Another boot id: what is left of the old life goes, the new one is no crash."""
    manager.start(unit)
    old = pid_of(manager)
    (room / "boot").write_text("second\n")
    assert not manager.state(PACKAGE).running
    check(room)
    assert manager.state(PACKAGE).running
    assert manager.state(PACKAGE).restarts == 0
    assert pid_of(manager) != old
    assert look(old) is None or not look(old).alive


def test_a_number_that_is_used_again_is_not_mistaken(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """A process with the same number and another start is neither ours nor ever killed."""
    manager.start(unit)
    other = subprocess.Popen(python("import time; time.sleep(60)"), start_new_session=True)
    try:
        place = room / "services" / HOME / "process"
        real = pid_of(manager)
        lines = place.read_text().split("\n")
        seen = look(other.pid)
        stat = lines[2].replace(f"{real} (", f"{other.pid} (", 1)
        fields = stat.rpartition(")")[2].split()
        assert seen is not None
        assert int(fields[19]) <= seen.began
        stat = stat.replace(f" {fields[19]} ", f" {int(fields[19]) - 7} ")
        place.write_text("\n".join([*lines[:2], stat, ""]))
        assert not manager.state(PACKAGE).running
        manager.stop(PACKAGE)
        assert other.poll() is None
        os.kill(real, signal.SIGKILL)
    finally:
        other.kill()
        other.wait()


def test_reload_is_a_hangup_for_the_first_process(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """SIGHUP arrives, and the process stays the same."""
    code = "import signal,time\nsignal.signal(signal.SIGHUP, lambda *_: print('again', flush=True))\nprint('up', flush=True)\nwhile True: time.sleep(0.01)"
    manager.start(replace(unit, command=python(code)))
    wait(lambda: "up" in log(room))
    pid = pid_of(manager)
    manager.reload(PACKAGE)
    wait(lambda: "again" in log(room))
    assert pid_of(manager) == pid


def test_a_full_log_moves_aside_while_the_service_writes_on(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """The log never grows without end, and its newest lines are kept."""
    code = "import time\nprint('x' * 100 + '\\n' * 1, end='', flush=True)\nfor n in range(20000): print('y' * 80, n)\nprint('last', flush=True)\nwhile True: time.sleep(0.05); print('on', flush=True)"
    manager.start(replace(unit, command=python(code)))
    wait(lambda: "last" in log(room))
    check(room)
    place = room / "services" / HOME
    assert (place / "log").stat().st_size < 10_000
    assert "last" in (place / "log.1").read_text()
    assert (place / "log.1").stat().st_size <= process_files.LOG_CAP
    wait(lambda: "on" in log(room))


def test_a_damaged_note_counts_as_missing(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """Torn files of the watcher stop nothing: start and stop still work."""
    manager.start(unit)
    (room / "services" / HOME / "watch.json").write_bytes(b"{torn")
    assert manager.state(PACKAGE).running
    (room / "services" / HOME / "unit.json").write_bytes(b"{torn")
    os.kill(pid_of(manager), signal.SIGKILL)
    wait(lambda: not manager.state(PACKAGE).running)
    assert check(room) == process.CHECK_EVERY, "others are still looked after"
    manager.start(unit)
    assert manager.state(PACKAGE).running


def test_words_with_spaces_and_quotes_arrive_as_they_are(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """No shell ever reads the command's words."""
    words = ("a b", "$HOME", "'", '"', "`id`", "*", "")
    manager.start(replace(unit, command=(*python("import sys; print(sys.argv[1:])"), *words)))
    wait(lambda: "\n" in log(room))
    assert log(room).strip() == repr(list(words))
    with pytest.raises(InvalidInput, match="command"):
        manager.start(replace(unit, command=("/bin/echo", "a\0b")))


def test_complain_mode_names_the_access_that_is_used_and_not_declared(
    manager: ProcessServiceManager, unit: ServiceUnit, room: Path
) -> None:
    """A listening port and files outside are named; what is declared is not."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outside = room / "outside"
    outside.write_text("x")
    code = (
        f"import socket,time\ns=socket.create_server(('0.0.0.0',{port}))\n"
        f"f=open({str(outside)!r},'a')\ng=open({str(room / 'data' / 'own')!r},'w')\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    loud = replace(unit, command=python(code), complain=True)
    manager.start(loud)
    wait(lambda: "up" in log(room))
    hidden = os.path.realpath(outside)
    if hidden.startswith("/tmp/"):  # shared by design, so not named
        assert manager.missing_access(PACKAGE) == {f"network.listen:tcp/{port}"}
    else:
        assert manager.missing_access(PACKAGE) == {
            f"network.listen:tcp/{port}",
            f"path.write:{hidden}",
        }
    manager.start(
        replace(loud, access=frozenset({f"network.listen:tcp/{port}", f"path.write:{hidden}"}))
    )
    wait(lambda: log(room).count("up") == 2)
    assert manager.missing_access(PACKAGE) == frozenset()


def test_strange_process_names_do_not_confuse_the_reader() -> None:
    """A process may call itself anything, with brackets and spaces."""
    tail = "S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 555 0 0"
    seen = parse_stat(f"7 (a) b ( S 9) {tail}")
    assert seen is not None
    assert (seen.pid, seen.state, seen.session, seen.began) == (7, "S", 7, 555)
    assert parse_stat("") is None
    assert parse_stat("7 (x) S 1") is None
