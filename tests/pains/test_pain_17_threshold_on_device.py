"""Pain 17 (systemd/systemd#38407): threshold signatures, held to on the device itself."""

from __future__ import annotations

import pytest

from allod.domain.approval import Approval
from allod.domain.desired import Level, ReleaseOrder, Software
from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.domain.terms import Approvals
from allod.testing.device import FakeDevice, Owner
from allod.testing.machine import START

ANN, BOB = (Approval("qa", name, START) for name in ("ann", "bob"))
CARL = Approval("operations", "carl", START)
ANN_TWICE = Approval("operations", "ann", START)


def order(release: tuple[Release, Digest]) -> Software:
    """A list with one release, to run now."""
    one = release[0]
    return Software(releases=(ReleaseOrder(one.provider, one.version, release[1], Level.ACTIVE),))


@pytest.mark.parametrize(
    ("approved", "runs"),
    [
        ((), "1.0"),
        ((ANN,), "1.0"),
        ((ANN, BOB), "1.0"),
        ((ANN, ANN_TWICE), "1.0"),
        ((ANN, CARL), "2.0"),
        ((ANN, BOB, CARL), "2.0"),
    ],
    ids=["nobody", "one", "two of one kind", "one in two roles", "one of each", "more"],
)
def test_pain_17_so_many_of_each_kind_or_nothing_is_even_fetched(
    device: FakeDevice, owner: Owner, approved: tuple[Approval, ...], runs: str
) -> None:
    """One of QA and one of operations: two of one kind will not do, nor one person as both."""
    terms = (Approvals((("operations", 1), ("qa", 1))),)
    owner.replace(owner.document(), terms=terms)
    second = device.publish("2.0")
    owner.sign(software=order(second), approved=approved)
    device.run(owner.view())
    assert device.version() == runs
    if runs == "1.0":
        assert second[1] not in device.hardware.source.fetched
        assert "approvals-missing" in {one["code"] for one in device.said()[-1]["refusals"]}
        return
    (change,) = [one for one in device.said()[-1]["changes"] if one["what"] == "activated"]
    people = {one["person"] for one in change["authority"]["approvals"]}
    assert people == {one.person for one in approved}
