"""A fleet of one's own, from nothing: init, keys, trust, people; each rotation is drilled.

After every rotation a device that was bound before (the trust code, with the floors of then) and
a newcomer (from the first root) both accept what the server shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import START, Owner

from allod.cli.fleet import LocalFleet
from allod.cli.paper import lines_of_sheet
from allod.cli.refresh import refresh
from allod.errors import Refused
from allod.trust.anchor import anchor_at, first_floors
from allod.trust.effects import Keep, drive
from allod.trust.floors import Floors
from allod.trust.repository import Repository, descend
from allod.wire.trust import ProviderDocument


class Device:
    """A device of the fleet: walks what the server shows, under floors of its own."""

    def __init__(self, owner: Owner, name: str = "home") -> None:
        self.owner, self.fleet = owner, owner.fleet(name)
        first = self.get("tuf/1.root.json", 1 << 20)
        assert first is not None
        self.anchor = anchor_at(first)
        self.floors: Floors = first_floors(self.anchor, START)
        self.cache: dict[str, bytes] = {}

    def get(self, path: str, cap: int) -> bytes | None:
        return self.owner.served.file(self.fleet.id, path, cap)

    def keep(self, effect: Keep) -> None:
        self.floors = effect.floors
        self.cache.update(effect.files)

    def accept(self) -> Repository:
        """Accept what is published, whole."""
        steps = descend(self.anchor, self.floors, self.cache, self.owner.clock.at)
        repository = drive(steps, self.get, self.keep)
        drive(repository.load_all(), self.get, self.keep)
        return repository


def accepted(owner: Owner, device: Device) -> Repository:
    """Both the device that was there before and a newcomer accept; the newcomer's view."""
    device.accept()
    return Device(owner, device.fleet.name).accept()


def test_init_makes_a_fleet_that_devices_accept(begun: Owner) -> None:
    """From nothing: keys, first root, documents; the server takes it from its inbox."""
    repository = Device(begun).accept()
    assert repository.root.roles["root"].threshold == 1
    assert len(repository.root.roles["root"].keyids) == 2
    assert repository.statement is not None
    (anchor,) = repository.statement.anchors
    assert anchor.url == "https://localhost:8443"
    assert len(anchor.pins) == 2, "the server's authority and the owner's spare"
    assert repository.versions["devices"] == 1
    assert sum(role.startswith("devices-bins-") for role in repository.versions) == 16


def test_the_owners_keys_never_reach_the_server(begun: Owner) -> None:
    """Nothing that the server holds opens the owner's keys, or is one of them."""
    from allod.cli.keystore import public_key

    fleet = begun.fleet()
    seeds = [
        fleet.keys.private(record).private_bytes_raw()
        for record in fleet.keys.records()
        if record.file and record.role != "spare-ca"
    ]
    assert len(seeds) == 4
    for path in begun.served.directory.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for seed in seeds:
            assert seed not in data
            assert seed.hex().encode() not in data
    root = refresh(fleet).repository.root
    online = {key for role in ("snapshot", "timestamp") for key in root.roles[role].keyids}
    assert online.isdisjoint(
        public_key(fleet.keys.private(r)).keyid for r in fleet.keys.records() if r.file
    )


