"""Attack 60, with a log: a machine without floors of its own is shown an old base to sign on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_attack_60 import old_files

from allod.cli.refresh import refresh
from allod.trust.floors import encode_floors


def forgetful(owner: Owner) -> None:
    """The owner's machine has the keys and the anchor, and saw nothing else: a restored one."""
    fleet = owner.fleet()
    floors = replace(fleet.floors, roles={}, digests={}, logs={}, counted={}, counted_log="")
    (fleet.directory / "floors.json").write_bytes(encode_floors(floors))
    shutil.rmtree(fleet.directory / "cache")
    (fleet.directory / "logbook.json").unlink(missing_ok=True)


def test_attack_60_the_log_has_a_newer_base(begun: Owner, later: Callable[[int], None]) -> None:
    """The server shows the files of before a revocation. The machine's floors are gone, the log is
    not: nothing is signed on a base that is older than the newest entries that count.
    """
    key = begun.home / "k"
    begun.do("people", "key", key)
    begun.do("people", "add", "eve", key, "--yes")
    old = old_files(begun)
    begun.do("people", "remove", "eve", "--yes")
    forgetful(begun)
    begun.served.lie = dict(old)
    posts = [one for one in begun.served.seen if one.startswith("POST")]
    assert begun.refused("keys", "rotate", "provider", "--yes") == "publishing"
    later(1)
    assert begun.refused("keys", "rotate", "provider", "--yes") == "withheld"
    assert [one for one in begun.served.seen if one.startswith("POST")] == posts
    begun.served.lie = {}
    names = [person.name for person in refresh(begun.fleet()).fleet_document.people]
    assert names == ["owner"]
    begun.do("keys", "rotate", "provider", "--yes")


def test_attack_60_the_log_is_not_cut_short_either(begun: Owner) -> None:
    """With the log of before the revocation shown too, the floors of the log refuse it: size and
    root of what was verified are kept, apart from the roles' versions and from the cache.
    """
    path = "log/authority/checkpoint"
    fleet = begun.fleet()
    old = {**old_files(begun), path: fleet.client.file(path, cap=1 << 16)}
    begun.do("keys", "rotate", "provider", "--yes")
    kept = begun.fleet().floors
    forgetful(begun)
    floors = replace(begun.fleet().floors, logs=kept.logs)
    (fleet.directory / "floors.json").write_bytes(encode_floors(floors))
    begun.served.lie = dict(old)
    assert begun.refused("people", "list") == "log-consistency"
    begun.served.lie = {}
    begun.do("people", "list")
