"""`allod audit fork`: a piece of evidence, checked by itself (docs/spec/log.md)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allod.cli.options import OPTIONS, Options
from allod.errors import Unavailable, Untrusted
from allod.tlog.fork import FORK_CAP, Fork, parse_fork
from allod.tlog.note import VerifierKey, parse_key

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.tlog.checkpoint import SignedCheckpoint


def fork(file: Path, *, key: str | None = None, options: Options = OPTIONS) -> None:
    """Check evidence that a log told two histories; it ends with 0 only if that is proven.

    Two checkpoints that are not yet proven to contradict are held against your fleet's log, if
    the evidence is about it.

    Args:
        file: The evidence, from a device's report, another auditor or this machine.
        key: The log's verifier key; without it the evidence has to be about your fleet's log.
        options: Options of every verb.
    """
    found = _read(file)
    fleet = options.open() if key is None else None
    verifier = _named(fleet, found.origin) if fleet is not None else parse_key(key or "")
    if not found.proven and fleet is not None:
        found.checkpoints(verifier.name, [verifier])
        found = completed(fleet, found, verifier) or found
    short, long = found.verify(verifier.name, [verifier])
    data = {
        "proven": True,
        "log": verifier.name,
        "key": str(verifier),
        "short": _data(short),
        "long": _data(long),
        "longBegan": _base64(found.root or b""),
        "cosignedBoth": _cosigners(found, verifier),
    }
    options.output.result(data, _says(found, short, long, verifier))


def completed(fleet: LocalFleet, found: Fork, key: VerifierKey) -> Fork | None:
    """Two checkpoints brought together with the log that this machine reads; None: no proof yet.

    Raises:
        Untrusted, Unavailable: what the server shows does not hold, or it cannot be reached.
    """
    from allod.cli.evidence import save_fork
    from allod.cli.refresh import refresh
    from allod.trust.fork_evidence import contradiction
    from allod.trust.statements import authority_log, log_prefix

    view = refresh(fleet, allow_expired=True)
    statement = view.repository.statement
    log = None if statement is None else authority_log(statement)
    own = view.repository.floors.log_floor(key.name)
    if log is None or own is None or log.origin != key.name:
        return None
    for signed in found.checkpoints(key.name, [key]):
        made = view.run(contradiction(log_prefix(log, fleet.id), signed, own))
        if made is not None and made.proven:
            save_fork(fleet, made)
            return made
    return None


def _read(file: Path) -> Fork:
    try:
        with file.open("rb") as opened:
            return parse_fork(opened.read(FORK_CAP + 1))
    except OSError as error:
        raise Unavailable("local-io", f"cannot read {file}: {error.strerror}") from error


def _named(fleet: LocalFleet, origin: str) -> VerifierKey:
    """The key of a log as the fleet's owner named it, from what was verified here."""
    from allod.trust.anchor import check_root
    from allod.trust.statements import check_statement

    anchor = fleet.anchor
    root = check_root(anchor.root).root
    logs = []
    if anchor.trust is not None:
        logs = check_statement(anchor.trust, fleet.id, root).logs
    for log in logs:
        if log.origin == origin:
            return parse_key(log.key)
    raise Untrusted(
        "wrong-log",
        f"cannot check this with what {fleet.name} names: the evidence is about the log "
        f"{origin[:120]!r}; give --key with that log's verifier key",
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(signed: SignedCheckpoint) -> dict[str, Any]:
    return {"size": signed.size, "root": _base64(signed.root)}


def _cosigners(found: Fork, own: VerifierKey) -> list[str]:
    """Who else signed both, by name: a witness that did was not honest, if the names are theirs."""
    names = [
        {line.name for line in note.signatures if (line.name, line.id) != (own.name, own.id)}
        for note in (found.short, found.long)
    ]
    return sorted(names[0] & names[1])


def _says(found: Fork, short: SignedCheckpoint, long: SignedCheckpoint, key: VerifierKey) -> str:
    began = _base64(found.root or b"")
    lines = [
        f"PROVEN: whoever holds the key of {key.name} showed two histories.",
        f"  It signed a log of {short.size} entries with the root {_base64(short.root)},",
        f"  and one of {long.size} entries, whose first {short.size} have the root {began}.",
        f"  The key: {key}",
        "No log has both. It speaks against nobody else: not against who wrote the entries.",
    ]
    if names := _cosigners(found, key):
        lines.append(
            f"Both carry cosignatures in the names of {', '.join(names)}: if they are good, these "
            "witnesses did not do their work."
        )
    return "\n".join(lines)
