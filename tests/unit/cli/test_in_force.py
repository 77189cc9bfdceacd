"""In force is what this machine has proved in the log, with the witnesses that the owner names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_attack_60 import old_files
from tests.unit.cli.test_attack_60_log import forgetful

from allod.cli import in_force
from allod.cli.in_force import force_of, log_state
from allod.cli.logbook import Logbook, read_logbook
from allod.cli.refresh import View, refresh
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.server.keys import load_log_key
from allod.server.layout import ServerDirectory
from allod.server.services.logs import newest_log
from allod.testing.logs import note_signer
from allod.tlog.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from allod.tlog.growth import Edge
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.note import Kind, NoteSigner, VerifierKey
from allod.tlog.witness import cosign, with_cosignatures
from allod.wire.log import log_origin

WITNESS = note_signer("w.example", Kind.COSIGNATURE)


def vouch(owner: Owner) -> None:
    """The witness cosigns what the server shows now."""
    publications = owner.served.publications
    fleet = FleetId(owner.fleet().id)
    log = newest_log(publications.fleets.need(fleet).statement, "authority")
    assert log is not None
    sequencer = publications.logs.sequencer(fleet, log.origin)
    signed = sequencer.checkpoint()
    made = cosign(parse_checkpoint(signed.note.text), WITNESS, int(owner.clock.at.timestamp()))
    sequencer.publish(with_cosignatures(signed, made, [WITNESS.key]))


def look(owner: Owner) -> View:
    """What the owner's machine sees, though nobody may vouch for it."""
    return refresh(owner.fleet(), allow_unwitnessed=True)


@pytest.fixture
def witnessed(owner: Owner, tmp_path: Path) -> Owner:
    """Somebody with a fleet whose log one witness has to vouch for, which it did just now."""
    owner.served.down = True
    owner.do(
        "init", "home", "--server", tmp_path / "server", "--recovery-file", tmp_path / "paper",
        "--witness", str(WITNESS.key),
    )  # fmt: skip
    owner.served.down = False
    owner.served.restart()
    vouch(owner)
    return owner


def change(owner: Owner, name: str = "eve") -> dict:
    """A small change."""
    return dict(owner.do("group", "add", name, "--yes"))


def test_without_witnesses_a_change_is_in_force_at_once(begun: Owner) -> None:
    """The checkpoint that the server signed under the upload is verified, entry by entry."""
    force = change(begun)["force"]
    assert force["state"] == "in-force"
    assert force["size"] == force["index"] + 1
    view = refresh(begun.fleet())
    book = read_logbook(view)
    assert book is not None
    version = view.versions["targets"]
    place = book.place("targets", version)
    assert place is not None
    assert (place.index, place.size) == (force["index"], force["size"])
    assert force_of(view, book, {"targets": version + 1}).state == "published"
    assert force_of(view, book, {"targets": version, "root": 1, "trust": 1}).state == "in-force"


def test_published_is_not_yet_provable_while_witnesses_are_missing(witnessed: Owner) -> None:
    """Status 0, what is missing is said, and the next signature waits until it is mended."""
    force = change(witnessed)["force"]
    assert force["state"] == "published"
    assert "0 of 1 witnesses vouch for the log" in force["why"]
    assert "allod witness submit" in force["why"]
    assert witnessed.refused("group", "add", "mallory", "--yes") == "no-quorum"

    view = look(witnessed)
    book = read_logbook(view)
    roles = {"targets": view.versions["targets"]}
    assert view.unproved is not None
    assert force_of(view, book, roles).state == "published"
    state = log_state(view, book)
    assert state is not None
    assert (state.vouch, state.quorum, state.named, state.as_of) == (0, 1, 1, None)

    vouch(witnessed)
    view = look(witnessed)
    assert view.unproved is None
    found = force_of(view, read_logbook(view), roles)
    assert (found.state, found.index) == ("in-force", force["index"])
    change(witnessed, "mallory")


