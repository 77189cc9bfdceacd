"""The tutorial is run as it is written, so that it never promises what does not happen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.owner_machine import free_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-deployment.md"
BLOCK = re.compile(r"```(?:console|\{code-block\} \w+)\n(.*?)```", re.DOTALL)
ASKS = re.compile(r"allod (group add|device invite|deploy|configure|undo|delete) ")
LOOKS = ("curl ", "allod status", "allod-agent status", "grep ")
PATIENCE = 60.0  #: seconds; what looks is repeated until it shows what the page shows


class Act(NamedTuple):
    """A command and the lines that the page shows below it, or a file to write."""

    command: str
    shows: tuple[str, ...] = ()
    file: str = ""


def acts(page: str) -> Iterator[Act]:
    """What a reader does, in order."""
    for block in BLOCK.findall(page):
        caption = re.match(r":caption: (\S+)\n\n", block)
        if caption is not None:
            yield Act(block[caption.end() :], file=caption[1])
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield Act(command, tuple(shown))


def shown_in(lines: tuple[str, ...], output: str) -> str:
    """The first line of the page that the output lacks, in order; empty: it has them all."""
    rest = [" ".join(line.split()) for line in output.splitlines()]
    for line in lines:
        form = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
        form = re.sub(r"(\\ )*\.\*(\\ )*", ".*", form)
        found = next((n for n, real in enumerate(rest) if re.fullmatch(form, real)), None)
        if found is None:
            return line
        rest = rest[found + 1 :]
    return ""


class Reader:
    """One interactive bash that is told what the page tells its reader."""

    def __init__(self, place: Path) -> None:
        (place / "passphrase").write_text("correct horse battery\n")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {
            **os.environ,
            "HOME": str(place),
            "PATH": path,
            "COLUMNS": "160",
            "ALLOD_PASSPHRASE_FILE": str(place / "passphrase"),
        }
        for name in ("ALLOD_HOME", "ALLOD_FLEET", "ALLOD_AGENT_STATE"):
            env.pop(name, None)
        self.directory = place / "first-fleet"
        self.starts = 0
        self.shell = subprocess.Popen(
            ["bash", "--norc", "-m"], env=env, cwd=place, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def served(self) -> int:
        """How often the server was started."""
        self.starts += 1
        return self.starts

    def run(self, command: str) -> str:
        """Run a command in the shell; its output, both streams."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{command}\necho; echo '<done>'\n")
        self.shell.stdin.flush()
        lines: list[str] = []
        for line in self.shell.stdout:
            if line == "<done>\n":
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended at {command!r}: {''.join(lines)}")

    def follow(self, act: Act) -> None:
        """Do one thing, and see what the page shows; no reader is quicker than a server's start."""
        if act.file:
            (self.directory / act.file).write_text(act.command)
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            said = self.run(act.command)
            if act.command.startswith("allod serve"):
                act = Act("grep -c serving server.log", (str(self.served()),))
                continue
            missing = shown_in(act.shows, said)
            if not missing:
                return
            patient = act.command.startswith(LOOKS) and time.monotonic() < deadline
            assert patient, f"{act.command}\nlacks {missing!r}:\n{said}"
            time.sleep(0.2)


@contextmanager
def reader(place: Path) -> Iterator[Reader]:
    """A shell whose jobs, and the services that the agent started, end with the test."""
    one = Reader(place)
    try:
        yield one
    finally:
        one.shell.kill()
        one.shell.communicate()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if os.fsencode(place) in said and int(entry.name) != os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)


def prepared(page: str) -> Iterator[Act]:
    """With ports of this run, and `--yes` where a reader answers y."""
    server, service = str(free_port()), str(free_port())
    page = page.replace("8080", service)
    for act in acts(page):
        command = act.command
        if ASKS.match(command):
            head, bars, tail = command.partition(" ||")
            command = f"{head} --yes{bars}{tail}"
        if command.startswith("allod init "):
            command += f" --url https://localhost:{server}"
        yield act._replace(command=command)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page runs in order, and every line that it shows is shown."""
    with reader(tmp_path) as one:
        for act in prepared(PAGE.read_text(encoding="utf-8")):
            one.follow(act)
