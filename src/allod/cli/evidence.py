"""Evidence of forks on the owner's machine: `evidence/fork-<log>-<sizes>.evidence` of a fleet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from allod.durable import make_directory, write_atomic
from allod.errors import Untrusted
from allod.tlog.checkpoint import parse_checkpoint
from allod.tlog.fork import Fork
from allod.trust.fork_evidence import EVIDENCE, read_evidence

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.fleet import LocalFleet

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+", re.ASCII)


def fork_name(fork: Fork) -> str:
    """The name of its file: which log, and the sizes of the two checkpoints."""
    log = "/".join(fork.origin.split("/")[3:]) or fork.origin
    sizes = [parse_checkpoint(note.text).size for note in (fork.short, fork.long)]
    shown = _NOT_IN_NAMES.sub("-", log)[:40].strip("-") or "log"
    return f"fork-{shown}-{sizes[0]}-{sizes[1]}.evidence"


def save_fork(fleet: LocalFleet, fork: Fork) -> Path:
    """Keep it durably; what is not proven never takes the place of what is."""
    directory = fleet.directory / "evidence"
    make_directory(directory)
    path = directory / fork_name(fork)
    known = read_evidence(path.read_bytes()) if path.exists() else None
    if known is None or (fork.proven and not known.proven):
        write_atomic(path, fork.encode())
    return path


def with_evidence(fleet: LocalFleet, error: Untrusted) -> Untrusted:
    """The same refusal, saying where the evidence is, if this machine kept some."""
    fork = None
    if error.code == "log-consistency":
        fork = read_evidence(fleet.cached().get(EVIDENCE))
    if fork is None:
        return error
    what = "evidence" if fork.proven else "two checkpoints, not yet proven to contradict,"
    return Untrusted(
        "log-consistency",
        f"{error.message}; {what} in {save_fork(fleet, fork)} ('allod audit fork')",
        **error.details,
    )
