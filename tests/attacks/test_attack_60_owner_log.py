"""Attack 60 with a log: the server shows the owner an old base, so that they sign a revocation away.

The server has all online keys and the log's. What the owner's machine holds against it are its
own floors, of the files and of the log, and the log itself, which has what the files do not show.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.home import Home, LyingClient

from allod.cli.fleet import LocalFleet
from allod.cli.mending import view_to_mend
from allod.cli.options import another_clock
from allod.cli.passphrase import Passphrase
from allod.cli.picture import Picture, take
from allod.cli.publish import Change, Intent, publish
from allod.domain import edit
from allod.domain.ids import GroupName, group_scope
from allod.errors import AllodError, InvalidInput

TIMESTAMP = "tuf/timestamp.json"
CHECKPOINT = "log/authority/checkpoint"


def signed_away(picture: Picture) -> Change:
    """A small change, on whatever base is shown."""
    scope = group_scope(GroupName("signed60"))
    return Change({scope: edit.empty(picture.base.fleet_id, scope)})


def served(fleet: LocalFleet, path: str) -> bytes:
    """What the server shows at an address now."""
    return fleet.client.request("GET", f"/f/{fleet.id}/{path}")


def laptop_of_before(home: Home, place: Path) -> Path:
    """A copy of the owner's machine as it is now: a backup, or a second laptop that lay idle."""
    take(home.fleet(), reports=False)
    shutil.copytree(home.machine.home / "fleets" / "home", place)
    return place


def machine(home: Home, place: Path, **lies: Callable[[bytes], bytes]) -> LocalFleet:
    """That machine, its server's answers twisted by `lies`."""
    fleet = LocalFleet.at(place, passphrase=Passphrase(home.machine.home / "passphrase"))
    honest = fleet.client
    client = LyingClient(honest.location, honest.fleet, honest.key)
    client.lies, client.sent = dict(lies), []
    fleet.use(client)
    home.clients.append(client)
    return fleet


def refused(home: Home, liar: LocalFleet) -> str:
    """The code with which a change is refused; nothing was signed away to the server."""
    with pytest.raises(AllodError) as caught:
        publish(home.options(liar), Intent(yes=True), signed_away)
    client = liar.client
    assert isinstance(client, LyingClient)
    assert not [one for one in client.sent if one.startswith("POST")]
    return caught.value.code


def revoke(home: Home, group: str) -> str:
    """An invite that is revoked: the change that the server wants back."""
    made = home.do("device", "invite", "--group", group, "-y", "--url-only")
    home.do("device", "revoke", made["id"], "-y")
    return str(made["id"])


def test_attack_60_log_an_old_base_with_its_old_log(home: Home) -> None:
    """Files and log fit each other, and are of before: the machine has seen a longer log."""
    fleet = home.fleet()
    take(fleet, reports=False)
    before = {path: served(fleet, path) for path in (TIMESTAMP, CHECKPOINT)}
    gone = revoke(home, "old60")
    lies = {path: (lambda _, data=data: data) for path, data in before.items()}
    assert refused(home, home.fleet(**lies)) == "log-consistency"
    assert gone in take(home.fleet(), reports=False).base.fleet_document.revoked_invites


@pytest.mark.slow
def test_attack_60_log_old_files_beside_the_new_log(home: Home, tmp_path: Path) -> None:
    """A machine that has not seen the revocation is shown the files of before: their own floors
    would let them through. The log has the version that they hide: nothing is signed on them, and
    after an hour it is called what it is.
    """
    place = laptop_of_before(home, tmp_path / "laptop")
    before = served(home.fleet(), TIMESTAMP)
    gone = revoke(home, "new60")
    liar = machine(home, place, **{TIMESTAMP: lambda _: before})
    assert refused(home, liar) == "publishing"
    with another_clock(lambda: datetime.now(UTC) + timedelta(hours=2)):
        assert refused(home, liar) == "withheld"
    honest = machine(home, place)
    assert gone in take(honest, reports=False).base.fleet_document.revoked_invites


def test_attack_60_log_a_log_that_is_said_to_be_lost(home: Home, tmp_path: Path) -> None:
    """The server hides its log, so that the owner goes on without it: only the root can, and only
    by a successor; the floors of the files hold on the way, and the owner is told.
    """
    place = laptop_of_before(home, tmp_path / "laptop")
    before = served(home.fleet(), TIMESTAMP)
    revoke(home, "lost60")
    shutil.rmtree(place)
    laptop_of_before(home, place)

    def gone(_: bytes) -> bytes:
        raise InvalidInput("not-found", "cannot find this log")

    hidden = {CHECKPOINT: gone}
    assert refused(home, machine(home, place, **hidden)) == "withheld"
    liar = machine(home, place, **hidden, **{TIMESTAMP: lambda _: before})
    with pytest.raises(AllodError) as caught:
        view_to_mend(liar, home.options(liar))
    assert caught.value.code == "rollback"
