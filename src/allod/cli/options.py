"""What every verb of the `allod` command takes, and the ports that the composition root fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from allod.cli.output import Output
from allod.cli.passphrase import Passphrase
from allod.errors import Unavailable

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet


#: The option that stands for a yes to every question.
Sure = Annotated[bool, Parameter(name=["--yes", "-y"], negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options of every verb.

    Args:
        json: Answer with one JSON document.
        fleet: Which fleet, if this machine knows several (or set ALLOD_FLEET).
        passphrase_file: Read the passphrase of the keys from here (or set ALLOD_PASSPHRASE_FILE).
    """

    json: Annotated[bool, Parameter(negative="")] = False
    fleet: str | None = None
    passphrase_file: Path | None = None

    @property
    def output(self) -> Output:
        """Where the verb's answer goes."""
        return Output(json=self.json)

    def passphrase(self) -> Passphrase:
        """The passphrase, not yet asked for."""
        return Passphrase(self.passphrase_file)

    def open(self) -> LocalFleet:
        """The fleet that is meant.

        Raises:
            InvalidInput: `which-fleet`.
            Unavailable: `no-fleet`.
        """
        from allod.cli.fleet import LocalFleet

        return LocalFleet.open(self.fleet, passphrase=self.passphrase())


#: Shared default, so that a verb's signature can say `options: Options = OPTIONS`.
OPTIONS = Options()


def _system_clock() -> datetime:
    return datetime.now(UTC)


_CLOCK: ContextVar[Callable[[], datetime]] = ContextVar("clock", default=_system_clock)


@contextmanager
def another_clock(clock: Callable[[], datetime]) -> Iterator[None]:
    """Another clock within this context."""
    token = _CLOCK.set(clock)
    try:
        yield
    finally:
        _CLOCK.reset(token)


def now() -> datetime:
    """The time on the owner's machine, in whole seconds (it stands in signed documents)."""
    return _CLOCK.get()().replace(microsecond=0)


#: Makes the embedded server in a directory, to be reached under an address; returns its offer.
MakeServer = Callable[[Path, str], bytes]

#: Lets the embedded server in a directory ask a witness, by its key, at an address.
AskWitness = Callable[[Path, str, str], None]

_MAKE_SERVER: ContextVar[MakeServer | None] = ContextVar("make_server", default=None)
_ASK_WITNESS: ContextVar[AskWitness | None] = ContextVar("ask_witness", default=None)


def provide_server(make: MakeServer, ask_witness: AskWitness) -> None:
    """Called once by the composition root, the only room that knows cli and server."""
    _MAKE_SERVER.set(make)
    _ASK_WITNESS.set(ask_witness)


def make_server(directory: Path, url: str) -> bytes:
    """Make the embedded server. Raises Unavailable `no-embedded-server` where none is installed."""
    make = _MAKE_SERVER.get()
    if make is None:
        raise Unavailable(
            "no-embedded-server",
            "cannot make a server here: install allod[server], or give --server-offer",
        )
    return make(directory, url)


def ask_witness(directory: Path | None, key: str, url: str) -> str:
    """Let the server in a directory ask a witness; returns what is to be done elsewhere, if so."""
    ask = _ASK_WITNESS.get()
    if ask is None or directory is None or not directory.is_dir():
        return f"On the server, run: allod server witness {key} {url}"
    ask(directory, key, url)
    return ""
