"""Providers' channels: taken in, logged, witnessed, served; sequences rise, and nothing is twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from allod.domain.delegation import Follow
from allod.domain.ids import GroupName, ProviderName, group_scope, sha256
from allod.errors import AllodError, Conflict
from allod.server.services.backup import backup, restore
from allod.server.services.limits import Rate
from allod.server.services.witnesses import add_witness
from allod.testing.asgi import Answer, ask
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.logs import note_signer
from allod.testing.owner import key_from
from allod.testing.server import FakeServerClock, ServerRig, upload_of
from allod.testing.server_logs import entries_in, entries_of, naming
from allod.tlog.checkpoint import open_checkpoint, vouched
from allod.tlog.note import Kind, NoteSigner, parse_key
from allod.trust.dsse import make_envelope
from allod.wire.api import ChangeUpload, ChannelUpload, FloorsUpload
from allod.wire.codec import encode
from allod.wire.envelope import CHANNEL, GATE
from allod.wire.trust import Witnesses

KITCHEN = group_scope(GroupName("kitchen"))
TOASTER = "pkg:generic/acme/toaster"
ACME = SimulatedProvider("acme")
FOLLOW = Follow(ProviderName("acme"), "stable")


def following(rig: ServerRig, **provider: object) -> ServerRig:
    """The fleet follows `acme/stable`."""
    made = Delegating(rig.simulator)
    rig.change(made.set_provider(ACME, **provider))
    rig.change(made.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=FOLLOW))
    return rig


def document(rig: ServerRig, sequence: int, version: str = "1.0", **fields) -> bytes:
    release = (version, sha256(version.encode()))
    return fields.pop("provider", ACME).channel(
        sequence, {TOASTER: release}, rig.clock.now(), **fields
    )


def code_of(rig: ServerRig, raw: bytes) -> str:
    """The code with which a document is refused; nothing is published then."""
    news = rig.server.fleets.need(rig.fleet).news
    with pytest.raises(AllodError) as caught:
        rig.server.channels.take(rig.fleet, raw)
    assert rig.server.fleets.need(rig.fleet).news == news
    return caught.value.code


def fetch(rig: ServerRig, path: str) -> Answer:
    headers = rig.signed("GET", f"/f/{rig.fleet}/{path}")
    return ask(rig.application, "GET", f"/f/{rig.fleet}/{path}", headers=headers)


def test_a_document_is_taken_served_and_listed(rig: ServerRig) -> None:
    """By the API: news for devices, one file for ever, and `latest.json` for the newest. The same
    again changes nothing; its spelling does not matter.
    """
    following(rig)
    news = rig.server.fleets.need(rig.fleet).news
    path = f"/api/v1/fleets/{rig.fleet}/channels"
    for sequence in (3, 3, 7):
        body = encode(ChannelUpload(document=b" " + document(rig, sequence)))
        answer = ask(
            rig.application, "POST", path, body=body, headers=rig.signed("POST", path, body)
        )
        assert (answer.status, answer.json["sequence"]) == (201, sequence)
    assert answer.json["news"] == news + 2
    for sequence in (3, 7):
        served = fetch(rig, f"channels/acme/stable/{sequence}.json")
        assert served.body == document(rig, sequence)
        assert "immutable" in served.headers["cache-control"]
    latest = fetch(rig, "channels/acme/stable/latest.json")
    assert latest.body == document(rig, 7)
    assert "immutable" not in latest.headers["cache-control"]
    [status] = ask(rig.application, "GET", path, headers=rig.signed("GET", path)).json["channels"]
    assert (status["delegations"], status["sequence"], status["witnessed"]) == (["acme"], 7, False)
    changes = rig.server.listings.changes(rig.fleet, news, 10).changes
    assert [change.kind for change in changes] == ["channel", "channel"]


def test_files_of_channels_need_a_token(rig: ServerRig) -> None:
    """What a fleet follows is nobody else's business."""
    following(rig)
    rig.server.channels.take(rig.fleet, document(rig, 1))
    path = f"/f/{rig.fleet}/channels/acme/stable/latest.json"
    assert ask(rig.application, "GET", path).status == 401
    token = {"authorization": f"Bearer {rig.token(rig.bound())}"}
    assert ask(rig.application, "GET", path, headers=token).status == 200
    for other in ("", "acme", "acme/stable/0.json", "acme/stable/x.json", "../../pending.json"):
        where = f"/f/{rig.fleet}/channels/{other}"
        assert ask(rig.application, "GET", where, headers=token).status in {400, 404}


