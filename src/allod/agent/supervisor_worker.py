"""Which worker the supervisor starts, and when it goes back to the one before.

The agent is a package under the same rules: `packages/generic~allod~agent/current/tree` holds the
package `allod`, and a worker is started from there by its path. Supervisor and worker speak by
files in `agent/`:

    wake       the worker: start me again at this time (seconds since 1970)
    verified   the worker: the activation named here had a verified run
    trial      the supervisor: activation, and how often it was started without one
    rejected   the supervisor: this activation had its chance

An activation that is neither verified nor rejected is on trial for `verify_seconds` of the
supervisor's time, or `TRIALS` starts that failed, whichever is over first; a run that hangs is killed. Then the worker is
started from `previous` (or as it was installed): it sees that another one was on probation, and
takes the change back like every other (engine.py).
"""

from __future__ import annotations

import os
import sys

AGENT = "generic~allod~agent"
RUN_VARIABLE = "ALLOD_AGENT_RUN"  #: tells the worker which activation it is: `verified` repeats it
TRIALS = 5
TRIAL_RUN = 4  #: times `verify_seconds` that a run on trial may last, transfers and all
LONGEST_RUN = 86400.0  #: seconds after which any run is hung; transfers go on where they were


class Candidate:
    """A worker that could be started."""

    __slots__ = ("name", "tree")

    def __init__(self, name: str, tree: str) -> None:
        self.name = name  #: "activations/<n>"; empty: as installed
        self.tree = tree  #: a directory that holds the package `allod`; empty: as installed


INSTALLED = Candidate("", "")


class Choice:
    """Picks the worker; remembers trials over restarts of the supervisor."""

    __slots__ = ("_agent", "_package", "_since", "_trial", "_verify_seconds")

    def __init__(self, state: str, verify_seconds: float) -> None:
        self._agent = os.path.join(state, "agent")
        self._package = os.path.join(state, "packages", AGENT)
        self._verify_seconds = verify_seconds
        self._trial = ""
        self._since = 0.0

    def pick(self, now: float) -> Candidate:
        """The worker to start at monotonic time `now`."""
        current = self._candidate("current")
        if current is None:
            return INSTALLED
        if current.name == read(os.path.join(self._agent, "verified")):
            self._trial = ""
            return current
        if current.name == read(os.path.join(self._agent, "rejected")):
            return self._candidate("previous") or INSTALLED
        if current.name != self._trial:
            self._trial, self._since = current.name, now
        name, _, failures = read(os.path.join(self._agent, "trial")).partition(" ")
        failed = int(failures) if name == current.name and failures.isdigit() else 0
        if failed >= TRIALS or now - self._since > self._verify_seconds:
            write(os.path.join(self._agent, "rejected"), current.name)
            return self._candidate("previous") or INSTALLED
        return current

    def patience(self, candidate: Candidate, now: float) -> float:
        """Seconds that a run from `candidate` may take before it counts as hung."""
        if not candidate.name or candidate.name != self._trial:
            return LONGEST_RUN
        return min(LONGEST_RUN, max(0.0, self._since + TRIAL_RUN * self._verify_seconds - now))

    def failed(self, candidate: Candidate) -> None:
        """The worker was started from `candidate` and crashed."""
        if not candidate.name or candidate.name != self._trial:
            return
        place = os.path.join(self._agent, "trial")
        name, _, failures = read(place).partition(" ")
        before = int(failures) if name == candidate.name and failures.isdigit() else 0
        write(place, f"{candidate.name} {before + 1}")

    def _candidate(self, link: str) -> Candidate | None:
        try:
            name = os.readlink(os.path.join(self._package, link))
        except OSError:
            return None
        tree = os.path.realpath(os.path.join(self._package, name, "tree"))
        if not os.path.isfile(os.path.join(tree, "allod", "agent", "worker.py")):
            return None
        return Candidate(name, tree)


def command(
    candidate: Candidate, state: str, options: tuple[str, ...]
) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment under which the worker is started."""
    environment = dict(os.environ)
    environment.pop(RUN_VARIABLE, None)
    if candidate.tree:
        environment["PYTHONPATH"] = candidate.tree
        environment[RUN_VARIABLE] = candidate.name
        # What Python would write beside the modules is no part of the release: it would be drift.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    words = [sys.executable, "-m", "allod.agent.worker", "--state", state, *options]
    return words, environment


def mark_verified(state: str) -> None:
    """For the worker: this run was whole and verified."""
    name = os.environ.get(RUN_VARIABLE, "")
    if name and read(os.path.join(state, "agent", "verified")) != name:
        write(os.path.join(state, "agent", "verified"), name)


def ask_to_wake(state: str, at: float) -> None:
    """For the worker: start me again at `at` (seconds since 1970), or earlier."""
    write(os.path.join(state, "agent", "wake"), str(int(at)))


def read(path: str) -> str:
    """A short text, or '' if it cannot be had."""
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Replace a short text, durably and atomically (as `durable.write_atomic`, without imports)."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
