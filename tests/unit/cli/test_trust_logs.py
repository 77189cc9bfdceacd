"""Logs and witnesses as the owner names them: begun, succeeded, vouched for, and mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_own import Device, accepted

from allod.cli.refresh import refresh
from allod.errors import Unavailable
from allod.server import keys
from allod.server.layout import ServerDirectory
from allod.server.services.logs import mark_restored
from allod.testing.logs import note_signer
from allod.tlog.note import Kind, NoteSigner
from allod.trust.floors import Floors
from allod.wire.log import decode_authority

WITNESSES = [note_signer(f"w{number}.example", Kind.COSIGNATURE) for number in range(3)]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for witnesses here."""
    monkeypatch.setenv("ALLOD_WITNESS_WAIT", "0s")


def cosign(owner: Owner, *witnesses: NoteSigner, place: str = "authority") -> None:
    """Witnesses vouch for the newest checkpoint, now."""
    logs, fleet = owner.served.publications.logs, owner.fleet().id
    sequencer = logs.sequencer(fleet, f"allod.dev/log/{fleet}/{place}")
    signed = sequencer.checkpoint()
    at = int(owner.clock.at.timestamp())
    signatures = [one.cosignature(signed.note.text, at) for one in witnesses]
    sequencer.publish(type(signed)(signed.checkpoint, signed.note.with_signatures(signatures)))


def entries(owner: Owner, place: str) -> list[tuple[str, int]]:
    """Role and version of every entry that a log on the server has, by what is served."""
    from allod.tlog.tiles import split_bundle, tile_at

    directory = ServerDirectory(owner.served.directory).fleet(owner.fleet().id).log(place)
    size = int((directory / "checkpoint").read_text().split("\n")[1])
    data = owner.served.file(owner.fleet().id, f"log/{place}/{tile_at(-1, 0, size).path}", 1 << 20)
    assert data is not None
    found = [decode_authority(entry).role for entry in split_bundle(data, size)]
    return [(entry.role, entry.version) for entry in found if entry is not None]


def without_logs(owner: Owner, tmp_path: Path) -> Owner:
    """Somebody whose fleet was begun by a server that kept no log, and keeps one now."""
    owner.do("server", "init", tmp_path / "server", "--url", "https://localhost:8443")
    offer = json.loads((tmp_path / "server" / "offer.json").read_bytes())
    (tmp_path / "old.json").write_text(json.dumps({**offer, "log": None}))
    arguments = ("--server-offer", tmp_path / "old.json", "--recovery-file", tmp_path / "paper")
    owner.served.restart()
    owner.do("init", "home", *arguments)
    return owner


def test_a_fleet_begins_with_both_logs(begun: Owner) -> None:
    """Statement 1 names them, and the log holds root, statement and every role from the start."""
    repository = Device(begun).accept()
    assert repository.statement is not None
    assert [log.name for log in repository.statement.logs] == ["authority", "activity"]
    assert repository.logged is not None
    assert {"root", "trust", "targets", "devices"} <= repository.logged.keys()
    assert len(repository.logged) == 4 + 16, "and every bin"
    assert entries(begun, "authority")[:2] == [("root", 1), ("trust", 1)]


def test_a_fleet_goes_over_to_logs_and_its_devices_do_not_notice(
    owner: Owner, tmp_path: Path
) -> None:
    """A device that was there before goes on under the log; a newcomer begins under it."""
    without_logs(owner, tmp_path)
    device = Device(owner)
    assert device.accept().logged is None
    owner.do("people", "key", tmp_path / "k")
    owner.do("keys", "rotate", "root", "--yes")
    assert owner.refused("trust", "log", "succeed", "--yes") == "bad-arguments"
    offer = ("--server-offer", tmp_path / "server" / "offer.json")
    assert owner.refused("trust", "log", "succeed", *offer, "--yes") == "no-log"
    assert owner.refused("trust", "witness", "add", str(WITNESSES[0].key), "--yes") == "no-log"
    old = ("--server-offer", tmp_path / "old.json")
    assert owner.refused("trust", "log", "begin", *old, "--yes") == "no-log"
    said = owner.do("trust", "log", "begin", *offer, "--yes")
    assert said["force"]["state"] == "in-force"
    assert device.accept().logged is not None
    assert entries(owner, "authority")[0] == ("root", 2), "the root as it stands"
    assert owner.refused("trust", "log", "begin", *offer, "--yes") == "log-exists"
    owner.do("people", "add", "eve", tmp_path / "k", "--yes")
    accepted(owner, device)