def test_what_a_device_would_not_follow_is_not_taken(rig: ServerRig) -> None:
    """Other keys, another kind of statement, a channel or provider that nobody follows, an end
    that is past, no envelope at all.
    """
    following(rig)
    stranger = SimulatedProvider("acme", [key_from("stranger")])
    other = SimulatedProvider("other")
    old = timedelta(days=-1)
    for raw, code in (
        (document(rig, 1, provider=stranger), "auth"),
        (document(rig, 1, provider=other), "not-followed"),
        (document(rig, 1, channel="beta"), "not-followed"),
        (document(rig, 1, life=old), "channel-expired"),
        (encode(make_envelope(b"{}", GATE, ACME.keys)), "wrong-type"),
        (encode(make_envelope(b"{}", CHANNEL, ACME.keys)), "bad-document"),
        (b"{}", "bad-document"),
        (b"x", "bad-json"),
    ):
        assert code_of(rig, raw) == code
    assert not (rig.settings.layout.fleet(rig.fleet).root / "channels").exists()


def test_a_threshold_of_keys_is_needed(rig: ServerRig) -> None:
    """The owner asks for two of the provider's keys: one alone publishes nothing."""
    both = SimulatedProvider("acme", [key_from("a"), key_from("b")])
    made = Delegating(rig.simulator)
    rig.change(made.set_provider(both, threshold=2))
    rig.change(made.grant("acme", [KITCHEN], follow=FOLLOW))
    one = SimulatedProvider("acme", both.keys[:1])
    assert code_of(rig, document(rig, 1, provider=one)) == "auth"
    rig.server.channels.take(rig.fleet, document(rig, 1, provider=both))


def test_a_distrusted_provider_publishes_nothing_more(rig: ServerRig) -> None:
    """Wholly, or from a place of the log on: what is new does not count either way."""
    following(rig)
    rig.server.channels.take(rig.fleet, document(rig, 1))
    made = Delegating(rig.simulator)
    rig.change(made.set_provider(ACME, distrusted="bought by a stranger", distrusted_after=99))
    assert code_of(rig, document(rig, 2)) == "provider-distrusted"


def test_sequences_rise_and_stand_for_one_content(rig: ServerRig) -> None:
    """A lower one that is new is refused; a second content is refused and an alarm, once; what
    was served stays.
    """
    following(rig)
    rig.server.channels.take(rig.fleet, document(rig, 5))
    assert code_of(rig, document(rig, 4)) == "rollback"
    for _ in range(2):
        assert code_of(rig, document(rig, 5, "6.6")) == "equivocation"
    alarms = rig.server.listings.alarms(rig.fleet).alarms
    assert [(one.code, one.subject) for one in alarms] == [("equivocation", "channel acme/stable")]
    rig.server.channels.take(rig.fleet, document(rig, 6))
    assert code_of(rig, document(rig, 5, "6.6")) == "equivocation"
    assert fetch(rig, "channels/acme/stable/5.json").body == document(rig, 5)


def test_one_channel_uses_up_its_own_budget_alone(rig: ServerRig) -> None:
    """A provider who publishes without end waits; what is there already costs nothing."""
    following(rig)
    follow = Follow(ProviderName("acme"), "beta")
    rig.change(Delegating(rig.simulator).grant("beta", [KITCHEN], follow=follow))
    rig.server.channels._rate = Rate(rig.clock, 2, "documents of a channel", seconds=3600)
    for sequence in (1, 2):
        rig.server.channels.take(rig.fleet, document(rig, sequence))
    assert code_of(rig, document(rig, 3)) == "too-many"
    rig.server.channels.take(rig.fleet, document(rig, 2))
    rig.server.channels.take(rig.fleet, document(rig, 1, channel="beta"))


def with_log(rig: ServerRig, witnesses: Sequence[NoteSigner] = ()) -> ServerRig:
    """A fleet with logs (and witnesses) that follows the channel."""
    named = None
    if witnesses:
        keys = [str(one.key) for one in witnesses]
        named = Witnesses(keys=keys, quorum=len(keys), max_age_seconds=3600)
    begin = naming(rig, witnesses=named)
    rig.server.publish(rig.fleet, begin)
    rig.simulator.statements.extend(begin.trust.values())
    made = Delegating(rig.simulator)
    for publication in (
        made.set_provider(ACME),
        made.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=FOLLOW),
    ):
        upload = upload_of(publication, rig.base(publication))
        rig.server.publish(
            rig.fleet,
            ChangeUpload(
                base=upload.base,
                metadata=upload.metadata,
                targets=upload.targets,
                entries=entries_of(rig, upload.metadata, {}),
            ),
        )
    return rig


