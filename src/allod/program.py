"""The `allod` command: its composition root, the only module that knows both cli and server.

Verbs are loaded when they are used, so that `allod --help` stays quick. To add one, add a line to
`VERBS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from allod import __version__
from allod.errors import AllodError, InvalidInput, Refused

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


class Verb(NamedTuple):
    """One verb or noun of the command: what `--help` says, and where its code lies."""

    name: str
    where: str  #: module:attribute, a cyclopts App or a function
    help: str
    group: str


_RESTORED: Final = (
    "the server shows less than before: if it was restored, run 'allod server floors'"
)
_SUCCEED: Final = (
    "if the server was restored, run 'allod server floors'; if its log was lost or restored, let a "
    "successor follow it: 'allod trust log succeed'"
)
_WENT_BACK: Final = {
    "rollback": _RESTORED,
    "root-withheld": _RESTORED,
    "log-consistency": _SUCCEED,
    "log-restored": _SUCCEED,
    "log-missing": _SUCCEED,
}

_START: Final = "Start"
_CHANGE: Final = "Change"
_KNOW: Final = "Know"
_OWN: Final = "Own"

VERBS: Final = (
    Verb("init", "allod.cli.init:init", "Make a fleet of your own.", _START),
    Verb("serve", "allod.server.commands:serve", "Run the server.", _START),
    Verb("join", "allod.cli.join:join", "Act in somebody else's fleet.", _START),
    Verb("completion", "allod.program:completion", "Shell completion.", _START),
    Verb("device", "allod.cli.device:app", "Invite, list, move, rename, retire.", _CHANGE),
    Verb("group", "allod.cli.group:app", "Groups of devices and their settings.", _CHANGE),
    Verb("provider", "allod.cli.provider:app", "Whose releases may come onto devices.", _CHANGE),
    Verb("delegate", "allod.cli.delegate:app", "Let others decide, within terms.", _CHANGE),
    Verb("channel", "allod.cli.channel:app", "What providers publish to all.", _CHANGE),
    Verb("release", "allod.cli.release:app", "Build, push, import and verify releases.", _CHANGE),
    Verb("deploy", "allod.cli.deploy:deploy", "Let devices have a release.", _CHANGE),
    Verb("delete", "allod.cli.deploy:delete", "Remove a package from devices.", _CHANGE),
    Verb("configure", "allod.cli.configure:configure", "Set a package's configuration.", _CHANGE),
    Verb("rollout", "allod.cli.rollout:app", "Changes that come stage by stage.", _CHANGE),
    Verb("restart", "allod.cli.restart:restart", "Schedule one restart.", _CHANGE),
    Verb("hold", "allod.cli.restart:hold", "Let nothing change for a while.", _CHANGE),
    Verb("resume", "allod.cli.restart:resume", "End a hold.", _CHANGE),
    Verb("export", "allod.cli.export:export", "A stick for devices without a network.", _CHANGE),
    Verb("change", "allod.cli.change:app", "Changes that people approve first.", _CHANGE),
    Verb("undo", "allod.cli.history:undo", "Take a change back.", _CHANGE),
    Verb("history", "allod.cli.history:history", "What was changed, by whom and why.", _KNOW),
    Verb("show", "allod.cli.history:show", "What one change changed.", _KNOW),
    Verb("status", "allod.cli.status:status", "What runs where, and what is to.", _KNOW),
    Verb(
        "vulnerabilities",
        "allod.cli.vulnerabilities.verb:vulnerabilities",
        "Which reported flaws run where, and what mends them.",
        _KNOW,
    ),
    Verb("advisories", "allod.cli.advisories:app", "What is reported of software.", _KNOW),
    Verb("audit", "allod.cli.audit.app:app", "What the fleet's logs prove.", _KNOW),
    Verb("server", "allod.program:server_app", "Make, back up and mend a server.", _OWN),
    Verb("witness", "allod.program:witness_app", "Vouch that logs only grow.", _OWN),
    Verb("keys", "allod.cli.keys:app", "Back up, restore, renew and rotate keys.", _OWN),
    Verb("ceremony", "allod.cli.ceremony:app", "Root keys on separate machines.", _OWN),
    Verb("trust", "allod.cli.trust:app", "Where to ask; repairs; transfers.", _OWN),
    Verb("people", "allod.cli.people:app", "Who may speak to the server.", _OWN),
    Verb("verifier", "allod.cli.verifier:app", "Whose word on releases devices take.", _OWN),
    Verb("token", "allod.cli.token:app", "Named tokens for programs.", _OWN),
)


def build() -> App:
    """The command with all its verbs, none of them loaded yet."""
    from cyclopts import App, Group, Parameter

    app = App(
        name="allod",
        help="Software and configuration of your devices, under your own signature.",
        default_parameter=Parameter(negative=(), show_default=_default),
        version=__version__,
        version_flags=["--version"],
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    groups = {
        name: Group(name, sort_key=at) for at, name in enumerate((_START, _CHANGE, _KNOW, _OWN))
    }
    for verb in VERBS:
        app.command(verb.where, name=verb.name, help=verb.help, group=groups[verb.group])
    return app


def _default(value: object) -> str | None:
    """How help shows what holds where nothing is given; nothing is not shown."""
    return None if value in (None, False, "", ()) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (by the branch of the error)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    try:
        status = _run(given)
        sys.stdout.flush()
    except AllodError as error:
        _show(error, json="--json" in given)
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("\nallod: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    from allod.cli.options import provide_server

    provide_server(_make_server, _ask_witness)
    app = build()
    if not arguments or arguments[0] in {"--help", "-h"}:
        app.help_format = "plaintext"  # no need to load what renders the paragraphs of verbs
    try:
        answer = app(arguments)
    except CycloptsError as error:
        raise InvalidInput("bad-arguments", _misunderstood(error)) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        from allod.errors import Unavailable

        what = f"use {error.filename}" if error.filename else "say what came of it"
        raise Unavailable("local-io", f"cannot {what}: {error.strerror or error}") from error
    return answer if isinstance(answer, int) else 0


def _open_streams() -> None:
    """Standard streams that whoever started the command had closed lead nowhere, and not astray.

    Without this the next file that is opened would become standard output.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _misunderstood(error: CycloptsError) -> str:
    """What was wrong with the words, and where to read on: the help of the verb that was meant."""
    from cyclopts import MissingArgumentError, UnknownCommandError

    verb = " ".join(("allod", *(error.command_chain or ())))
    if isinstance(error, UnknownCommandError):
        from difflib import get_close_matches

        word = (error.unused_tokens or ["?"])[0]
        known = [name for name in error.app or () if not name.startswith("-")]
        near = get_close_matches(word, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"see '{verb} --help'"
        if word.startswith("-"):
            hint = "options stand behind the verb, as in 'allod status --json'"
        return f"cannot understand {word[:40]!r}: {hint}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        if not error.argument.field_info.is_positional:
            return f"cannot run '{verb}': {name} needs a value; see '{verb} --help'"
        return f"cannot run '{verb}' without {name.lstrip('-').upper()}; see '{verb} --help'"
    text = " ".join(str(error).split()).rstrip(".")
    return f"cannot understand the command: {text}; see '{verb} --help'"


def _show(error: AllodError, *, json: bool) -> None:
    reasons = error.reasons if isinstance(error, Refused) else ()
    if json:
        import msgspec

        problem = {
            "code": error.code,
            "message": error.message,
            "reasons": list(reasons),
            "details": {key: str(value) for key, value in error.details.items()},
            "page": error.page,
        }
        sys.stderr.write(msgspec.json.encode({"error": problem}).decode() + "\n")
        return
    sys.stderr.write(f"allod: {error.message} [{error.code}]\n")
    if error.code in _WENT_BACK:
        sys.stderr.write(f"  {_WENT_BACK[error.code]}\n")
    for reason in reasons:
        sys.stderr.write(f"  because {reason}\n")


def __getattr__(name: str) -> App:
    """The apps `server_app` and `witness_app`, put together when they are asked for.

    Telling a restored server where the floors are is the owner's act, with the owner's key, but
    it belongs beside `allod server restore` for whoever looks for it.
    """
    if name == "witness_app":
        from allod.server.witness.commands import app as witness

        if "submit" not in witness:
            witness.command(
                "allod.cli.witness_submit:submit",
                name="submit",
                help="Show a log of your fleet to a witness.",
            )
        return witness
    if name != "server_app":
        raise AttributeError(name)
    from allod.server.commands import app

    if "floors" not in app:
        app.command(
            "allod.cli.floors:floors", name="floors", help="Bring a restored server up to date."
        )
    return app


def completion(
    shell: Literal["bash", "zsh", "fish"] | None = None, *, install: bool = False
) -> None:
    """Print the completion script of a shell, or install it.

    Args:
        shell: Found from the environment unless given.
        install: Put the script where the shell finds it, and load it from the start-up file.
    """
    from cyclopts.completion.detect import ShellDetectionError

    app = build()
    try:
        if install:
            path = app.install_completion(shell=shell)
            sys.stdout.write(f"Completion is in {path}; start a new shell.\n")
            if path.name.startswith("_"):
                sys.stdout.write("zsh loads it if ~/.zshrc has: autoload -U compinit && compinit\n")
        else:
            sys.stdout.write(app.generate_completion(shell=shell))
    except ShellDetectionError as error:
        raise InvalidInput(
            "which-shell", "cannot tell your shell: say bash, zsh or fish"
        ) from error


def _make_server(directory: Path, url: str) -> bytes:
    """The embedded server, for `allod init`; it listens beyond this machine if its name does."""
    from urllib.parse import urlsplit

    from allod.cli.options import now
    from allod.server.setup import initialise

    local = urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}
    settings = initialise(
        directory,
        url=url,
        now=now(),
        address="127.0.0.1" if local else "0.0.0.0",  # noqa: S104
    )
    return settings.layout.offer.read_bytes()


def _ask_witness(directory: Path, key: str, url: str) -> None:
    """Let the embedded server ask a witness; it may run meanwhile."""
    from allod.server.layout import ServerDirectory
    from allod.server.services.witnesses import add_witness

    add_witness(ServerDirectory(directory), key, url)


if __name__ == "__main__":
    sys.exit(main())
