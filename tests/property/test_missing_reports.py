"""Whatever reports are left out, in whatever steps they are looked at: only holes put in doubt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.test_seen import Device

from allod.cli.seen import begin_at, follow_on


@given(
    kinds=st.lists(st.booleans(), min_size=2, max_size=12),
    hidden=st.sets(st.integers(2, 12)),
    looks=st.lists(st.integers(1, 12), max_size=4),
)
def test_a_state_is_in_doubt_if_a_change_is_missing(
    kinds: list[bool], hidden: set[int], looks: list[int]
) -> None:
    """A hidden heartbeat is nothing; a hidden report with changes is a gap as soon as a later
    one is shown, at each look, until it is shown as well; then nothing is in doubt any more.
    """
    device = Device()
    reports = [device.say(change=change) for change in kinds]
    seen = follow_on(reports[:1], None).seen
    newest = 1
    for end in [*sorted(min(one, len(reports)) for one in looks), len(reports)]:
        shown = [one for one in reports[:end] if one.report.sequence not in hidden]
        newest = max(newest, shown[-1].report.sequence)
        begin = begin_at(seen, 1, shown[-1].report.sequence)
        found = follow_on([one for one in shown if one.report.sequence > begin], seen)
        missing = {
            one.report.sequence
            for one in reports[: newest - 1]
            if one.report.kind == "change" and one not in shown
        }
        assert bool(found.remarks) == bool(missing), (missing, found.remarks)
        seen = found.seen
    begin = begin_at(seen, 1, len(reports))
    assert follow_on(reports[begin:], seen).remarks == ()
