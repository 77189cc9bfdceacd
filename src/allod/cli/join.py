"""`allod join`, and the file for it: somebody who is not the owner acts in a fleet, from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from allod.cli.cards import JoinFile, delegation_role, own_stores, read_join_file
from allod.cli.fleet import LocalFleet, LocalSettings, fleet_names, home_directory
from allod.cli.keystore import KeyRecord, KeyStore
from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.domain.ids import parse_fleet, parse_name
from allod.errors import Conflict, InvalidInput, Unavailable
from allod.wire.codec import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allod.cli.refresh import View


def make_join_file(view: View, people: Mapping[str, str], delegation: str | None) -> bytes:
    """A join file for people who are in the fleet's document, at this machine's own floors.

    Args:
        view: the newest verified state.
        people: id of an API key -> its name in the fleet.
        delegation: by which they act; None: they approve, or look.

    Raises:
        Unavailable: `no-server`.
    """
    from allod.trust.floors import encode_floors

    fleet, repository = view.fleet, view.repository
    statement = repository.statement
    anchors = [] if statement is None else list(statement.anchors)
    server = fleet.settings.server or (anchors[0] if anchors else None)
    if server is None:
        raise Unavailable("no-server", f"cannot let anybody join {fleet.name}: it has no server")
    return encode(
        JoinFile(
            fleet=fleet.id,
            name=parse_name(fleet.settings.name, "a fleet's name"),
            people=dict(people),
            delegation=delegation,
            profile=fleet.settings.profile,
            server=server,
            root=repository.anchor.root,
            trust=repository.anchor.trust,
            floors=encode_floors(repository.floors),
        )
    )


def join(file: Path, *, name: str | None = None, options: Options = OPTIONS) -> None:
    """Act in somebody else's fleet from this machine, with a key that was made here.

    Args:
        file: What the fleet's owner gave you ('allod delegate join-file').
        name: What to call the fleet here; as the owner does, unless given.
        options: Options of every verb.
    """
    from allod.cli.refresh import refresh

    given = read_join_file(file)
    called = parse_name(name or given.name, "a fleet's name")
    parse_fleet(given.fleet)
    directory = home_directory() / "fleets" / called
    if called in fleet_names():
        raise Conflict(
            "exists", f"cannot call the fleet {called}: there is one of that name; give --name"
        )
    found = _own_key(given, options)
    if found is None:
        raise Unavailable(
            "key-elsewhere",
            f"cannot join {given.name}: the key that its owner let in was not made on this machine",
        )
    store, api = found
    keys = KeyStore(directory / "keys", store.passphrase)
    _copy_keys(store, keys, given.delegation)
    person = given.people[api.id]
    fleet = _make(directory, given, person, keys)
    view = refresh(fleet)
    speaks = f" as {given.delegation}" if given.delegation is not None else ""
    options.output.result(
        {
            "fleet": fleet.id,
            "name": called,
            "person": person,
            "delegation": given.delegation,
            "root": view.versions["root"],
        },
        f"You act in {called}{speaks} from this machine now.\n"
        f"  fleet  {fleet.id}\n"
        "Compare this id with its owner, by another way than the file came.",
    )


def _own_key(given: JoinFile, options: Options) -> tuple[KeyStore, KeyRecord] | None:
    for store in own_stores(options.passphrase()):
        for record in store.records("api"):
            if record.id in given.people and record.file is not None:
                return store, record
    return None


def _copy_keys(store: KeyStore, keys: KeyStore, delegation: str | None) -> None:
    """Take the keys into the fleet's own store: those of a role under the name that it has there.

    A join that was cut short is begun anew: what was copied is copied again.
    """
    if not (keys.directory / "index.json").exists():
        store.passphrase.read()
        keys.create()
    for record in store.records():
        if record.file is None or record.state == "retired":
            continue
        role = record.role
        if role.startswith(delegation_role("")):
            if delegation is None:
                continue
            role = delegation_role(delegation)
        keys.add(role, store.private(record), now=clock(), note=record.note)


def _make(directory: Path, given: JoinFile, person: str, keys: KeyStore) -> LocalFleet:
    from allod.trust.floors import decode_floors

    floors = decode_floors(given.floors)
    if floors.fleet != given.fleet:
        raise InvalidInput("bad-floors", "cannot join: the file's floors are another fleet's")
    settings = LocalSettings(
        fleet=given.fleet,
        name=given.name,
        person=person,
        profile=given.profile,
        server=given.server,
    )
    fleet = LocalFleet(directory, settings, keys)
    fleet.save_anchor(root=given.root, trust=given.trust)
    fleet.save_floors(floors)
    return LocalFleet.create(directory, settings, keys)
