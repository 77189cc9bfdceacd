"""Receipts: a device says under which entry of the log, and under which checkpoint, it acted.

A receipt is the device's own signed word; it holds if it fits the log that its reader knows. One
that does not is an alarm: the device was shown another history than its owner, or it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from allod.errors import InvalidInput, Untrusted
from allod.tlog.checkpoint import Checkpoint
from allod.tlog.lines import read_decimal, read_hash
from allod.tlog.merkle import EMPTY_ROOT, cover, fold
from allod.tlog.proofs import NodeReader, consistency_proof, verify_consistency
from allod.wire.report import Authority

FALSE_RECEIPT: Final = "false-receipt"
_WHAT: Final = "the checkpoint of a report"


@dataclass(frozen=True, slots=True)
class KnownEntries:
    """What a reader has verified of one log.

    Attributes:
        checkpoint: the newest that it accepted.
        nodes: where hashes come from; what it answers is proved before it counts.
        counted: role and version -> indices of the entries that counted for them.
    """

    checkpoint: Checkpoint
    nodes: NodeReader
    counted: Mapping[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)


def check_seen(size: int, root: bytes, known: KnownEntries) -> None:
    """Check that a checkpoint that a device accepted is a beginning of the log that is known.

    Raises:
        Untrusted: `other-history`: it is of another log; `log-withheld`: it is longer than what
            the reader was shown.
        InvalidInput: `bad-tile`: the hashes that are served are not those of the log.
    """
    newest = known.checkpoint
    if size > newest.size:
        raise Untrusted(
            "log-withheld",
            f"cannot follow the device: it saw {size} entries of the log, and here are "
            f"{newest.size}; the server shows them to it and not to you",
            size=size,
        )
    if size in {0, newest.size}:
        same = root == (newest.root if size else EMPTY_ROOT)
    else:
        same = root == _root_at(size, known)
    if not same:
        raise Untrusted(
            "other-history",
            f"cannot accept the device's checkpoint of {size} entries: it is no beginning of the "
            "log that is shown here; the device was shown another history",
            size=size,
        )


def _root_at(size: int, known: KnownEntries) -> bytes:
    """The root that the log had at a size; hashes that are not the log's accuse no device."""
    newest = known.checkpoint
    root = fold(known.nodes.node(*place) for place in cover(0, size))
    try:
        proof = consistency_proof(size, newest.size, known.nodes)
        verify_consistency(size, newest.size, proof, root, newest.root)
    except Untrusted as error:
        raise InvalidInput(
            "bad-tile",
            f"cannot tell what {newest.origin} was with {size} entries: its tiles are damaged",
        ) from error
    return root


def read_seen(text: str) -> tuple[int, bytes]:
    """Size and root as a report names them. Raises InvalidInput `bad-checkpoint`."""
    size, _, root = text.partition(" ")
    return (
        read_decimal(size, _WHAT, code="bad-checkpoint"),
        read_hash(root, _WHAT, code="bad-checkpoint"),
    )


def check_logs(said: Mapping[str, str], logs: Mapping[str, KnownEntries]) -> None:
    """Check the newest checkpoints that a report names: log origin -> size and root.

    Raises:
        Untrusted: `other-history`, `log-withheld`, `wrong-log`: the owner names no such log.
        InvalidInput: `bad-checkpoint`.
    """
    for origin, text in said.items():
        check_seen(*read_seen(text), _log(origin, logs))


def check_receipt(authority: Authority, logs: Mapping[str, KnownEntries]) -> bool:
    """Check one receipt.

    Args:
        authority: of a change, from the device's signed report.
        logs: by origin, as their reader knows them.

    Returns:
        Whether it names a log at all; a fleet without one has no receipts.

    Raises:
        Untrusted: `false-receipt`: the entry that it names is another one, does not count, or is
            beyond its checkpoint; and what `check_logs` raises.
        InvalidInput: `bad-checkpoint`.
    """
    seen, index = authority.checkpoint, authority.log_index
    if seen is None and index is None:
        return False
    what = f"the receipt for {authority.role} {authority.version}"
    if seen is None or index is None:
        raise Untrusted("false-receipt", f"cannot accept {what}: it names half of its evidence")
    known = _log(seen.origin, logs)
    check_seen(seen.size, read_hash(seen.root, _WHAT, code="bad-checkpoint"), known)
    if not 0 <= index < seen.size:
        raise Untrusted(
            "false-receipt",
            f"cannot accept {what}: entry {index} is beyond its {seen.size} entries",
        )
    if index not in known.counted.get((authority.role, authority.version), ()):
        raise Untrusted(
            "false-receipt",
            f"cannot accept {what}: entry {index} of the log does not count for it",
            index=index,
        )
    return True


def _log(origin: str, logs: Mapping[str, KnownEntries]) -> KnownEntries:
    known = logs.get(origin)
    if known is None:
        raise Untrusted(
            "wrong-log", f"cannot accept a checkpoint of {origin[:120]!r}: you name no such log"
        )
    return known
