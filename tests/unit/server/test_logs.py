"""The fleet's two logs on the server: begun by the owner's statement, appended to, served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from allod.domain.ids import sha256
from allod.errors import InvalidInput, Refused, Unavailable, Untrusted
from allod.server.services.backup import backup, restore
from allod.server.services.logs import read_tile
from allod.testing.asgi import ask
from allod.testing.logs import note_signer
from allod.testing.repository import DEFAULT_LOCATION
from allod.testing.server import ServerRig
from allod.testing.server_logs import (
    change,
    entries_in,
    entry_of,
    logged,
    named,
    naming,
    roles_in,
)
from allod.tlog.checkpoint import vouched
from allod.tlog.note import Kind, Signature, VerifierKey
from allod.tlog.tiles import ENTRIES, Tile, split_bundle
from allod.trust.dsse import decode_envelope, make_envelope, payload_of
from allod.trust.metadata import open_role
from allod.trust.papers import make_statement
from allod.wire.api import ChangeUpload
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    AlarmEntry,
    BindingEntry,
    RefusalEntry,
    ReportEntry,
    RoleStatement,
    decode_activity,
    encode_authority,
    encode_role_statement,
    log_origin,
)
from allod.wire.trust import Log, Witnesses

pytestmark = pytest.mark.parametrize("rig", ["directory", "sql"], indirect=True)


def test_a_log_begins_with_all_roles_and_grows_with_every_change(rig: ServerRig) -> None:
    """Delegators stand before what they delegate; each change adds its own entries, once."""
    logged(rig)
    begun = roles_in(rig)
    assert begun[:2] == [("root", 1), ("trust", 2)]
    assert [role for role, _ in begun[2:4]] == ["targets", "devices"]
    assert {role for role, _ in begun} == {
        "trust",
        *(role for role in rig.versions if role not in {"snapshot", "timestamp"}),
    }
    upload = change(rig)
    receipt = rig.server.publish(rig.fleet, upload)
    assert roles_in(rig) == [*begun, ("targets", receipt.versions["targets"])]
    rig.restart()
    assert rig.server.publish(rig.fleet, upload) == receipt
    assert len(roles_in(rig)) == len(begun) + 1
    assert entries_in(rig, "activity") == []


def test_what_lacks_an_entry_is_not_published(rig: ServerRig) -> None:
    """No entry, one of other keys, of another digest or fleet: nothing is published or logged."""
    logged(rig)
    before = roles_in(rig)
    upload = change(rig)
    [name] = upload.metadata
    version, digest = int(name.split(".")[0]), open_role(upload.metadata[name], "targets").digest
    stranger = make_envelope(
        encode_role_statement(
            RoleStatement(fleet=rig.fleet, role="targets", version=version, digest=digest)
        ),
        LOG_ROLE,
        rig.simulator.owner.root[:1],
    )
    for entries, code in (
        ([], "missing-log-entry"),
        ([encode_authority(stranger)], "auth"),
        ([entry_of(rig, "targets", version, sha256(b"other"))], "unsigned-log-entry"),
        ([*upload.entries, entry_of(rig, "targets", 99, digest)], "unsigned-log-entry"),
        ([b"{}"], "bad-log-entry"),
    ):
        with pytest.raises((InvalidInput, Untrusted)) as caught:
            rig.server.publish(
                rig.fleet,
                ChangeUpload(
                    base=upload.base,
                    metadata=upload.metadata,
                    targets=upload.targets,
                    entries=entries,
                ),
            )
        assert caught.value.code == code
    assert roles_in(rig) == before
    rig.server.publish(rig.fleet, upload)


def test_activity_is_logged(rig: ServerRig) -> None:
    """A binding, a report of a change, a refusal and an alarm stand in the log; heartbeats and
    what comes again do not.
    """
    logged(rig)
    device = rig.bound()
    report = device.report()
    for _ in range(2):
        rig.server.receive_report(rig.fleet, device.id, report)
    rig.server.receive_report(rig.fleet, device.id, device.report(kind="heartbeat"))
    device.sequence, device.head = 0, None
    rig.server.receive_report(rig.fleet, device.id, device.report(uptime=7))
    late = rig.device("late")
    invite = rig.simulator.invite(id="old", uses=1)
    bound = late.bind(invite, rig.clock.moment)
    rig.clock.pass_time(days=4000)
    with pytest.raises(Refused):
        rig.server.admit_binding(rig.fleet, bound)
    found = [decode_activity(entry) for entry in entries_in(rig, "activity")]
    assert [type(entry) for entry in found] == [
        BindingEntry,
        ReportEntry,
        ReportEntry,
        AlarmEntry,
        RefusalEntry,
    ]
    assert found[1].digest == sha256(payload_of(decode_envelope(report, what="a report")))
    assert found[3].code == "device-cloned"
    assert (found[4].code, found[4].subject) == ("invite-expired", "invite old")


def test_a_fleet_without_a_log_has_none(rig: ServerRig) -> None:
    """No directory, no entry, no address; also if the statement names another server's key."""
    rig.bound()
    directory = rig.settings.layout.fleet(rig.fleet)
    assert not (directory.root / "log").exists()
    assert rig.server.publications.logs.files(rig.fleet, "authority").published() is None
    other = another_servers_log(rig)
    rig.server.publish(rig.fleet, other)
    assert not (directory.root / "log").exists()


