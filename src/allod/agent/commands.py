"""What the verbs of `allod-agent` do. Each returns the exit status."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import allod
from allod.errors import InvalidInput, Refused, Unavailable

if TYPE_CHECKING:
    from allod.agent.state_dir import StateDir
    from allod.domain.ids import Purl
    from allod.wire.proposed import ProposedDelegation

_PATIENCE: Final = 30.0  #: seconds that a command waits for the worker to end


def dispatch(given: argparse.Namespace) -> int:
    """Do what was asked."""
    if given.verb in {"pending", "approve", "decline"}:
        from allod.agent import commands_consent

        return int(getattr(commands_consent, given.verb)(given))
    verb = given.verb if given.verb != "secret" else f"secret {given.act}"
    act: Callable[[argparse.Namespace], int] = _VERBS[verb]
    return act(given)


def _open(given: argparse.Namespace, *, create: bool = False) -> StateDir:
    from allod.agent.state_dir import open_state

    return open_state(Path(given.state).absolute(), create=create)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say_json(value: Any) -> None:
    _say(json.dumps(value, indent=2, sort_keys=True))


# -------------------------------------------------------------------- binding


def bind(given: argparse.Namespace) -> int:
    """Take an invite."""
    from allod.agent.binding import Binder
    from allod.agent.clock import SystemClock
    from allod.agent.inventory import SystemHost
    from allod.agent.invites import read_invite
    from allod.agent.link import connector
    from allod.agent.settings import load_settings
    from allod.agent.supervisor import poke

    data = read_invite(given.invite)
    state = _open(given, create=True)
    settings = load_settings(state.settings_file)
    clock = SystemClock(Path(settings.boot_id_file))
    connect = None if given.offline else connector(state, clock)
    with state.lock(patience=_PATIENCE):
        facts, proposes = SystemHost(settings.facts).facts(), _proposed(settings.proposal_file)
        bound = Binder(state, clock, facts, connect, proposes).bind(data)
    poke(str(state.root))
    if given.json:
        _say_json(
            {
                "device": bound.device,
                "epoch": bound.epoch,
                "fleet": bound.fleet,
                "name": bound.name,
                "groups": list(bound.groups),
                "handedIn": bound.handed_in,
            }
        )
        return 0
    _say(f"This device belongs to {bound.name!r} now. Its id is {bound.device}.")
    if not bound.handed_in:
        _say("The fleet does not know yet: the record is handed in at the next contact.")
    return 0


def _proposed(place: str) -> ProposedDelegation | None:
    """What the device's maker has it propose to its owner; a damaged wish stops no binding."""
    from allod.wire.proposed import decode_proposed

    try:
        return decode_proposed(Path(place).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, InvalidInput) as error:
        sys.stderr.write(f"allod-agent: {place} is left out: {error}\n")
        return None


def unbind(given: argparse.Namespace) -> int:
    """End the binding from the machine itself."""
    from allod.agent.binding import Binder
    from allod.agent.clock import SystemClock
    from allod.agent.supervisor import poke

    state = _open(given)
    if not given.yes:
        if not sys.stdin.isatty():
            raise Refused("not-confirmed", "cannot unbind without being sure: add --yes")
        sys.stdout.write(
            "What is installed runs on, but the device's identity ends. Type 'unbind': "
        )
        sys.stdout.flush()
        if sys.stdin.readline().strip() != "unbind":
            raise Refused("not-confirmed", "cannot unbind: it was not confirmed")
    with state.lock(patience=_PATIENCE):
        Binder(state, SystemClock(), {}).unbind()
    poke(str(state.root))
    if given.json:
        _say_json({"unbound": True})
    else:
        _say("This device belongs to nobody now.")
    return 0


# -------------------------------------------------------------------- running


def run(given: argparse.Namespace) -> int:
    """Become the supervisor, or converge once."""
    from allod.agent.supervisor_worker import Choice, command

    state = _open(given, create=True)
    if not given.once and given.stick is None:
        # A fresh process: what was imported to read the command line is not kept in memory, nor
        # is what other packages hook into the start of every interpreter.
        code = (
            "import sys; sys.path.append(sys.argv[2]); "
            "from allod.agent.supervisor import main; sys.exit(main(sys.argv[1]))"
        )
        os.environ.setdefault("MALLOC_ARENA_MAX", "1")
        home = str(Path(allod.__file__).parents[1])
        words = [sys.executable, "-OO", "-I", "-S", "-c", code, str(state.root), home]
        os.execv(words[0], words)  # noqa: S606 - our own interpreter
    options = ["--once"] if given.stick is None else ["--once", "--from", given.stick]
    settings_seconds = float("inf")
    candidate = Choice(str(state.root), settings_seconds).pick(0.0)
    if candidate.tree:
        words, environment = command(candidate, str(state.root), tuple(options))
        os.execve(words[0], words, environment)  # noqa: S606 - our own interpreter
    from allod.agent.worker import main as work

    return work(["--state", str(state.root), *options])


