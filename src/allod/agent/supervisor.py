"""`allod-agent run`: the small process that is always there (docs/explanation/architecture.md).

It waits for news, a time, a signal or the end of an inhibitor, and starts the worker, which does
everything else. Standard library only, and little of that: it is measured by its memory
(bench/agent_idle.py). It holds no trust: whatever it hears, the worker checks.

    SIGHUP     look now (sent by `allod-agent` when something on this machine changed)
    SIGTERM    end; services run on, and the next start begins with recovery
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

from allod.agent.supervisor_inhibit import InhibitorSocket, anybody_holds
from allod.agent.supervisor_news import DENIED, NEWS, QUIET, Location, Poll
from allod.agent.supervisor_services import look, start_helper
from allod.agent.supervisor_settings import json_object, keeps_services, number, users
from allod.agent.supervisor_worker import INSTALLED, Choice, command, read, write

BOOT_ID = "/proc/sys/kernel/random/boot_id"
EXIT_BUSY = 4  #: another allod-agent holds the state directory
EXIT_UNREACHED = 6  #: the fleet was not heard
EXIT_HANDED_OVER = 10  #: a new agent is in place: start again at once, from `current`
FIRST_DELAY = 2.0
LAST_DELAY = 300.0
STOP_SECONDS = 10.0
FIRST_GAP = 0.5  #: between two runs for news
BURST = 6  #: so many runs for news follow at once, as an owner at work wants it
PACE = (
    15.0  #: after each such time there may be one more: a server that goes on counting gets no more
)
CALM = 60.0  #: after a time without news the first run waits for nothing
EARLY = 15.0  #: the next question to a server that answers 'nothing' at once
TICK = 1.0  #: how often inhibitors are looked at while some are held


class Stop(BaseException):
    """SIGTERM or SIGINT arrived."""


def jitter(seconds: float) -> float:
    """`seconds`, at most a tenth more or less, so that a fleet does not move in step."""
    return seconds * (0.9 + 0.2 * int.from_bytes(os.urandom(4), "big") / 2**32)


class Supervisor:
    """The loop. Times are monotonic seconds."""

    def __init__(self, state: str) -> None:
        given = json_object(read(os.path.join(state, "agent.json")))
        self._state = state
        self._agent = os.path.join(state, "agent")
        self._poll_seconds = number(given, "poll_seconds", 300.0)
        self._wait_seconds = number(given, "wait_seconds", 240.0)
        self._longest = max(self._poll_seconds, number(given, "heartbeat_seconds", 3600.0))
        self._spread = number(given, "spread_seconds", 0.0)
        boot = given.get("boot_id_file", BOOT_ID)
        self._boot_id_file = boot if isinstance(boot, str) else BOOT_ID
        self._keeps_services = keeps_services(given)
        self._consent = users(given.get("consent_users")) | {0, os.geteuid()}
        self._choice = Choice(state, number(given, "verify_seconds", 900.0))
        self._candidate = INSTALLED
        self._services = os.path.join(state, "services")
        self._helper = 0
        self._child = 0
        self._limit = 0.0  #: when the child counts as hung
        self._options: tuple[str, ...] = ()
        self._delay = FIRST_DELAY
        self._again = False
        now = time.monotonic()
        self._next_run = now
        self._last_heard = 0.0
        self._next_services = now
        self._next_poll = now
        self._poll: Poll | None = None
        self._asked = now
        self._wait_for = 0.0
        self._place = 0
        self._poll_delay = FIRST_DELAY
        self._news = -1  #: the count heard on this connection; -1: none yet
        seen = read(os.path.join(self._agent, "news"))
        self._seen = int(seen) if seen.isdigit() else -1  #: the count before the last good run
        self._seen_next = -1
        self._news_run = float("-inf")
        self._gap = FIRST_GAP
        self._left = float(BURST)  #: runs for news that may follow at once
        self._held = False
        self._guests: InhibitorSocket | None = None
        self._pipe = os.pipe()

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        """Run until SIGTERM."""
        for end in self._pipe:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGHUP, self._poked)
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        try:
            self._guests = InhibitorSocket(self._state, self._consent)
        except OSError as error:
            _say(f"cannot listen for inhibitors: {error.strerror}")
        try:
            while True:
                self._step()
        except Stop:
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._end()

    def _step(self) -> None:
        """Do what is due, then wait for what comes next."""
        now = time.monotonic()
        self._reap(now)
        self._look_at_inhibitors(now)
        if not self._child and now >= self._next_run:
            self._start(now)
        if self._keeps_services and now >= self._next_services:
            self._look_at_services(now)
        self._ask(now)
        self._wait(now)

    def _wait(self, now: float) -> None:
        """Wait for what comes next; hear it."""
        poll = self._poll if self._poll is not None and self._poll.asking else None
        sources = [self._pipe[0]]
        if poll is not None:
            sources.append(poll.fileno())
        if self._guests is not None:
            sources += self._guests.filenos()
        ready, _, _ = select.select(sources, [], [], max(0.0, self._due(now, poll) - now))
        if self._pipe[0] in ready:
            os.read(self._pipe[0], 4096)
        if self._guests is not None:
            self._guests.serve(ready)
            if self._guests.answered:
                self._guests.answered = False
                self._soon()
        if poll is not None and (poll.fileno() in ready or time.monotonic() >= poll.deadline):
            self._heard(poll.hear())

    def _due(self, now: float, poll: Poll | None) -> float:
        """When something is to be done although nothing was heard."""
        due = [now + 3600.0]
        due.append(self._limit if self._child else self._next_run)
        if self._keeps_services:
            due.append(self._next_services)
        if self._held:
            due.append(now + TICK)
        if self._guests is not None:
            due.append(self._guests.deadline())
        if poll is not None:
            due.append(poll.deadline)
        elif not self._child:
            due.append(self._next_poll)
        return min(due)

    # ---------------------------------------------------------------- the worker

    def _start(self, now: float) -> None:
        boot = read(self._boot_id_file)
        fresh = bool(boot) and boot != read(os.path.join(self._agent, "boot"))
        self._options = ("--boot",) if fresh else ()
        self._candidate = self._choice.pick(now)
        self._again = False
        self._seen_next = self._news
        try:
            os.unlink(os.path.join(self._agent, "wake"))
        except FileNotFoundError:
            pass
        words, environment = command(self._candidate, self._state, self._options)
        self._limit = now + self._choice.patience(self._candidate, now)
        try:
            self._child = os.posix_spawn(words[0], words, environment)
        except OSError as error:
            _say(f"cannot start the worker: {error.strerror}")
            self._done(now, 127)

    def _reap(self, now: float) -> None:
        if self._helper and _ended(self._helper) is not None:
            self._helper = 0
        if self._child:
            if now >= self._limit:
                _say("the worker hangs, and is killed")
                self._limit = float("inf")
                os.kill(self._child, signal.SIGKILL)
            status = _ended(self._child)
            if status is not None:
                self._child = 0
                self._done(now, status)

    def _done(self, now: float, status: int) -> None:
        """Decide when the worker is started again."""
        if status in {0, EXIT_UNREACHED, EXIT_HANDED_OVER} and self._options:
            write(os.path.join(self._agent, "boot"), read(self._boot_id_file))
        if status == 0:
            self._delay = FIRST_DELAY
            if self._seen_next not in {-1, self._seen}:
                self._seen = self._seen_next
                write(os.path.join(self._agent, "news"), str(self._seen))
            pause = self._longest if self._news >= 0 else self._poll_seconds
        elif status == EXIT_HANDED_OVER:
            pause = 0.0
        else:
            if status not in {EXIT_BUSY, EXIT_UNREACHED}:
                _say(f"the worker ended with status {status}")
                self._choice.failed(self._candidate)
            pause = min(self._delay, self._poll_seconds)
            self._delay = min(self._delay * 2, LAST_DELAY)
        wake = read(os.path.join(self._agent, "wake"))
        if wake.isdigit():
            # The clock may be wrong or jump: a wish is a time to wait, and no longer than usual.
            pause = min(pause, max(0.0, int(wake) - time.time()))
        self._next_run = max(now, self._next_run) if self._again else now + jitter(pause)

    def _poked(self, _number: int, _frame: object) -> None:
        self._soon()

    def _soon(self) -> None:
        """Look as soon as may be: now, or right after the run that goes on."""
        self._again = True
        self._next_run = time.monotonic()

    def _end(self) -> None:
        """Let the worker end; it may be stopped at any point."""
        if self._poll is not None:
            self._poll.close()
        if self._guests is not None:
            self._guests.close()
        if not self._child:
            return
        os.kill(self._child, signal.SIGTERM)
        limit = time.monotonic() + STOP_SECONDS
        while time.monotonic() < limit:
            if os.waitpid(self._child, os.WNOHANG)[0]:
                return
            time.sleep(0.05)
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)

    # ---------------------------------------------------------------- news

    def _ask(self, now: float) -> None:
        """Put the question, where none is open. Not while the worker may change where to ask."""
        if self._child or now < self._next_poll:
            return
        if self._poll is not None and self._poll.asking:
            return
        said = json_object(read(os.path.join(self._agent, "poll")))
        places = said.get("locations")
        if not isinstance(places, list) or not places:
            self._next_poll = now + self._poll_seconds
            return
        if self._poll is None:
            place = places[self._place % len(places)]
            self._poll = Poll(Location(place["url"], place.get("pins", [])), str(said["fleet"]))
        token = json_object(read(os.path.join(self._state, "token"))).get("token")
        # The first question only learns where the count is.
        wait = 0.0 if self._news < 0 else self._wait_seconds
        after = max(self._news, 0)
        self._asked = now
        self._wait_for = wait
        if not self._poll.ask(after, wait, token if isinstance(token, str) else ""):
            self._heard("failed")

    def _heard(self, word: str) -> None:
        if not word or self._poll is None:
            return
        now = time.monotonic()
        if word == NEWS:
            self._news = self._poll.number
            self._poll_delay, self._next_poll = FIRST_DELAY, now
            if self._news != self._seen:
                self._soon()
                self._next_run += self._gap_before(now)
                self._next_poll = now + self._gap
        elif word == QUIET:
            self._news = max(self._news, 0)
            # A server that does not hold the question is asked in a while, not at once.
            early = now - self._asked < self._wait_for / 2
            self._poll_delay = FIRST_DELAY
            self._next_poll = now + (jitter(min(EARLY, self._poll_seconds)) if early else 0.0)
        else:
            self._poll.close()
            self._poll = None
            self._place += 1
            self._next_poll = now + jitter(self._poll_delay)
            self._poll_delay = min(self._poll_delay * 2, LAST_DELAY)
            self._news = -1
            # Without news the worker looks by the clock; it also renews the token.
            self._next_run = min(self._next_run, now + jitter(self._poll_seconds))
            if word == DENIED and now - self._last_heard > self._poll_seconds:
                self._last_heard = now
                self._soon()

    def _gap_before(self, now: float) -> float:
        """How long a run for news waits: no server keeps the processor busy with its count."""
        calm = now - self._news_run > CALM
        self._left = min(float(BURST), self._left + (now - self._news_run) / PACE)
        self._gap = max(FIRST_GAP, (1.0 - self._left) * PACE)
        self._left -= 1.0
        self._news_run = now
        spread = self._spread * int.from_bytes(os.urandom(2), "big") / 65536
        return spread + (0.0 if calm else self._gap)

    # ---------------------------------------------------------------- this machine

    def _look_at_inhibitors(self, now: float) -> None:
        """When the last inhibitor has ended, what waited for it is looked at again."""
        held = anybody_holds(os.path.join(self._state, "inhibitors"))
        if self._held and not held:
            self._next_run = min(self._next_run, now)
            self._again = True
        self._held = held

    def _look_at_services(self, now: float) -> None:
        wanted, again = look(self._services, self._boot_id_file)
        self._next_services = now + again
        if wanted and not self._helper:
            try:
                self._helper = start_helper(self._services, self._boot_id_file)
            except OSError as error:
                _say(f"cannot look after the services: {error.strerror}")


def _ended(child: int) -> int | None:
    """The exit status of a child, or None while it lives."""
    try:
        done, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if done else None


def poke(state: str) -> bool:
    """Ask a running supervisor to look now; False if there is none."""
    try:
        fd = os.open(os.path.join(state, "agent", "pid"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # held: the number in it is that of a supervisor that lives
        told = os.read(fd, 32).strip()
        if told.isdigit():
            os.kill(int(told), signal.SIGHUP)
            return True
    finally:
        os.close(fd)
    return False


def main(state: str) -> int:
    """Run the supervisor over the state directory `state`; returns the exit status."""
    agent = os.path.join(state, "agent")
    os.makedirs(agent, mode=0o700, exist_ok=True)
    fd = os.open(os.path.join(agent, "pid"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _say(f"cannot run: another supervisor is at work in {state}")
        return EXIT_BUSY
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    Supervisor(state).run()
    return 0


def _nothing(_number: int, _frame: object) -> None:
    """A child ended: the wakeup pipe has told the loop."""


def _stop(_number: int, _frame: object) -> None:
    raise Stop


def _say(text: str) -> None:
    sys.stderr.write(f"allod-agent: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