@pytest.mark.parametrize("rig", ["directory", "sql"], indirect=True)
def test_a_document_stands_whole_in_the_log(rig: ServerRig) -> None:
    """The entry is the envelope, once; the record says where it stands; a refusal of what came
    with another content is in the log of activity.
    """
    with_log(rig)
    before = entries_in(rig, "authority")
    raw = document(rig, 1)
    for _ in range(2):
        rig.server.channels.take(rig.fleet, raw)
    assert entries_in(rig, "authority") == [*before, raw]
    [row] = rig.server.stores.database.channels(rig.fleet)
    assert row.index == len(before)
    path = f"/api/v1/fleets/{rig.fleet}/channels"
    body = encode(ChannelUpload(document=document(rig, 1, "6.6")))
    answer = ask(rig.application, "POST", path, body=body, headers=rig.signed("POST", path, body))
    assert (answer.status, answer.json["code"]) == (422, "equivocation")
    activity = b"".join(entries_in(rig, "activity"))
    assert b'"kind":"refusal"' in activity
    assert b'"kind":"alarm"' in activity
    rig.restart()
    assert entries_in(rig, "authority") == [*before, raw]


def test_a_log_that_follows_has_the_newest_documents(rig: ServerRig) -> None:
    """What counted in a log that was lost counts in its successor; meanwhile nothing is taken."""
    with_log(rig)
    for sequence in (1, 2):
        rig.server.channels.take(rig.fleet, document(rig, sequence))
    state = rig.server.fleets.need(rig.fleet)
    assert state.statement is not None
    rig.server.publications.logs.give_up(rig.fleet, state.statement.logs[0].origin)
    assert code_of(rig, document(rig, 3)) == "log-restored"
    rig.server.publish(rig.fleet, naming(rig, 2))
    assert entries_in(rig, "authority/2")[-1] == document(rig, 2)
    rig.server.channels.take(rig.fleet, document(rig, 3))
    assert entries_in(rig, "authority/2")[-1] == document(rig, 3)


def test_witnessed_documents_have_a_checkpoint_beside_them(rig: ServerRig) -> None:
    """The first checkpoint with a quorum that holds the entry lies beside the document, and stays
    as it was; before the quorum there is none.
    """
    witness = note_signer("w0.example", Kind.COSIGNATURE)
    with_log(rig, [witness])
    add_witness(rig.settings.layout, str(witness.key), "http://127.0.0.1:9/")
    rig.server.channels.take(rig.fleet, document(rig, 1))
    path = "channels/acme/stable/1.checkpoint"
    assert fetch(rig, path).status == 404
    cosign_served(rig, witness)
    rig.server.channels.witness()
    answer = fetch(rig, path)
    log = rig.server.fleets.need(rig.fleet).statement.logs[0]

    signed = open_checkpoint(answer.body, log.origin, [parse_key(log.key)])
    assert vouched(signed, [witness.key]).as_of(1) is not None
    [row] = rig.server.stores.database.channels(rig.fleet)
    assert row.index < signed.size
    rig.clock.pass_time(hours=1)
    cosign_served(rig, witness)
    rig.server.channels.witness()
    rig.restart()
    rig.server.channels.witness()
    assert fetch(rig, path).body == answer.body
    assert rig.server.channels.listed(rig.fleet).channels[0].witnessed


def cosign_served(rig: ServerRig, witness: NoteSigner) -> None:
    """The witness cosigns what is served, and somebody brings it."""
    from allod.tlog.witness import cosign, with_cosignatures

    log = rig.server.fleets.need(rig.fleet).statement.logs[0]
    raw = rig.server.publications.logs.reader(rig.fleet, log.origin).published()
    signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
    made = cosign(signed.checkpoint, witness, int(rig.clock.seconds()))
    brought = with_cosignatures(signed, made, [witness.key])
    rig.server.gather.submitted(rig.fleet, "authority", brought.encode())


def test_channels_come_back(rig: ServerRig, tmp_path: Path) -> None:
    """A rebuild and a backup keep documents; a restored server takes none before it has learnt."""
    following(rig)
    for sequence in (1, 2):
        rig.server.channels.take(rig.fleet, document(rig, sequence))
    rows = rig.server.stores.database.channels(rig.fleet)
    rig.server.rebuild(rig.fleet)
    assert rig.server.stores.database.channels(rig.fleet) == rows
    backup(rig.settings.layout, tmp_path / "archive")

    restore(tmp_path / "archive", tmp_path / "again", rig.clock.now())
    again = ServerRig(
        tmp_path / "again",
        rig.simulator,
        FakeServerClock(rig.clock.now()),
        replace(rig.settings, directory=tmp_path / "again"),
    )
    again.start()
    assert again.server.stores.database.channels(rig.fleet) == rows
    assert fetch(again, "channels/acme/stable/latest.json").body == document(rig, 2)
    with pytest.raises(Conflict, match="must first learn"):
        again.server.channels.take(rig.fleet, document(rig, 3))
    again.server.learn_floors(rig.fleet, FloorsUpload(metadata={}))
    again.server.channels.take(rig.fleet, document(rig, 3))
    again.server.close()