def test_witnesses_are_named_and_let_go(begun: Owner) -> None:
    """A quorum never exceeds the witnesses; the last ones go together with their quorum."""
    first, second = (str(one.key) for one in WITNESSES[:2])
    assert begun.refused("trust", "witness", "quorum", "1", "--yes") == "no-witnesses"
    assert begun.refused("trust", "witness", "age", "1h", "--yes") == "no-witnesses"
    assert begun.refused("trust", "witness", "remove", "w0.example", "--yes") == "not-found"
    said = begun.do("trust", "witness", "add", first, "--yes")
    assert said["force"]["state"] == "published", "nobody has cosigned"
    assert begun.refused("trust", "witness", "add", first, "--yes") == "exists"
    cosign(begun, WITNESSES[0])
    begun.do("trust", "witness", "add", second, "--quorum", "2", "--yes")
    assert begun.refused("trust", "witness", "quorum", "3", "--yes") == "bad-quorum"
    assert begun.refused("trust", "witness", "quorum", "0", "--yes") == "bad-quorum"
    assert begun.refused("trust", "witness", "remove", "w1.example", "--yes") == "below-quorum"
    assert begun.refused("trust", "witness", "age", "0s", "--yes") == "bad-span"
    begun.do("trust", "witness", "age", "90m", "--yes")
    shown = begun.do("trust", "show")["statement"]["witnesses"]
    assert (shown["quorum"], shown["maxAgeSeconds"]) == (2, 5400)
    begun.do("trust", "witness", "quorum", "1", "--yes")
    begun.do("trust", "witness", "remove", second, "--yes")
    begun.do("trust", "witness", "remove", "w0.example", "--yes")
    assert begun.do("trust", "show")["statement"]["witnesses"] is None
    Device(begun).accept()


def test_a_witness_that_never_comes_locks_nobody_out(begun: Owner) -> None:
    """The preview says that devices wait; they do; the owner takes the witness back."""
    device = Device(begun)
    device.accept()
    assert begun.run("trust", "witness", "add", str(WITNESSES[0].key), "--yes") == 0
    assert "change NOTHING until 1 of the witnesses have cosigned" in begun.said
    with pytest.raises(Unavailable) as caught:
        device.accept()
    assert caught.value.code == "no-quorum"
    with pytest.raises(Unavailable):
        refresh(begun.fleet())
    begun.do("trust", "witness", "remove", "w0.example", "--yes")
    begun.do("keys", "rotate", "provider", "--yes")
    accepted(begun, device)


def test_init_names_witnesses(owner: Owner, tmp_path: Path) -> None:
    """The server that is made here asks them; nothing is made for terms that cannot be met."""
    owner.served.down = True
    words = ("init", "home", "--server", tmp_path / "server", "--recovery-file", tmp_path / "paper")
    one, two = (str(signer.key) for signer in WITNESSES[:2])
    assert owner.refused(*words, "--quorum", "1") == "bad-arguments"
    assert owner.refused(*words, "--witness", one, "--quorum", "2") == "bad-quorum"
    assert owner.refused(*words, "--witness", one, "--witness", one[:-4]) == "bad-key"
    log_key = str(note_signer("w0.example").key)
    assert owner.refused(*words, "--witness", log_key) == "bad-key"
    assert not (tmp_path / "server").exists()
    owner.do(
        *words, "--witness", f"{one}=https://w0.example:7", "--witness", two, "--witness-age", "2h"
    )
    assert owner.said.count("On each witness: allod witness add-log DIRECTORY allod.dev/log/") == 2
    asked = json.loads((tmp_path / "server" / "witnesses.json").read_bytes())["witnesses"]
    assert asked == [{"key": one, "url": "https://w0.example:7"}]
    owner.served.down = False
    owner.served.restart()
    with pytest.raises(Unavailable):
        Device(owner).accept()
    cosign(owner, *WITNESSES[:2])
    repository = Device(owner).accept()
    assert repository.statement is not None
    assert repository.statement.witnesses is not None
    assert repository.statement.witnesses.quorum == 2
    assert repository.statement.witnesses.max_age_seconds == 7200


def floors_of(owner: Owner) -> Floors:
    """What the owner's machine holds fast."""
    return owner.fleet().floors


def lose(owner: Owner, place: str = "authority") -> None:
    """The server's disk lost a log, tiles and head."""
    owner.served.close()
    directory = ServerDirectory(owner.served.directory).fleet(owner.fleet().id)
    shutil.rmtree(directory.log(place))
    shutil.rmtree(directory.sequencer(place))
    owner.served.restart()


