"""Attack 57: whoever holds the log appends what nobody signed."""

from __future__ import annotations

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog
from allod.testing.repository import key_from


def test_attack_57_false_entries_stop_nothing_and_are_reported() -> None:
    """Bytes, far versions by a stranger's key, roles that are none, other fleets' entries.

    The entry of a delegate who decides nothing here is left to whom it concerns.
    """
    world = World.make(AuthorityLog(witnesses=1))
    log = world.sim.log
    assert log is not None
    log.entries += [b"", b"{}", b"\xff" * 900]
    thief = [key_from("thief")]
    for role in ("targets", "root", "devices", "devices-bins-0", "delegation-x", "trust"):
        log.sign(role, 2**62, "sha256:" + "0" * 64, thief)
    log.sign("snapshot", 2**62, "sha256:" + "0" * 64, thief)
    world.sim.set_state(wants(world.sim, "2.0"))
    view = world.client.accept()
    alarm = view.alarms[0]
    assert (alarm.code, len(view.alarms)) == ("log-entry-ignored", 1)
    assert "4 more" in alarm.says
    assert world.wanted() == "2.0"
    assert world.client.accept().alarms == ()
