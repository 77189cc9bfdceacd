"""Scheduled restarts: once, between two times, and rather missed than repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from allod.domain.desired import Restart
from allod.domain.restarts import Decision, RestartRecord, RestartState, decide

AT = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
ORDER = Restart("r1", AT, AT + timedelta(hours=1))


@pytest.mark.parametrize(
    ("state", "boot", "minutes", "busy", "decision"),
    [
        (None, "", -1, False, Decision.NOTHING),
        (None, "", 0, False, Decision.BEGIN),
        (None, "", 0, True, Decision.WAIT),
        (None, "", 61, False, Decision.MISS),
        (RestartState.BEGUN, "boot-1", 1, False, Decision.NOTHING),
        (RestartState.BEGUN, "boot-1", 61, False, Decision.MISS),
        (RestartState.BEGUN, "boot-0", 1, False, Decision.FINISH),
        (RestartState.BEGUN, "boot-0", 61, False, Decision.FINISH),
        (RestartState.DONE, "boot-0", 1, False, Decision.NOTHING),
        (RestartState.MISSED, "boot-1", 1, False, Decision.NOTHING),
    ],
)
def test_once_or_never(state, boot, minutes, busy, decision) -> None:
    """One that was begun is never begun again, whether or not this boot goes on."""
    record = None if state is None else RestartRecord(state, boot, AT)
    now = AT + timedelta(minutes=minutes)
    assert decide(ORDER, record, now=now, boot="boot-1", busy=busy) is decision