def test_witnesses_are_waited_for(witnessed: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers in time makes the change in force before the verb ends."""
    monkeypatch.setenv("ALLOD_WITNESS_WAIT", "30s")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            vouch(witnessed)

    monkeypatch.setattr(in_force.time, "sleep", sleep)
    assert change(witnessed)["force"]["state"] == "in-force"
    assert len(waited) == 3


def test_words(witnessed: Owner) -> None:
    """For people: what is in force, and what is not yet and why; as JSON it is in the answer."""
    assert witnessed.run("keys", "rotate", "provider", "--yes") == 0
    assert "This is published, not yet provable: 0 of 1 witnesses" in witnessed.said
    vouch(witnessed)
    assert witnessed.run("trust", "anchor", "add", "https://more.example", "--yes") == 0
    assert "Published.\n" in witnessed.out
    assert "not yet provable" in witnessed.said


def test_an_old_witness_proves_nothing_new(witnessed: Owner, later: Callable[[int], None]) -> None:
    """Past the greatest age nothing is signed; it can be looked at, and is in force no longer to
    be proved anew, but what was proved stays proved.
    """
    vouch(witnessed)
    before = look(witnessed)
    roles = {"targets": before.versions["targets"]}
    assert force_of(before, read_logbook(before), roles).state == "in-force"
    later(3)
    with pytest.raises(Unavailable) as caught:
        refresh(witnessed.fleet())
    assert caught.value.code == "stale"
    view = look(witnessed)
    assert view.unproved is not None
    assert force_of(view, read_logbook(view), roles).state == "in-force"


def test_a_lost_logbook_is_read_from_the_log_again(begun: Owner) -> None:
    """Also a damaged one, and one of another time; what counts is judged anew, entry by entry."""
    for name in ("eve", "kay"):
        change(begun, name)
    view = refresh(begun.fleet())
    book = read_logbook(view)
    path = begun.fleet().directory / "logbook.json"
    early = path.read_bytes()
    change(begun, "joe")
    for damage in (None, b"{", early):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        view = refresh(begun.fleet())
        again = read_logbook(view)
        assert again is not None
        assert book is not None
        assert again.places[: len(book.places)] != ()
        assert [(one.role, one.version, one.index) for one in again.places][: len(book.places)] == [
            (one.role, one.version, one.index) for one in book.places
        ]
        assert again.counted["targets", view.versions["targets"]] == (again.known.signed.size - 1,)


def test_without_a_log_the_words_stay(begun: Owner) -> None:
    """A fleet that names no log, or named none when the change was made: it is published."""
    change(begun)
    view = refresh(begun.fleet())
    newest = {"targets": view.versions["targets"]}
    none = force_of(view, None, newest)
    assert (none.state, none.says("Change 3"), none.brief) == (
        "no-log", "Change 3 is published", "Published."
    )  # fmt: skip
    book = read_logbook(view)
    assert book is not None
    late = Logbook(book.known, tuple(one for one in book.places if one.version > 1))
    before = force_of(view, late, {"targets": 1})
    assert (before.state, before.why) == ("no-log", "the log begins after targets 1")
    assert force_of(view, late, newest).state == "in-force"
    assert log_state(view, None) is None


def test_what_was_proved_in_a_lost_log_stays_proved(begun: Owner) -> None:
    """A successor holds the roles as they stand; of earlier versions this machine has the proof."""
    old = change(begun)["force"]
    change(begun, "kay")
    begun.do("trust", "log", "succeed", "authority", "--yes")
    view = refresh(begun.fleet())
    book = read_logbook(view)
    assert book is not None
    version = view.versions["targets"]
    now, before = (force_of(view, book, {"targets": one}) for one in (version, version - 1))
    assert (before.state, before.log, before.index) == ("in-force", old["log"], old["index"])
    assert (now.state, now.log) == ("in-force", f"{old['log']}/2")
    assert ("targets", version - 1) not in book.counted
    again = read_logbook(refresh(begun.fleet()))
    assert again is not None
    assert again.past == book.past


def test_the_log_shows_what_should_not_be_in_it(begun: Owner) -> None:
    """Entries that do not count and a fork are shown at every look, not only at the first; they
    take nothing out of force.
    """
    fleet = begun.fleet()
    signer = server_signer(begun, fleet.id)
    publications = begun.served.publications
    publications.logs.append(FleetId(fleet.id), signer.key.name, [b"nonsense"])
    roles = {"targets": refresh(fleet).versions["targets"]}

    def odd() -> set[str]:
        view = refresh(begun.fleet())
        book = read_logbook(view)
        assert force_of(view, book, roles).state == "in-force"
        state = log_state(view, book)
        assert state is not None
        return {code for code, _ in state.odd}

    assert odd() == odd() == {"log-entry-ignored"}
    begun.served.lie = another_history(begun, signer)
    assert begun.refused("people", "list") == "log-consistency"
    begun.served.lie = {}
    assert odd() == odd() == {"log-entry-ignored", "log-fork"}


def server_signer(owner: Owner, fleet: str) -> NoteSigner:
    """What a thief of the server's log key signs with."""
    key = load_log_key(ServerDirectory(owner.served.directory))
    assert key is not None
    name = log_origin(FleetId(fleet), "authority")
    return NoteSigner(VerifierKey(name, Kind.ED25519, key.public), key.sign)


def another_history(owner: Owner, signer: NoteSigner) -> dict[str, bytes | None]:
    """A longer log of the same name that does not go on from the true one."""
    floor = owner.fleet().floors.log_floor(signer.key.name)
    assert floor is not None
    entries = [f"{number}".encode() for number in range(floor.size + 2)]
    root = range_over(map(leaf_hash, entries)).root()
    lie = sign_checkpoint(Checkpoint(signer.key.name, len(entries), root), signer)
    _, tiles = Edge().grown(entries)
    shown: dict[str, bytes | None] = {
        f"log/authority/{tile.path}": data for tile, data in tiles.items()
    }
    shown["log/authority/checkpoint"] = lie.encode()
    return shown


def test_what_is_being_published_is_waited_for(
    begun: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log and files differ while somebody publishes: a command looks again before it gives up."""
    old = old_files(begun)
    change(begun)
    forgetful(begun)
    begun.served.lie = dict(old)
    monkeypatch.setattr("allod.cli.refresh.SETTLE", 30.0)
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            begun.served.lie = {}

    monkeypatch.setattr("allod.cli.refresh.time.sleep", sleep)
    refresh(begun.fleet())
    assert len(waited) == 2
