"""By whose word a change is lawful: the receipt that goes into journal and report."""

from __future__ import annotations

from typing import Final

import msgspec

from allod.agent.view import View
from allod.domain.approval import Approval
from allod.domain.desired import OWNER
from allod.domain.ids import Scope
from allod.domain.resolution import (
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedRestart,
    ResolvedSoftware,
    Unresolved,
)
from allod.wire.codec import instant
from allod.wire.report import ApprovalSeen, Authority

_MOST: Final = 64  #: reasons, and approvals
_REASON_CAP: Final = 300


def receipt(
    view: View,
    half: ResolvedSoftware | ResolvedConfiguration | Unresolved,
    reasons: tuple[str, ...] = (),
) -> Authority | None:
    """The document of whoever decides, what the terms said, and who approved; None: nobody does."""
    if isinstance(half, Unresolved):
        return None
    found = _document(view, half.manager, half.scope)
    return None if found is None else _with(found, half.manager, reasons, half.approved)


def restart_receipt(
    view: View, order: ResolvedRestart, reasons: tuple[str, ...]
) -> Authority | None:
    """The same for a restart of the machine."""
    found = _document(view, order.manager, order.scope)
    return None if found is None else _with(found, order.manager, reasons, ())


def _document(view: View, manager: str, scope: Scope) -> Authority | None:
    if manager == OWNER:
        return view.authorities.get(scope)
    return view.delegate_authorities.get((manager, scope))


def _with(
    found: Authority, manager: str, reasons: tuple[str, ...], approved: tuple[Approval, ...]
) -> Authority:
    return msgspec.structs.replace(
        found,
        delegation=None if manager == OWNER else manager,
        reasons=[reason[:_REASON_CAP] for reason in reasons[:_MOST]],
        approvals=[
            ApprovalSeen(kind=one.kind, person=one.person, ticket=one.ticket, at=instant(one.at))
            for one in approved[:_MOST]
        ],
    )


def managers_of(wanted: ResolvedPackage) -> frozenset[str]:
    """Whose word counts for a package now."""
    halves = (wanted.software, wanted.configuration)
    return frozenset(half.manager for half in halves if not isinstance(half, Unresolved))


def changed_by(wanted: ResolvedPackage, *, software: bool, configuration: bool) -> tuple[str, ...]:
    """By whose word what runs of a package changes, in these of its halves."""
    halves = [wanted.software] if software else []
    changed = [*halves, *([wanted.configuration] if configuration else [])]
    return tuple(sorted({half.manager for half in changed if not isinstance(half, Unresolved)}))
