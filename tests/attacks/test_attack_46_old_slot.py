"""Attack 46: a local user picks an older version that is still in the store."""

from __future__ import annotations

from pathlib import Path

from allod.agent.installers.tree import TreeInstaller
from allod.testing.payloads import PACKAGE, Item, payload


def test_attack_46_an_old_release_under_the_name_of_the_new_is_drift(tmp_path: Path) -> None:
    """A renamed, or linked, older release does not pass for the one that was ordered.

    Its own manifest would still fit its files: the measurement's digest is what gives it away,
    and what the device reports.
    """
    old, new = payload([Item("x", b"old and vulnerable")]), payload([Item("x", b"new")])
    installer = TreeInstaller(tmp_path / "store")
    for one in (old, new):
        installer.stage(PACKAGE, one.digest, one.release, one.open())
    was = installer.measure(PACKAGE, new.digest)
    home = tmp_path / "store/generic~acme~toaster"
    (home / new.digest[7:]).rename(home / "gone")
    (home / old.digest[7:]).rename(home / new.digest[7:])
    found = installer.measure(PACKAGE, new.digest)
    assert (was.ok, found.ok) == (True, False)
    assert found.digest != was.digest
    (home / new.digest[7:]).rename(home / old.digest[7:])
    (home / new.digest[7:]).symlink_to(home / old.digest[7:])
    assert not installer.measure(PACKAGE, new.digest).ok
    installer.stage(PACKAGE, new.digest, new.release, new.open())
    assert installer.measure(PACKAGE, new.digest) == was
    assert installer.measure(PACKAGE, old.digest).ok, "the older one stands where it stood"
