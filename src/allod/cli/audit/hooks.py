"""Where a monitor's alarms go: a command, a webhook. One that fails is tried again, in order."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from allod.errors import InvalidInput
from allod.wire.codec import encode

COMMAND_TIMEOUT: Final = 60.0  #: seconds
WEBHOOK_TIMEOUT: Final = 10.0  #: seconds
TRIES: Final = 3  #: of a webhook in one look
PAUSE: Final = 1.0  #: seconds before it is tried again, doubled each time
SHOWN: Final = 200


class Told(Protocol):
    """What is brought: an alarm, or news of a flaw; a document that can be written as JSON."""

    @property
    def code(self) -> str:
        """Which kind of thing happened."""
        ...

    @property
    def event(self) -> str:
        """What became of it: begun, or over."""
        ...

    @property
    def fleet(self) -> str:
        """Whose fleet it is about."""
        ...


class Hook(Protocol):
    """A place that alarms are brought to."""

    @property
    def name(self) -> str:
        """Under which it is remembered what it has not taken."""
        ...

    def take(self, event: Told) -> str:
        """Bring one there; why it failed, in words, or nothing."""
        ...


class Waits(Protocol):
    """Something that some hooks have not taken yet."""

    @property
    def event(self) -> Told:
        """What is to be brought."""
        ...

    @property
    def hooks(self) -> list[str]:
        """Names of those that it is still to be brought to."""
        ...


def bring(
    waiting: Sequence[Waits], hooks: Sequence[Hook], taken: Callable[[Told, str], None]
) -> Mapping[str, str]:
    """Bring what waits to hooks, oldest first; name -> why it failed, in words.

    A hook that fails is not asked again this time; what it lacks stays.

    Args:
        waiting: what is to be brought.
        hooks: those that are there now.
        taken: notes, durably, that one of them, by name, has taken an event.
    """
    failed: dict[str, str] = {}
    for one in waiting:
        for hook in hooks:
            if hook.name not in one.hooks or hook.name in failed:
                continue
            why = hook.take(one.event)
            if why:
                failed[hook.name] = why
            else:
                taken(one.event, hook.name)
    return failed


@dataclass(frozen=True, slots=True)
class CommandHook:
    """A command, run once an alarm; it has taken it if it ends with 0 within a minute.

    It has the event as JSON on its standard input, and in its environment ALLOD_ALARM_CODE,
    ALLOD_ALARM_EVENT (`raised`, `resolved`, …) and ALLOD_FLEET_ID. No shell reads anything of it.
    """

    words: tuple[str, ...]
    timeout: float = COMMAND_TIMEOUT
    name: str = "command"

    @classmethod
    def of(cls, command: str) -> CommandHook:
        """Split as a shell would. Raises InvalidInput `bad-hook`."""
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise InvalidInput("bad-hook", f"cannot run {command[:80]!r}: {error}") from error
        if not words:
            raise InvalidInput("bad-hook", "cannot run a command without words")
        return cls(words)

    def take(self, event: Told) -> str:
        """See the port."""
        environment = {
            **os.environ,
            "ALLOD_ALARM_CODE": event.code,
            "ALLOD_ALARM_EVENT": event.event,
            "ALLOD_FLEET_ID": event.fleet,
        }
        try:
            done = subprocess.run(
                self.words,
                input=encode(event),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{self.words[0]} did not end within {self.timeout:g} s"
        except OSError as error:
            return f"{self.words[0]}: {error.strerror}"
        if done.returncode == 0:
            return ""
        said = done.stderr[-SHOWN:].decode(errors="replace").strip()
        return f"{self.words[0]} ended with {done.returncode}" + (f": {said}" if said else "")


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that events are posted to as JSON; any status of 2xx says that it took one."""

    url: str
    timeout: float = WEBHOOK_TIMEOUT
    sleep: Callable[[float], None] = time.sleep
    name: str = "webhook"

    @classmethod
    def of(cls, url: str) -> Webhook:
        """Check the address. Raises InvalidInput `bad-hook`."""
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"https", "http"} and bool(parts.hostname)
        except ValueError:
            good = False
        if not good or not url.isprintable():
            raise InvalidInput("bad-hook", f"cannot post to {url[:80]!r}: it is no https address")
        return cls(url)

    def take(self, event: Told) -> str:
        """See the port."""
        why = ""
        for turn in range(TRIES):
            if turn:
                self.sleep(PAUSE * 2 ** (turn - 1))
            why = self._post(event)
            if not why:
                return ""
        return why

    def _post(self, event: Told) -> str:
        import httpx2

        headers = {"content-type": "application/json", "allod-alarm-code": event.code}
        try:
            answer = httpx2.post(
                self.url,
                content=encode(event),
                headers=headers,
                timeout=self.timeout,
                follow_redirects=False,
            )
        except httpx2.HTTPError as error:
            return f"{urlsplit(self.url).hostname}: {str(error)[:SHOWN] or type(error).__name__}"
        if answer.is_success:
            return ""
        return f"{urlsplit(self.url).hostname} answered {answer.status_code}"
