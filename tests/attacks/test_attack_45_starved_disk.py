"""Attack 45: a local program fills the disk or kills the agent in the middle of its work."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allod.agent import files
from allod.agent.installers.tree import TreeInstaller
from allod.agent.transfer import Blobs
from allod.domain.ids import sha256
from allod.errors import Unavailable
from allod.testing.payloads import PACKAGE, Item, MemoryTransport, payload

GOOD = payload([Item(f"d/{n}", b"x" * 3000) for n in range(20)])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 3, 17])
def test_attack_45_a_disk_that_fills_up_while_unpacking_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, after: int
) -> None:
    """Full after any number of writes: no-space is said, nothing half stays, the next time works."""
    installer = TreeInstaller(tmp_path / "store")
    write, left = os.write, [after]

    def full(fd: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, "full")
        return write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Unavailable) as caught:
            installer.stage(PACKAGE, GOOD.digest, GOOD.release, GOOD.open())
    assert caught.value.code == "no-space"
    assert os.listdir(tmp_path / "store/generic~acme~toaster") == []
    installer.stage(PACKAGE, GOOD.digest, GOOD.release, GOOD.open())
    assert installer.measure(PACKAGE, GOOD.digest).ok


@pytest.mark.parametrize("what", ["blocks", "files"])
def test_attack_45_the_reserve_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """With little room, or few files, left on the disk, transfers and unpacking are not begun."""
    real = os.statvfs(tmp_path)

    class Tight:
        f_frsize = real.f_frsize
        f_bavail = 10 if what == "blocks" else real.f_bavail
        f_files = 1000
        f_favail = 1000 if what == "blocks" else 5

    source = MemoryTransport({"b": b"x" * 100})
    monkeypatch.setattr(files.os, "statvfs", lambda _: Tight)
    for attempt in (
        lambda: Blobs(tmp_path / "blobs").fetch(source, "b", sha256(b"x" * 100), 100),
        lambda: TreeInstaller(tmp_path / "s").stage(
            PACKAGE, GOOD.digest, GOOD.release, GOOD.open()
        ),
    ):
        with pytest.raises(Unavailable) as caught:
            attempt()
        assert caught.value.code == "no-space"
    assert source.asked == []


STAGE = (
    "import sys;from pathlib import Path;from allod.agent.installers.tree import TreeInstaller;"
    "from allod.testing.payloads import PACKAGE,Item,payload;"
    "p=payload([Item(f'd/{n}',b'x'*3000) for n in range(1500)]);"
    "print('go',flush=True);"
    "TreeInstaller(Path(sys.argv[1])).stage(PACKAGE,p.digest,p.release,p.open());print('done',flush=True)"
)


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.08, 0.2])
def test_attack_45_a_killed_agent_starts_clean(tmp_path: Path, pause: float) -> None:
    """SIGKILL at some moment of unpacking: staged whole or not at all, and the next run succeeds."""
    big = payload([Item(f"d/{n}", b"x" * 3000) for n in range(1500)])
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(tmp_path)],
        env={"PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
    installer = TreeInstaller(tmp_path)
    for digest in installer.staged(PACKAGE):
        assert installer.measure(PACKAGE, digest).ok
    installer.stage(PACKAGE, big.digest, big.release, big.open())
    assert installer.measure(PACKAGE, big.digest).ok
    assert os.listdir(tmp_path / "generic~acme~toaster") == [big.digest[7:]]
