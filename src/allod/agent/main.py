"""`allod-agent`: the command of a device. Everything is imported where it is needed, not before."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

DEFAULT_STATE: Final = "/var/lib/allod"
_BUG: Final = 70  #: sysexits: an internal error


def parser() -> argparse.ArgumentParser:
    """The command's words (docs/reference/allod-agent.md)."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state",
        default=os.environ.get("ALLOD_AGENT_STATE", DEFAULT_STATE),
        metavar="DIR",
        help="the agent's state directory (default: %(default)s)",
    )
    printing = argparse.ArgumentParser(add_help=False)
    printing.add_argument("--json", action="store_true", help="print JSON")
    top = argparse.ArgumentParser(
        prog="allod-agent", description="Makes true on this device what its owner signed."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    bind = verbs.add_parser("bind", parents=[shared, printing], help="take an owner's invite")
    bind.add_argument("invite", help="the invite's file, or its URL 'allod:…'")
    bind.add_argument(
        "--offline", action="store_true", help="use no network; carry the record later"
    )
    unbind = verbs.add_parser(
        "unbind", parents=[shared, printing], help="end the binding; the device gets a new identity"
    )
    unbind.add_argument("--yes", action="store_true", help="do not ask")
    run = verbs.add_parser("run", parents=[shared], help="keep the device as its owner wants it")
    run.add_argument("--once", action="store_true", help="converge once and end")
    run.add_argument("--from", dest="stick", metavar="DIR", help="read a stick; implies --once")
    verbs.add_parser("status", parents=[shared, printing], help="what runs, and why")
    verbs.add_parser("report", parents=[shared], help="print the newest signed report")
    inhibit = verbs.add_parser(
        "inhibit", parents=[shared], help="run a command that must not be disturbed"
    )
    inhibit.add_argument("--why", required=True, help="the reason; it is reported to the owner")
    inhibit.add_argument("--name", default="", help="who asks (default: the command's name)")
    inhibit.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    verbs.add_parser("inhibitors", parents=[shared, printing], help="who must not be disturbed now")
    _consent(verbs, [shared, printing])
    _secret(verbs.add_parser("secret", help="secrets that stay on this device"), shared, printing)
    verbs.add_parser("version", parents=[printing], help="print the version")
    return top


def _consent(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    parents: list[argparse.ArgumentParser],
) -> None:
    verbs.add_parser("pending", parents=parents, help="what waits for somebody here to agree")
    approve = verbs.add_parser("approve", parents=parents, help="agree to a change that waits")
    decline = verbs.add_parser("decline", parents=parents, help="say no to a change that waits")
    for act in (approve, decline):
        act.add_argument(
            "package", nargs="?", help="like toaster, toaster@1.2, or the id that 'pending' shows"
        )


def _secret(
    secret: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
    printing: argparse.ArgumentParser,
) -> None:
    acts = secret.add_subparsers(dest="act", required=True, metavar="ACT")
    put = acts.add_parser("set", parents=[shared], help="keep a secret; its value comes from stdin")
    drop = acts.add_parser("remove", parents=[shared], help="forget a secret")
    show = acts.add_parser("list", parents=[shared, printing], help="names, never values")
    for act in (put, drop):
        act.add_argument("package", help="like toaster, or pkg:generic/acme/toaster")
        act.add_argument("name")
    show.add_argument("package", nargs="?", help="of this package only")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. Never shows a traceback to a user."""
    given = parser().parse_args(arguments)
    try:
        from allod.agent import commands

        return commands.dispatch(given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost edge
        return _failed(error)


def _failed(error: Exception) -> int:
    """Say in one line what could not be done, and what would mend it."""
    from allod.errors import AllodError

    if os.environ.get("ALLOD_TRACE"):
        raise error
    if isinstance(error, AllodError):
        said, status = error.message, error.exit_status
        reasons = getattr(error, "reasons", ())
        said += f" ({'; '.join(reasons)})" if reasons else ""
        said += f" [{error.code}]"
    elif isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        said, status = f"cannot use{where}: {error.strerror or error}", 1
    else:
        kind = type(error).__name__
        said, status = (
            f"cannot go on: a fault of the program ({kind}); ALLOD_TRACE=1 shows it",
            _BUG,
        )
    sys.stderr.write(f"allod-agent: {' '.join(said.split())}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
