"""Where every key of a fleet lies, and until when its word is good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from allod.wire.codec import instant

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.cli.refresh import View


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key."""

    role: str
    id: str
    state: str
    where: str
    created: str
    expires: str  #: of what it signed last; empty where nothing expires
    note: str


def key_rows(fleet: LocalFleet, *, ask: bool, at: datetime) -> list[KeyRow]:
    """All keys that this machine holds or the fleet's root names.

    Args:
        fleet: whose.
        ask: fetch the newest root; without it only local knowledge is shown.
        at: now, to say what is more than half over.
    """
    expiry, named, half_over = _published(fleet, at) if ask else ({}, {}, set())
    rows = []
    shown = set()
    for record in fleet.keys.records():
        held = "this machine" if record.file is not None else "elsewhere"
        notes = [record.note] if record.note else []
        if record.state == "current" and record.role in half_over:
            notes.append("more than half over: 'allod keys renew'")
        if record.state == "current" and record.id not in named.get(record.role, {record.id}):
            notes.append("NOT named by the fleet's root")
        until = expiry.get(record.role, "") if record.state == "current" else ""
        row = KeyRow(
            record.role, record.id, record.state, held, record.created, until, "; ".join(notes)
        )
        rows.append(row)
        shown.add(record.id)
    for role, ids in named.items():
        for key_id in sorted(ids - shown):
            where = "the server" if role in {"snapshot", "timestamp"} else "elsewhere"
            rows.append(KeyRow(role, key_id, "current", where, "", expiry.get(role, ""), ""))
    return sorted(rows, key=lambda row: (row.role, row.state, row.created))


def _published(
    fleet: LocalFleet, at: datetime
) -> tuple[dict[str, str], dict[str, set[str]], set[str]]:
    from allod.cli.refresh import refresh

    view = refresh(fleet, allow_expired=True)
    root = view.repository.root
    named = {role: set(entry.keyids) for role, entry in root.roles.items()}
    expiry = {"root": instant(root.expires)} | {
        role: instant(expires) for role, expires in _expiries(view).items()
    }
    return expiry, named, _half_over(view, at)


def _expiries(view: View) -> dict[str, datetime]:
    from allod.trust.metadata import read

    return {
        role: read(data, role).signed.expires
        for role, data in view.repository.files.items()
        if role in {"targets", "snapshot", "timestamp"}
    }


def _half_over(view: View, at: datetime) -> set[str]:
    from allod.cli.proposing import lives_of
    from allod.trust.authoring import RepositoryDraft

    draft = RepositoryDraft.from_repository(view.repository, lives_of(view.fleet))
    return {role for role in draft.renew(at) if role in {"root", "targets"}}