def another_servers_log(rig: ServerRig) -> ChangeUpload:
    """A statement that names the logs of another server."""
    simulator = rig.simulator
    key = str(VerifierKey(log_origin(rig.fleet, "authority"), Kind.ED25519, b"\1" * 32))
    log = Log(
        name="authority", origin=log_origin(rig.fleet, "authority"), key=key, genesis=sha256(b"")
    )
    raw = make_statement(
        rig.fleet,
        simulator.statements[-1],
        rig.clock.moment,
        simulator.owner.root,
        anchors=[DEFAULT_LOCATION],
        logs=[log],
    )
    return ChangeUpload(trust={str(len(simulator.statements) + 1): raw})


def test_a_restored_log_is_not_gone_on_with(rig: ServerRig, tmp_path: Path) -> None:
    """A backup holds the logs, readable as they were; appending is refused, and a successor
    begins with all roles.
    """
    logged(rig)
    rig.bound()
    before = roles_in(rig)
    backup(rig.settings.layout, tmp_path / "archive")
    rig.server.close()
    place = tmp_path / "restored"
    restore(tmp_path / "archive", place, rig.clock.moment)
    rig.settings = replace(rig.settings, directory=place)
    rig.directory = place
    rig.start()
    assert roles_in(rig) == before
    assert len(entries_in(rig, "activity")) == 1
    (rig.settings.layout.fleet(rig.fleet).restored).unlink()
    rig.restart()
    upload = change(rig)
    with pytest.raises(Unavailable, match="successor"):
        rig.server.publish(rig.fleet, upload)


def test_tiles_that_became_full_still_answer_for_partial_ones(rig: ServerRig) -> None:
    """A reader with an older checkpoint gets its partial tile, cut out of the full one."""
    logged(rig)
    logs = rig.server.publications.logs
    origin = log_origin(rig.fleet, "activity")
    for number in range(3):
        logs.append(
            rig.fleet, origin, [b"%d" % entry for entry in range(number * 200, number * 200 + 200)]
        )
    files = logs.files(rig.fleet, "activity")
    bundle = read_tile(files, Tile(ENTRIES, 0, 200))
    assert bundle is not None
    assert split_bundle(bundle, 200)[-1] == b"199"
    assert read_tile(files, Tile(0, 0, 200)) == (files.read(Tile(0, 0).path) or b"")[: 200 * 32]
    assert read_tile(files, Tile(0, 7, 3)) is None


def test_the_logs_are_read_with_a_token_like_everything_else(rig: ServerRig) -> None:
    """Checkpoints are asked for anew each time, tiles never again; no address leads elsewhere."""
    logged(rig)
    headers = {"authorization": f"Bearer {rig.token(rig.bound())}"}
    app, base = rig.application, f"/f/{rig.fleet}/log/authority"
    assert ask(app, "GET", f"{base}/checkpoint").status == 401
    checkpoint = ask(app, "GET", f"{base}/checkpoint", headers=headers)
    assert checkpoint.body == rig.server.publications.logs.files(rig.fleet, "authority").published()
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert checkpoint.headers["content-type"].startswith("text/plain")
    size = int(checkpoint.body.split(b"\n")[1])
    for level in ("entries", "0"):
        tile = ask(app, "GET", f"{base}/tile/{level}/000.p/{size}", headers=headers)
        assert tile.status == 200
        assert "immutable" in tile.headers["cache-control"]
    for rest in ("tile/0/000", "tile/0/../../head", "tile/64/000", "checkpoint/", "2/checkpoint"):
        assert ask(app, "GET", f"{base}/{rest}", headers=headers).status == 404
    assert ask(app, "POST", f"{base}/checkpoint", headers=headers).status == 405


def test_anybody_brings_cosignatures_of_named_witnesses(rig: ServerRig) -> None:
    """They are served with the checkpoint; of others, of other checkpoints or without a token for
    reading it makes no difference who brings them.
    """
    witness = note_signer("w.example", Kind.COSIGNATURE)
    terms = Witnesses(keys=[str(witness.key)], quorum=1, max_age_seconds=3600)
    rig.server.publish(rig.fleet, naming(rig, witnesses=terms))
    app, path = rig.application, f"/f/{rig.fleet}/log/authority/cosignatures"
    sequencer = rig.server.publications.logs.sequencer(rig.fleet, named(rig)[0].origin)
    served = sequencer.checkpoint()
    now = int(rig.clock.seconds())

    def brought(line: Signature) -> bytes:
        return served.note.with_signatures([line]).encode()

    text = served.note.text
    good = brought(witness.cosignature(text, now))
    stranger = brought(note_signer("x.example", Kind.COSIGNATURE).cosignature(text, now))
    wrong = brought(Signature("w.example", witness.key.id, bytes(72)))
    for body, status in (
        (stranger, 204),
        (wrong, 422),
        (b"x", 422),
        (b"x" * 70_000, 413),
        (good, 204),
    ):
        assert vouched(sequencer.checkpoint(), [witness.key]).as_of(1) is None
        assert ask(app, "POST", path, body=body).status == status
    assert vouched(sequencer.checkpoint(), [witness.key]).as_of(1) == now
    assert ask(app, "GET", path).status == 405
    assert ask(app, "POST", path.replace("authority", "authority/7"), body=good).status == 404
    assert ask(app, "POST", path.replace("authority", "other"), body=good).status == 404
    rig.server.publish(rig.fleet, change(rig))
    answer = ask(app, "POST", path, body=good)
    assert (answer.status, answer.json["code"]) == (409, "log-grew")
    for _ in range(400):
        if ask(app, "POST", path, body=good).status == 429:
            break
    else:
        raise AssertionError("there is no end to it")