# -------------------------------------------------------------------- knowing


def status(given: argparse.Namespace) -> int:
    """What runs, and why."""
    from allod.agent.status import collect, in_words

    found = collect(_open(given, create=False))
    if given.json:
        _say_json(found)
    else:
        _say(in_words(found))
    return 0


def report(given: argparse.Namespace) -> int:
    """Print the newest signed report, as it was or will be handed in."""
    from allod.agent.status import newest_report

    envelope = newest_report(_open(given, create=False))
    if envelope is None:
        raise Unavailable(
            "no-report",
            "cannot print a report: none was made yet; 'allod-agent run --once' makes one",
        )
    _say(envelope.decode())
    return 0


def version(given: argparse.Namespace) -> int:
    """Print the version."""
    if given.json:
        _say_json({"version": allod.__version__})
    else:
        _say(f"allod-agent {allod.__version__}")
    return 0


# -------------------------------------------------------------------- not being disturbed


def inhibit(given: argparse.Namespace) -> int:
    """Run a command; until it ends, nothing is activated."""
    from datetime import UTC, datetime

    from allod.agent.inhibit import run_inhibited, run_inhibited_by_guest

    words = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not words:
        raise InvalidInput("no-command", "cannot inhibit for nothing: add '-- COMMAND'")
    name = given.name or Path(words[0]).name
    now = datetime.now(UTC)
    root = Path(given.state).absolute()
    if root.is_dir() and root.stat().st_uid != os.geteuid():
        run_inhibited_by_guest(root, name, given.why, words)
    run_inhibited(_open(given).inhibitors, name, given.why, words, since=now)


def inhibitors(given: argparse.Namespace) -> int:
    """Who asks not to be disturbed."""
    from allod.agent.inhibit import held
    from allod.wire.codec import instant

    found = held(_open(given).inhibitors)
    if given.json:
        _say_json(
            [{"name": one.name, "why": one.why, "since": instant(one.since)} for one in found]
        )
        return 0
    for one in found:
        _say(f"{one.name}: {one.why} (since {instant(one.since)})")
    return 0


# -------------------------------------------------------------------- secrets


def _package(text: str, state: StateDir) -> Purl:
    """The package that somebody means: named whole, or by its last part if only one has it."""
    from allod.agent.view import load_view
    from allod.domain.ids import Purl, package_name, parse_purl, purl_of_file

    if text.startswith("pkg:"):
        return parse_purl(text)
    view = load_view(state.accepted)
    known: set[Purl] = set()
    if view is not None:
        known = {Purl(purl) for document in view.documents.values() for purl in document.packages}
    with contextlib.suppress(FileNotFoundError):
        known |= {purl_of_file(path.name) for path in state.secrets.iterdir()}
    meant = sorted(purl for purl in known if package_name(purl) == text)
    if len(meant) == 1:
        return meant[0]
    which = (
        ", ".join(meant) or "none on this device ends so; name it whole, like pkg:generic/me/oven"
    )
    raise InvalidInput("bad-package", f"cannot tell which package {text[:80]!r} is: {which}")


def secret_set(given: argparse.Namespace) -> int:
    """Keep a secret; its value comes from standard input, never from the command line."""
    from allod.agent.secrets import SECRET_CAP, SecretStore
    from allod.agent.supervisor import poke

    state = _open(given, create=True)
    package = _package(given.package, state)
    if sys.stdin.isatty():
        from getpass import getpass

        value = getpass(f"{given.name}: ").encode()
    else:
        value = sys.stdin.buffer.read(SECRET_CAP + 2)
    with state.lock(patience=_PATIENCE):
        SecretStore(state.secrets).set(package, given.name, value)
    poke(str(state.root))
    return 0


def secret_remove(given: argparse.Namespace) -> int:
    """Forget a secret."""
    from allod.agent.secrets import SecretStore
    from allod.agent.supervisor import poke

    state = _open(given)
    with state.lock(patience=_PATIENCE):
        SecretStore(state.secrets).remove(_package(given.package, state), given.name)
    poke(str(state.root))
    return 0


def secret_list(given: argparse.Namespace) -> int:
    """Names, never values."""
    from allod.agent.secrets import SecretStore
    from allod.domain.ids import purl_of_file

    state = _open(given)
    if given.package is not None:
        packages = [_package(given.package, state)]
    else:
        packages = [purl_of_file(path.name) for path in sorted(state.secrets.iterdir())]
    store = SecretStore(state.secrets)
    found = {package: sorted(store.names(package)) for package in packages}
    if given.json:
        _say_json(found)
        return 0
    for package, names in found.items():
        for name in names:
            _say(f"{package} {name}")
    return 0


_VERBS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "bind": bind,
    "unbind": unbind,
    "run": run,
    "status": status,
    "report": report,
    "version": version,
    "inhibit": inhibit,
    "inhibitors": inhibitors,
    "secret set": secret_set,
    "secret remove": secret_remove,
    "secret list": secret_list,
}
