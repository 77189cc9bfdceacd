"""Receipts: a device says under which entry of the log, and under which checkpoint, it acted.

A receipt is the device's own signed word; it holds if it fits the log that its reader knows. One
that does not is an alarm: the device was shown another history than its owner, or it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from allod.errors import Untrusted
from allod.tlog.checkpoint import Checkpoint
from allod.tlog.lines import read_decimal, read_hash
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.proofs import NodeReader, consistency_proof, verify_consistency
from allod.wire.report import Authority

OTHER_HISTORY: Final = "other-history"
FALSE_RECEIPT: Final = "false-receipt"
LOG_WITHHELD: Final = "log-withheld"
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
    """
    newest = known.checkpoint
    if size > newest.size:
        raise Untrusted(
            LOG_WITHHELD,
            f"cannot follow the device: it saw {size} entries of the log, and here are "
            f"{newest.size}; the server shows them to it and not to you",
            size=size,
        )
    try:
        if size == 0:
            same = root == EMPTY_ROOT
        elif size == newest.size:
            same = root == newest.root
        else:
            proof = consistency_proof(size, newest.size, known.nodes)
            verify_consistency(size, newest.size, proof, root, newest.root)
            same = True
    except Untrusted:
        same = False
    if not same:
        raise Untrusted(
            OTHER_HISTORY,
            f"cannot accept the device's checkpoint of {size} entries: it is no beginning of the "
            "log that is shown here; the device was shown another history",
            size=size,
        )


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
        raise Untrusted(FALSE_RECEIPT, f"cannot accept {what}: it names half of its evidence")
    known = _log(seen.origin, logs)
    check_seen(seen.size, read_hash(seen.root, _WHAT, code="bad-checkpoint"), known)
    if not 0 <= index < seen.size:
        raise Untrusted(
            FALSE_RECEIPT, f"cannot accept {what}: entry {index} is beyond its {seen.size} entries"
        )
    if index not in known.counted.get((authority.role, authority.version), ()):
        raise Untrusted(
            FALSE_RECEIPT,
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
