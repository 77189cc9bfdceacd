"""The owner's side of a server's logs: statements that name them, entries, and what a reader sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from allod.domain.ids import sha256
from allod.server import keys
from allod.server.services.logs import read_tile
from allod.testing.repository import DEFAULT_LOCATION
from allod.testing.server import ServerRig, upload_of
from allod.tlog.checkpoint import Checkpoint, open_checkpoint
from allod.tlog.merkle import EMPTY_ROOT, CompactRange
from allod.tlog.note import Kind, VerifierKey, parse_key
from allod.tlog.tail import Tail
from allod.tlog.tiles import ENTRIES, tile_at
from allod.trust.dsse import decode_envelope, make_envelope, payload_of
from allod.trust.metadata import open_role
from allod.trust.papers import make_statement
from allod.wire.api import ChangeUpload
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    ACTIVITY,
    AUTHORITY,
    RoleStatement,
    decode_authority,
    encode_authority,
    encode_role_statement,
    log_origin,
)
from allod.wire.trust import Log, Witnesses

NAMES: Final = (AUTHORITY, ACTIVITY)


def named(rig: ServerRig, number: int = 1) -> list[Log]:
    """The logs as the owner's statement names them, by the server's offered key."""
    key = keys.load_log_key(rig.settings.layout)
    if key is None:
        raise AssertionError("the server has no log key")
    logs = []
    for at in range(1, number + 1):
        for name in NAMES:
            origin = log_origin(rig.fleet, name, at)
            text = str(VerifierKey(origin, Kind.ED25519, key.public))
            follows = log_origin(rig.fleet, name, at - 1) if at > 1 else None
            genesis = sha256(Checkpoint(origin, 0, EMPTY_ROOT).text.encode())
            logs.append(Log(name=name, origin=origin, key=text, genesis=genesis, follows=follows))
    return logs


def entry_of(rig: ServerRig, role: str, version: int, digest: str) -> bytes:
    """The entry of a file, by the keys that sign the file."""
    owner = rig.simulator.owner
    signers = owner.root if role == "trust" else owner.signers.get(role, owner.targets)
    statement = RoleStatement(fleet=rig.fleet, role=role, version=version, digest=digest)
    return encode_authority(make_envelope(encode_role_statement(statement), LOG_ROLE, signers))


def entries_of(
    rig: ServerRig, metadata: Mapping[str, bytes], trust: Mapping[str, bytes]
) -> list[bytes]:
    """The entries of an upload, in no order of merit."""
    entries = []
    for name, data in metadata.items():
        number, role, _ = name.split(".")
        entries.append(entry_of(rig, role, int(number), open_role(data, role).digest))
    for number, raw in trust.items():
        payload = payload_of(decode_envelope(raw, what="a statement"))
        entries.append(entry_of(rig, "trust", int(number), sha256(payload)))
    return entries[::-1]


def naming(rig: ServerRig, number: int = 1, witnesses: Witnesses | None = None) -> ChangeUpload:
    """The upload of a statement that names logs; the log that begins gets all roles."""
    simulator = rig.simulator
    raw = make_statement(
        rig.fleet,
        simulator.statements[-1],
        rig.clock.moment,
        simulator.owner.root,
        anchors=[DEFAULT_LOCATION],
        logs=named(rig, number),
        witnesses=witnesses,
    )
    trust = {str(len(simulator.statements) + 1): raw}
    return ChangeUpload(trust=trust, entries=entries_of(rig, rig.genesis().metadata, trust))


def logged(rig: ServerRig) -> ServerRig:
    """A fleet whose owner names the server's logs."""
    rig.server.publish(rig.fleet, naming(rig))
    return rig


def change(rig: ServerRig, **fleet: Any) -> ChangeUpload:
    """A change of fleet.json with its entries."""
    publication = rig.simulator.set_fleet(
        people=rig.server.fleets.need(rig.fleet).document.people,
        revoked_invites=["gone"],
        **fleet,
    )
    upload = upload_of(publication, rig.base(publication))
    return ChangeUpload(
        base=upload.base,
        metadata=upload.metadata,
        targets=upload.targets,
        entries=entries_of(rig, upload.metadata, {}),
    )


def entries_in(rig: ServerRig, place: str) -> list[bytes]:
    """Every entry under the checkpoint that is served, verified as a reader does."""
    files = rig.server.publications.logs.files(rig.fleet, place)
    raw = files.published()
    if raw is None:
        raise AssertionError("no checkpoint is served")
    log = next(log for log in named(rig, 2) if log.origin.endswith(place))
    signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
    tail = Tail(CompactRange(), signed.size)
    found: list[bytes] = []
    while (wanted := tail.wanted) is not None:
        tile = tile_at(ENTRIES, wanted.index, signed.size)
        data = read_tile(files, tile)
        if data is None:
            raise AssertionError(f"{tile.path} is not served")
        found += [entry for _, entry in tail.take(data, width=tile.width)]
    tail.finish(signed.checkpoint)
    return found


def roles_in(rig: ServerRig, place: str = "authority") -> list[tuple[str, int]]:
    """Role and version of every entry."""
    found = [decode_authority(entry).role for entry in entries_in(rig, place)]
    return [(entry.role, entry.version) for entry in found if entry is not None]
