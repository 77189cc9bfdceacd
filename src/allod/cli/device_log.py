"""What devices say of the log, held against the log that this machine has verified.

A device's signed report names the newest checkpoint that it accepted, and for each change the
entry and the checkpoint under which it acted. A server that shows a device another history than
its owner is found out here, by the device's own hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from allod.audit.receipts import KnownEntries, check_logs, check_receipt, read_seen
from allod.cli.in_force import LogState, log_state
from allod.cli.logbook import Logbook, read_logbook
from allod.cli.refresh import View, refresh
from allod.domain.reported import Remark
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.tlog.tiles import Tile, TileReader
from allod.trust.statements import authority_log, log_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from allod.wire.report import Report


@dataclass(frozen=True, slots=True)
class FleetLog:
    """The fleet's authority log, as this machine knows it.

    Attributes:
        book: where each file stands in it; None: the fleet has no log.
        state: its size and who vouches for it.
        entries: what receipts are checked against, by origin.
        past: origins of logs that were succeeded; nothing is proved by them any more.
    """

    book: Logbook | None = None
    state: LogState | None = None
    entries: dict[str, KnownEntries] | None = None
    past: frozenset[str] = frozenset()

    def remarks(self, report: Report) -> tuple[Remark, ...]:
        """Alarms of one verified report; empty: all that it says of the log fits.

        Raises:
            Unavailable: the server does not show what it takes to tell.
        """
        if self.entries is None:
            return ()
        found: list[Remark] = []
        said = {origin: at for origin, at in report.trust.logs.items() if origin not in self.past}
        try:
            check_logs(said, self.entries)
        except Unavailable:
            raise
        except AllodError as error:
            found.append(Remark(error.code, error.message))
        for change in report.changes:
            authority = change.authority
            seen = None if authority is None else authority.checkpoint
            if authority is None or (seen is not None and seen.origin in self.past):
                continue
            try:
                check_receipt(authority, self.entries)
            except Unavailable:
                raise
            except AllodError as error:
                found.append(Remark(error.code, error.message, change.package))
        return tuple(dict.fromkeys(found))

    def receipts(self, report: Report) -> int:
        """How many receipts of a report without remarks the log has proved."""
        found = [one.authority for one in report.changes if one.authority is not None]
        return sum(
            one.checkpoint is not None and one.checkpoint.origin not in self.past for one in found
        )


def fleet_log(view: View, reports: Iterable[Report] = ()) -> FleetLog:
    """Read the log on to where it is now, and beyond what devices say that they saw.

    Raises:
        Untrusted, Unavailable: as the walk of `view`.
    """
    book = read_logbook(view)
    if book is None:
        return FleetLog()
    sizes = [_size(at) for one in reports for at in (one.trust.logs.get(book.origin),) if at]
    if max(sizes, default=0) > book.known.signed.size:
        # Devices looked meanwhile; what is still longer then is withheld from this machine.
        view = refresh(view.fleet, allow_unwitnessed=True)
        book = read_logbook(view) or book
    statement = view.repository.statement
    log = None if statement is None else authority_log(statement)
    if statement is None or log is None:
        return FleetLog()
    prefix = log_prefix(log, view.fleet.id)

    def tile(wanted: Tile) -> bytes:
        path = f"{prefix}/{wanted.path}"
        data = view.fleet.client.file(path, cap=wanted.cap)
        if data is None:
            raise Unavailable("withheld", f"cannot check the log: the server lacks {path}")
        return data

    signed = book.known.signed
    known = KnownEntries(signed.checkpoint, TileReader(signed.size, tile), book.counted)
    past = frozenset(one.origin for one in statement.logs) - {log.origin}
    return FleetLog(book, log_state(view, book), {log.origin: known}, past)


def _size(text: str) -> int:
    try:
        return read_seen(text)[0]
    except InvalidInput:
        return 0
