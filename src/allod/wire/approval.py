"""Approvals: DSSE with payload type `APPROVAL`, by a person of `fleet.json` (docs/spec/approval.md)."""

from __future__ import annotations

from typing import Final, Literal

from allod.wire.codec import Document

APPROVAL_CAP: Final = 16 * 1024


class ApprovalStatement(Document, kw_only=True, frozen=True):
    """The payload: a person's word about one entry of one change."""

    type: Literal["allod.approval"] = "allod.approval"
    format: Literal[1] = 1
    fleet: str
    scope: str
    manager: str  #: whose document it stands in: `owner` or a delegation's id
    package: str
    entry: str  #: digest of the resulting entry (`entry_digest`)
    change: str  #: id of the change
    verdict: Literal["approve", "reject"] = "approve"
    kind: str
    person: str
    at: str
    ticket: str = ""
    message: str = ""
