"""Real processes that append without end are killed, and two that want one log do not share it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allod.server.clock import SystemClock
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.ports import LogStorage
from allod.server.log.sequencer import Sequencer
from allod.server.log.sql import SqlLogStorage, open_log_database
from allod.testing.log_storage import served_log
from allod.testing.logs import note_signer

ORIGIN = "log.example/killed"
SIGNER = note_signer(ORIGIN)
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_log_kill import ORIGIN, SIGNER, opened
from allod.server.log.sequencer import Sequencer
sequencer = Sequencer(opened(sys.argv[1], Path(sys.argv[2]), sys.argv[3]), ORIGIN, SIGNER)
number = sequencer.checkpoint().size
while True:
    batch = [b"%d" % (number + more) for more in range(1 + number % 97)]
    done = sequencer.append(batch)
    assert done.indices == tuple(range(number, number + len(batch)))
    number += len(batch)
    print(number, flush=True)
"""


def opened(kind: str, place: Path, holder: str) -> LogStorage:
    """The log, as a process of that name."""
    if kind == "directory":
        return DirectoryLogStorage(place / "public", place / "private")
    engine = open_log_database(place / "log.sqlite")
    return SqlLogStorage(engine, "log", holder=holder, clock=SystemClock())


def child(kind: str, place: Path, holder: str = "server") -> subprocess.Popen[str]:
    code = CHILD.format(here=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, kind, str(place), holder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["directory", "sqlite"])
def test_a_killed_sequencer_loses_nothing_that_it_acknowledged(kind: str, tmp_path: Path) -> None:
    """Killed eight times at odd moments: the log is whole each time, and goes on."""
    Sequencer(first := opened(kind, tmp_path, "server"), ORIGIN, SIGNER).create()
    first.release()
    acknowledged = 0
    for run in range(8):
        process = child(kind, tmp_path)
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(0.005 * run)
        os.kill(process.pid, signal.SIGKILL)
        said += process.communicate()[0]
        lines = said.split("\n")[:-1]
        assert lines, "it appended before it was killed"
        acknowledged = int(lines[-1])
        checkpoint, entries = served_log(opened(kind, tmp_path, "reader"), ORIGIN, SIGNER.key)
        assert checkpoint.size >= acknowledged
        assert list(entries) == [b"%d" % number for number in range(checkpoint.size)]
    assert acknowledged > 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["directory", "sqlite"])
def test_two_processes_do_not_share_a_log(kind: str, tmp_path: Path) -> None:
    """The second ends with a refusal; the first is not disturbed, and the log is one."""
    Sequencer(begun := opened(kind, tmp_path, "one"), ORIGIN, SIGNER).create()
    begun.release()
    one = child(kind, tmp_path, "one")
    assert one.stdout is not None
    one.stdout.readline()
    two = child(kind, tmp_path, "two")
    assert "cannot write the log" in two.communicate(timeout=60)[1]
    assert one.poll() is None
    assert int(one.stdout.readline()) > 0
    one.kill()
    one.communicate()
    served_log(opened(kind, tmp_path, "reader"), ORIGIN, SIGNER.key)