def test_a_log_that_was_lost_is_succeeded(begun: Owner, tmp_path: Path) -> None:
    """Nothing is signed on a lost log but its successor; devices, old and new, go on."""
    begun.do("people", "key", tmp_path / "k")
    device = Device(begun)
    begun.do("people", "add", "ann", tmp_path / "k", "--yes")
    device.accept()
    lose(begun)
    with pytest.raises(Unavailable) as caught:
        device.accept()
    assert caught.value.code == "withheld"
    before = [one for one in begun.served.seen if one.startswith("POST")]
    assert begun.refused("keys", "rotate", "provider", "--yes") == "withheld"
    assert [one for one in begun.served.seen if one.startswith("POST")] == before
    said = begun.do("trust", "log", "succeed", "authority", "--yes")
    assert said["force"]["state"] == "in-force"
    assert "The log cannot be gone by" in begun.said
    repository = accepted(begun, device)
    assert repository.statement is not None
    assert repository.statement.logs[-1].origin.endswith("/authority/2")
    roles = entries(begun, "authority/2")
    assert roles[:3] == [("root", 1), ("trust", 2), ("targets", 2)]
    assert len(roles) == 20, "every role, once"
    begun.do("keys", "rotate", "provider", "--yes")
    assert accepted(begun, device).versions["targets"] == 3
    assert "succeeded" in " ".join(owner_lines(begun))


def owner_lines(owner: Owner) -> list[str]:
    """What `trust show` says to a person."""
    assert owner.run("trust", "show") == 0
    return owner.out.splitlines()


def test_a_log_from_a_backup_is_not_gone_on_with(begun: Owner) -> None:
    """It is read-only; what was decided and cut off is finished without it; the successor goes on."""
    device = Device(begun)
    device.accept()
    begun.served.close()
    mark_restored(ServerDirectory(begun.served.directory), begun.fleet().id)
    begun.served.restart()
    assert begun.refused("keys", "rotate", "provider", "--yes") == "log-restored"
    begun.do("trust", "log", "succeed", "--yes")
    begun.do("keys", "rotate", "provider", "--yes")
    accepted(begun, device)


def test_a_log_under_a_new_key(begun: Owner, tmp_path: Path) -> None:
    """`server new-keys` makes one that waits; the successor is kept under it; then the old is gone."""
    device = Device(begun)
    device.accept()
    place = tmp_path / "server"
    layout = ServerDirectory(place)
    old = keys.load_log_key(layout)
    begun.do("server", "new-keys", place)
    begun.served.restart()
    begun.do("keys", "rotate", "online", "--server-offer", place / "offer.json", "--yes")
    begun.served.close()
    assert begun.do("server", "settle-keys", place)["log"] is False
    begun.served.restart()
    begun.do("trust", "log", "succeed", "--yes")
    waiting = keys.load_log_key(layout, waiting=True)
    assert waiting is not None
    assert old is not None
    logs = begun.do("trust", "show")["statement"]["logs"]
    assert len({log["key"].rpartition("+")[2] for log in logs}) == 2
    begun.do("keys", "rotate", "provider", "--yes")
    accepted(begun, device)
    begun.served.close()
    assert begun.do("server", "settle-keys", place)["log"] is True
    settled = keys.load_log_key(layout)
    assert settled is not None
    assert settled.public == waiting.public != old.public
    begun.served.restart()
    begun.do("keys", "rotate", "api", "--yes")
    accepted(begun, device)


def test_the_time_is_repaired_though_witnesses_ran_ahead(begun: Owner) -> None:
    """A witness vouched for a time ten years ahead: the floor falls by name, and devices go on."""
    device = Device(begun)
    begun.do("trust", "witness", "add", str(WITNESSES[0].key), "--yes")
    right = begun.clock.at
    begun.clock.at = right.replace(year=right.year + 10)
    cosign(begun, WITNESSES[0])
    begun.clock.at = right
    with pytest.raises(Unavailable):
        device.accept()
    assert device.floors.time.year == right.year + 10
    assert begun.refused("keys", "rotate", "provider", "--yes") == "stale"
    begun.do(
        "trust",
        "repair",
        "--remove-witness",
        "w0.example",
        "--time",
        right.strftime("%Y-%m-%dT%H:%M:%S"),
        "--yes",
    )
    accepted(begun, device)
    assert device.floors.time.year == right.year
    assert floors_of(begun).time.year == right.year
    begun.do("keys", "rotate", "provider", "--yes")


def test_one_log_alone_is_succeeded(begun: Owner) -> None:
    """The activity log was lost: the authority log goes on, and gets the statement's entry only."""
    device = Device(begun)
    device.accept()
    before = entries(begun, "authority")
    lose(begun, "activity")
    begun.do("trust", "log", "succeed", "activity", "--yes")
    assert entries(begun, "authority") == [*before, ("trust", 2)]
    statement = accepted(begun, device).statement
    assert statement is not None
    ends = [log.origin.partition(f"{statement.fleet}/")[2] for log in statement.logs]
    assert ends == ["authority", "activity", "activity/2"]
    begun.do("keys", "rotate", "provider", "--yes")
