"""Attack 23: a fix that takes a needed function away is stopped at the canary, and spreads no further."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.server.rollout_rig import NEW, OLD, PACKAGE, RolloutRig, entry

from allod.domain.rollout import Needs
from allod.errors import Untrusted
from allod.testing.server import ServerRig
from allod.trust.gates import make_gate, open_gate


def test_attack_23_a_fix_that_fails_the_owners_test_stays_at_the_canary(tmp_path: Path) -> None:
    """The canary went back, as its report says: the rest never gets it, not even from a server
    that signs the gate all the same.
    """
    rig = ServerRig.make(tmp_path / "server")
    fleet = RolloutRig(rig)
    fleet.name_gate_key()
    fleet.bind("one", "two", "three")
    plan = fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS))
    fleet.order(plan)
    fleet.look()
    fleet.says("one", OLD, reverted=True, failed=True)
    shown = fleet.look(hours=30)
    assert (shown.state, shown.problems[0].why) == ("halted", "sick")
    assert fleet.gate(1) is None
    # A server in league with the provider signs it anyway: a device demands the canary's word.
    controller = rig.server.rollouts
    forged = make_gate(rig.fleet, "r1", 1, rig.clock.moment, [controller._gate_key])
    document = rig.server.fleets.need(rig.fleet).document
    with pytest.raises(Untrusted, match="no report shows"):
        open_gate(forged, document, "r1", 1, [(PACKAGE, entry(plan))])
    fleet.says("one", NEW, changed=True)
    assert fleet.look().state == "halted", "it stays so until a person says otherwise"
    rig.server.close()