def test_init_goes_on_after_a_cut(owner: Owner, tmp_path: Path) -> None:
    """Cut before the server has it, `init` again delivers the same fleet, and only once more."""
    arguments = (
        "init",
        "home",
        "--server",
        tmp_path / "server",
        "--recovery-file",
        tmp_path / "paper",
    )
    from allod.cli import genesis

    original = genesis.deliver
    owner.monkeypatch.setattr(
        genesis, "deliver", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert owner.run(*arguments) == 130
    owner.monkeypatch.setattr(genesis, "deliver", original)
    cut = owner.fleet().id
    owner.served.down = True
    assert owner.do(*arguments)["fleet"] == cut
    owner.served.down = False
    owner.served.restart()
    Device(owner).accept()
    assert owner.refused(*arguments) == "exists"


def test_init_ends_only_after_the_paper_was_read_back(owner: Owner, tmp_path: Path) -> None:
    """Without a terminal and without a file there is no recovery key, and so no fleet."""
    assert owner.refused("init", "home", "--server", tmp_path / "server") == "no-terminal"
    assert not (owner.home / "fleets" / "home" / "fleet.json").exists()


class Terminal:
    """Somebody who copies the sheet from the screen and types it in again, with slips."""

    def __init__(self, owner: Owner, slip: int | None = None) -> None:
        self.owner, self.slip = owner, slip
        self.screen, self.sheet, self.typed = "", "", 0

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        self.screen += self.owner.capsys.readouterr().err
        self.sheet = self.sheet or self.screen
        lines = lines_of_sheet(self.sheet)
        line = lines[self.typed]
        if self.slip == self.typed:
            self.slip = None
            return line[:-1] + ("2" if line[-1] != "2" else "3") + "\n"
        self.typed += 1
        return line + "\n"


@pytest.mark.parametrize("named", [True, False])
def test_the_sheet_is_copied_by_hand_and_used(owner: Owner, tmp_path: Path, named: bool) -> None:
    """Shown once, typed in with a slip that is noticed; later it alone recovers the fleet."""
    terminal = Terminal(owner, slip=2)
    owner.monkeypatch.setattr("sys.stdin", terminal)
    owner.served.down = True
    assert owner.run("init", "home", "--server", tmp_path / "server") == 0, owner.said
    assert "cannot read line 3" in terminal.screen + owner.said
    owner.served.down = False
    owner.served.restart()
    sheet, fleet = terminal.sheet, owner.fleet().id
    assert fleet in sheet
    device = Device(owner)
    device.accept()

    new = owner.elsewhere("new-laptop")
    again = Terminal(new)
    again.sheet = sheet
    owner.monkeypatch.setattr("sys.stdin", again)
    assert new.refused("keys", "restore", "--paper") == "bad-arguments"
    offer = tmp_path / "server" / "offer.json"
    carried = tmp_path / "carried.json"
    carried.write_bytes(offer.read_bytes())
    restore = ("keys", "restore", "--paper", "--server-offer")
    assert new.refused(*restore, carried) == "bad-arguments", "which fleet cannot be seen there"
    if named:
        new.do(*restore, carried, "--id", fleet, "--yes")
    else:  # the server's directory is here, with its one fleet
        new.do(*restore, offer, "--yes")
    accepted(new, device)
    assert owner.refused("people", "list") == "unauthenticated"


def test_rotate_targets(begun: Owner) -> None:
    """A new daily key: every role signed anew in one batch, and the old key signs nothing more."""
    device = Device(begun)
    before = device.accept()
    begun.do("keys", "rotate", "targets", "--yes")
    after = accepted(begun, device)
    assert set(after.root.roles["targets"].keyids).isdisjoint(before.root.roles["targets"].keyids)
    assert all(
        after.versions[role] == version + 1
        for role, version in before.versions.items()
        if role == "targets" or role.startswith("devices")
    )
    begun.do("people", "list")
    states = {r.state for r in begun.fleet().keys.records("targets")}
    assert states == {"current", "retired"}
    accepted(begun, device)


def test_rotate_root_by_this_machines_key(begun: Owner) -> None:
    """The old key signs the new root; the paper stays good; statements follow the new root."""
    device = Device(begun)
    old = device.accept().root
    begun.do("keys", "rotate", "root", "--yes")
    new = accepted(begun, device).root
    assert len(set(new.roles["root"].keyids) & set(old.roles["root"].keyids)) == 1, "the paper"
    begun.do("trust", "anchor", "add", "https://mirror.example:1", "--yes")
    statement = accepted(begun, device).statement
    assert statement is not None
    assert statement.number == 3


def test_rotate_root_by_paper_and_replace_the_paper(begun: Owner, tmp_path: Path) -> None:
    """The recovery key alone can do it, also replace itself; the old sheet is void then."""
    device = Device(begun)
    old = device.accept().root
    begun.do(
        "keys", "rotate", "root", "--recovery-file", tmp_path / "paper",
        "--new-recovery-file", tmp_path / "paper2", "--yes",
    )  # fmt: skip
    new = accepted(begun, device).root
    assert set(new.roles["root"].keyids).isdisjoint(old.roles["root"].keyids)
    code = begun.refused("keys", "rotate", "root", "--recovery-file", tmp_path / "paper", "--yes")
    assert code in {"not-a-signer", "threshold-not-met"}
    begun.do("keys", "rotate", "targets", "--recovery-file", tmp_path / "paper2", "--yes")
    accepted(begun, device)


def test_rotate_provider_keeps_what_the_old_key_signed(begun: Owner) -> None:
    """The new key comes first, the old one stays named, so that older releases still resolve."""
    old = begun.fleet().keys.records("provider:me")[0]
    begun.do("keys", "rotate", "provider", "--yes")
    document = refresh(begun.fleet()).document("providers/me.json", ProviderDocument)
    assert document is not None
    fleet = begun.fleet()
    (current,) = fleet.keys.signers("provider:me")
    assert document.keys[0].keyval.public == current.public_key.keyval["public"]
    assert document.keys[1] == old.public


def test_rotate_spare_authority(begun: Owner, tmp_path: Path) -> None:
    """Devices pin the new spare beside the server's own authority; this machine certifies by it."""
    device = Device(begun)
    before = device.accept().statement
    begun.do("keys", "rotate", "spare-ca", "--yes")
    after = accepted(begun, device).statement
    assert before is not None
    assert after is not None
    assert after.anchors[0].pins[0] == before.anchors[0].pins[0]
    assert after.anchors[0].pins[1] != before.anchors[0].pins[1]
    assert len(after.anchors[0].pins) == 2
    begun.do("keys", "certify", tmp_path / "tls")
    from allod.cli.certificates import is_authority_of

    current = begun.fleet().keys.records("spare-ca")[-1]
    assert current.state == "current"
    assert is_authority_of(after.anchors[0].pins[1], current.public.keyval.public)
    assert is_authority_of(
        (tmp_path / "tls" / "authority.pem").read_text(), current.public.keyval.public
    )


def test_rotate_api(begun: Owner) -> None:
    """The server knows this machine by the new key alone, and the next command uses it."""
    old = begun.fleet().keys.records("api")[0]
    begun.do("keys", "rotate", "api", "--yes")
    begun.do("people", "list")
    records = {r.id: r.state for r in begun.fleet().keys.records("api")}
    assert records.pop(old.id) == "retired"
    assert set(records.values()) == {"current"}
    (person,) = begun.served.change_documents(begun.fleet().id)["people"]
    assert person["key"] != json.loads(json.dumps({"x": 1}))


@pytest.mark.parametrize("role", ["root", "targets", "api"])
def test_rotation_cut_after_the_server_took_it(begun: Owner, role: str) -> None:
    """The answer is lost: the next command finds the rotation done, and goes on with the new key."""
    fleet = begun.fleet()
    begun.served.cut_after = f"POST /api/v1/fleets/{fleet.id}/changes"
    assert begun.refused("keys", "rotate", role, "--yes") == "server-unreachable"
    begun.served.cut_after, begun.served.down = None, False
    begun.do("keys", "list")
    states = sorted(r.state for r in begun.fleet().keys.records(role) if r.file)
    assert states == ["current", "retired"]
    begun.do("trust", "anchor", "add", "https://mirror.example:1", "--yes")
    begun.do("keys", "rotate", "targets", "--yes")
    accepted(begun, Device(begun))


def test_rotation_cut_before_the_server_took_it(begun: Owner) -> None:
    """Nothing is in force, the old key still signs, and the waiting key is used the next time."""
    begun.served.lie = {}
    fleet = begun.fleet()
    post = f"POST /api/v1/fleets/{fleet.id}/changes"
    original = begun.served._answer

    def refuse(client: object, method: str, path: str, body: bytes, cap: int) -> bytes:
        if f"{method} {path}" == post:
            begun.served.down = True
            from allod.errors import Unavailable

            raise Unavailable("server-unreachable", "cannot reach", unsent=False)
        return original(client, method, path, body, cap)  # type: ignore[arg-type]

    begun.monkeypatch.setattr(begun.served, "_answer", refuse)
    assert begun.refused("keys", "rotate", "targets", "--yes") == "server-unreachable"
    begun.monkeypatch.setattr(begun.served, "_answer", original)
    begun.served.down = False
    begun.do("keys", "rotate", "api", "--yes")
    begun.do("keys", "rotate", "targets", "--yes")
    assert len(begun.fleet().keys.records("targets")) == 2
    accepted(begun, Device(begun))


def test_renew_what_is_half_over(begun: Owner, later: Callable[[int], None]) -> None:
    """Before half nothing is renewed; after it all that the daily key signs is, in one command."""
    assert begun.do("keys", "renew", "--yes")["renewed"] == []
    later(200)
    renewed = begun.do("keys", "renew", "--yes")["renewed"]
    assert "targets" in renewed
    assert len(renewed) == 18
    assert begun.do("keys", "renew", "--yes")["renewed"] == []
    accepted(begun, Device(begun))


def test_every_signing_command_renews_what_is_half_over(
    begun: Owner, later: Callable[[int], None]
) -> None:
    """A change of people after half a year and more also moves the date of the daily key's word."""
    key = begun.home / "k"
    begun.do("people", "key", key)
    later(200)
    begun.do("people", "add", "ci", key, "--yes")
    assert Device(begun).accept().versions["devices-bins-3"] == 2
    later(170)
    begun.do("people", "remove", "ci", "--yes")
    root = refresh(begun.fleet()).repository.root
    assert root.version == 2, "the root was half over too, and this machine alone can sign it"
    begun.do("keys", "list")
    accepted(begun, Device(begun))


def test_what_has_expired_can_be_renewed(begun: Owner, later: Callable[[int], None]) -> None:
    """Expiry stops changes, and never locks the owner out: renew goes on from the own floors."""
    device = Device(begun)
    device.accept()
    later(366)
    key = begun.home / "k"
    begun.do("people", "key", key)
    assert begun.refused("people", "add", "ci", key, "--yes") == "stale"
    begun.do("keys", "renew", "--yes")
    begun.do("people", "add", "ci", key, "--yes")
    accepted(begun, device)


def test_trust_repair_and_transfer(begun: Owner) -> None:
    """Floors fall by name once; a transfer is offered to one fleet until a date."""
    device = Device(begun)
    device.accept()
    begun.do("trust", "repair", "targets=1", "--time", "2026-04-01", "--yes")
    statement = device.accept().statement
    assert statement is not None
    assert statement.repairs[0].roles == {"targets": 1}
    begun.do("trust", "repair", "timestamp", "snapshot", "--yes")
    accepted_now = device.accept()
    assert accepted_now.statement is not None
    published = {role: accepted_now.versions[role] - 1 for role in ("timestamp", "snapshot")}
    assert accepted_now.statement.repairs[0].roles == published
    assert begun.refused("trust", "repair", "nobody=1", "--yes") == "bad-arguments"
    begun.do("trust", "transfer", "ab" * 32, "--to", "cd" * 32, "--yes")
    statement = accepted(begun, device).statement
    assert statement is not None
    assert statement.repairs == []
    assert statement.transfers[0].devices == ["ab" * 32]
    assert (
        begun.refused("trust", "anchor", "remove", "https://localhost:8443", "--yes")
        == "last-anchor"
    )


def test_people(begun: Owner) -> None:
    """Somebody is let in and out; nobody locks themselves out; names are not used twice."""
    key = begun.home / "ci.json"
    begun.do("people", "key", key)
    begun.do("people", "add", "ci", key, "--right", "publish", "--yes")
    names = [person["name"] for person in begun.do("people", "list")]
    assert names == ["owner", "ci"]
    assert begun.refused("people", "add", "ci", key, "--yes") == "exists"
    begun.do("people", "remove", "ci", "--yes")
    assert begun.refused("people", "remove", "ci", "--yes") == "not-found"
    assert begun.refused("people", "remove", "owner", "--yes") == "own-key"


def test_backup_and_restore(begun: Owner, tmp_path: Path) -> None:
    """A backup brings everything back on another machine, and mends a damaged key here."""
    begun.do("keys", "backup", tmp_path / "backup.json")
    assert begun.refused("keys", "backup", tmp_path / "backup.json") == "exists"
    other = begun.elsewhere("new-laptop")
    other.do("keys", "restore", tmp_path / "backup.json")
    other.do("keys", "rotate", "targets", "--yes")
    accepted(begun, Device(begun))
    record = begun.fleet().keys.records("root")[0]
    path = begun.fleet().keys.directory / str(record.file)
    path.write_bytes(b"damaged")
    assert begun.refused("keys", "rotate", "root", "--yes") == "damaged-key"
    begun.do("keys", "restore", tmp_path / "backup.json")
    begun.do("keys", "rotate", "root", "--yes")


def test_restore_never_takes_floors_down(begun: Owner, tmp_path: Path) -> None:
    """Floors that are here are newer than those of any backup, and stay."""
    begun.do("keys", "backup", tmp_path / "backup.json")
    begun.do("keys", "rotate", "targets", "--yes")
    floors = begun.fleet().floors
    begun.do("keys", "restore", tmp_path / "backup.json")
    assert begun.fleet().floors == floors


def test_a_damaged_backup_changes_nothing(begun: Owner, tmp_path: Path) -> None:
    """A flipped byte in a sealed key is found before anything is written."""
    begun.do("keys", "backup", tmp_path / "backup.json")
    data = json.loads((tmp_path / "backup.json").read_text())
    name = next(iter(data["files"]))
    data["files"][name] = data["files"][name][:-8] + "AAAAAAA="
    (tmp_path / "backup.json").write_text(json.dumps(data))
    other = begun.elsewhere("new-laptop")
    assert other.refused("keys", "restore", tmp_path / "backup.json") == "damaged-backup"
    assert not other.home.exists()


def test_keys_list_shows_where_and_until_when(begun: Owner) -> None:
    """Every role of the root is there, with place and date; the paper is said to be elsewhere."""
    rows = begun.do("keys", "list")
    assert {row["role"] for row in rows} == {
        "root", "targets", "snapshot", "timestamp", "api", "provider:me", "spare-ca"
    }  # fmt: skip
    where = {(row["role"], row["where"]) for row in rows}
    assert ("root", "elsewhere") in where
    assert ("snapshot", "the server") in where
    assert all(row["expires"] for row in rows if row["role"] in {"root", "targets", "snapshot"})


def test_wrong_passphrase(begun: Owner, tmp_path: Path) -> None:
    """Said plainly, with the status of a refusal, and nothing was sent."""
    (tmp_path / "passphrase").write_text("wrong horse\n")
    assert begun.run("keys", "rotate", "targets", "--yes") == Refused.branch.exit
    assert "wrong-passphrase" in begun.said
    assert "Traceback" not in begun.said
    assert not [one for one in begun.served.seen if one.startswith("POST")]


def test_a_lost_floor_is_an_alarm_and_no_first_run(begun: Owner) -> None:
    """Without its floors this machine verifies nothing, rather than anything."""
    (begun.fleet().directory / "floors.json").unlink()
    assert begun.refused("keys", "list") == "no-floors"


def test_a_slower_command_takes_no_floor_down(begun: Owner) -> None:
    """Two commands side by side: the one that saw less and ends later lowers nothing."""
    fleet = begun.fleet()
    slow = fleet.floors
    begun.do("keys", "rotate", "provider", "--yes")
    higher = fleet.floors
    assert higher.roles["targets"] > slow.roles.get("targets", 0)
    fleet.save_floors(slow)
    assert fleet.floors == higher


def test_which_fleet(begun: Owner) -> None:
    """With several fleets one is named; with one it need not be."""
    import shutil

    shutil.copytree(begun.home / "fleets" / "home", begun.home / "fleets" / "other")
    assert begun.refused("trust", "show") == "which-fleet"
    begun.do("trust", "show", "--fleet", "home")
    begun.monkeypatch.setenv("ALLOD_FLEET", "other")
    begun.do("trust", "show")
    assert begun.refused("trust", "show", "--fleet", "none") == "no-fleet"


def test_opening_a_fleet_asks_for_nothing(begun: Owner) -> None:
    """Looking at public things needs no passphrase."""
    begun.monkeypatch.delenv("ALLOD_PASSPHRASE_FILE")
    assert LocalFleet.at(begun.home / "fleets" / "home").id == begun.fleet().id
    begun.do("keys", "list", "--offline")
