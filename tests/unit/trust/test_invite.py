"""Invites: everything that can be checked without the server is, and every lie shows."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from allod.errors import AllodError, InvalidInput, Refused, Unavailable, Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.repository import BUILD_TIME, RepositorySimulator, TestOwner, key_from
from allod.trust.dsse import make_envelope, payload_of
from allod.trust.invite import check_not_revoked, open_invite, root_wanted
from allod.trust.papers import make_invite, short_invite
from allod.wire.binding import Invite, InviteFile
from allod.wire.codec import decode, encode
from allod.wire.envelope import INVITE
from allod.wire.trust import FleetDocument


@pytest.fixture
def fleet() -> RepositorySimulator:
    """A fleet with two statements and some history."""
    sim = RepositorySimulator()
    sim.add_statement()
    sim.set_target("x", b"y")
    return sim


def test_an_invite_carries_all_that_a_device_needs(fleet: RepositorySimulator) -> None:
    """Its floors are those of the owner's machine: a device that starts from it takes nothing older."""
    opened = open_invite(fleet.invite(), fleet.now, BUILD_TIME)
    value = opened.value
    assert opened.by == {fleet.owner.targets[0].public_key.keyid}
    assert value.groups == ("kitchen",)
    assert value.floors.roles["targets"] == 2
    assert value.floors.trust_number == 2
    assert value.floors.time == fleet.now
    client = SimulatedClient(fleet)
    client.anchor, client.floors = value.anchor, value.floors
    assert client.accept().fleet.name == "home"
    assert client.floors.digests["snapshot"] == value.floors.digests["snapshot"]


def test_a_device_from_an_invite_without_statements_fetches_the_one_named(
    fleet: RepositorySimulator,
) -> None:
    """The short form: root and statement are fetched, and checked by their hash."""
    short = short_invite(fleet.invite())
    path, digest = root_wanted(short)
    assert path == "tuf/1.root.json"
    with pytest.raises(Unavailable) as caught:
        open_invite(short, fleet.now, BUILD_TIME)
    assert caught.value.code == "root-needed"
    assert len(digest) == 64
    value = open_invite(short, fleet.now, BUILD_TIME, root=fleet.files[path]).value
    assert value.anchor.trust is None
    client = SimulatedClient(fleet)
    client.anchor, client.floors = value.anchor, value.floors
    fleet.tamper["trust/2.json"] = lambda _data: fleet.files["trust/1.json"]
    with pytest.raises(Untrusted):
        client.accept()
    fleet.tamper["trust/2.json"] = lambda _data: None
    with pytest.raises(Unavailable) as missing:
        client.accept()
    assert missing.value.code == "withheld"
    fleet.tamper.clear()
    client.accept()
    with pytest.raises(Untrusted) as wrong:
        open_invite(
            short, fleet.now, BUILD_TIME, root=RepositorySimulator(TestOwner("b")).first_root
        )
    assert wrong.value.code == "wrong-root"


def test_an_invite_expires_by_clock_or_floor(fleet: RepositorySimulator) -> None:
    """A clock in 1970 does not make an old invite young: build and floors are times too."""
    invite = fleet.invite(expires=fleet.now + timedelta(days=1))
    open_invite(invite, BUILD_TIME - timedelta(days=20000), BUILD_TIME)
    for now, build in [
        (fleet.now + timedelta(days=2), BUILD_TIME),
        (BUILD_TIME, fleet.now + timedelta(days=2)),
    ]:
        with pytest.raises(Refused) as caught:
            open_invite(invite, now, build)
        assert caught.value.code == "invite-expired"


def test_a_revoked_invite_is_refused(fleet: RepositorySimulator) -> None:
    """By the list in fleet.json."""
    invite = open_invite(fleet.invite(), fleet.now, BUILD_TIME).value.invite
    check_not_revoked(invite, FleetDocument(fleet=fleet.fleet, name="home"))
    with pytest.raises(Refused) as caught:
        check_not_revoked(
            invite, FleetDocument(fleet=fleet.fleet, name="home", revoked_invites=["invite-1"])
        )
    assert caught.value.code == "invite-revoked"


def _resigned(
    sim: RepositorySimulator, raw: bytes, signer: CryptoSigner | None = None, /, **fields: object
) -> bytes:
    """The invite with other fields, signed again (by the owner unless said otherwise)."""
    file = decode(raw, InviteFile, cap=10**7)
    value = json.loads(payload_of(file.invite)) | fields
    signers = [signer] if signer is not None else sim.owner.targets
    envelope = make_envelope(json.dumps(value).encode(), INVITE, signers)
    return encode(InviteFile(invite=envelope, secret=file.secret, root=file.root, trust=file.trust))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fleet": "e" * 64}, "wrong-fleet"),
        ({"fleet": "no"}, "bad-fleet"),
        ({"id": "A B"}, "bad-name"),
        ({"groups": ["A B"]}, "bad-group"),
        ({"uses": 0}, "bad-document"),
        ({"root": {"version": 0, "sha256": ""}}, "bad-document"),
        ({"trust": {"number": -1, "digest": ""}}, "bad-document"),
        ({"trust": {"number": 2, "digest": "x"}}, "bad-digest"),
        ({"trust": {"number": 2, "digest": "sha256:" + "0" * 64}}, "equivocation"),
        (
            {"floors": {"roles": {"targets": 2**64 - 1}, "time": "2026-11-01T12:00:00Z"}},
            "bad-document",
        ),
        ({"floors": {"roles": {}, "snapshot": "x", "time": "2026-11-01T12:00:00Z"}}, "bad-digest"),
        ({"expires": "soon"}, "bad-time"),
        ({"more": 1}, "bad-document"),
    ],
)
def test_invites_with_a_bad_field_are_refused(
    fleet: RepositorySimulator, fields: dict[str, object], code: str
) -> None:
    """Whatever is wrong inside, the refusal names it and nothing is opened."""
    with pytest.raises(AllodError) as caught:
        open_invite(_resigned(fleet, fleet.invite(), **fields), fleet.now, BUILD_TIME)
    assert caught.value.code == code


def test_an_altered_or_foreign_invite_is_refused(fleet: RepositorySimulator) -> None:
    """Other groups by somebody else's hand; a root of another version; another invite's secret."""
    raw = fleet.invite()
    with pytest.raises(Untrusted) as caught:
        open_invite(
            _resigned(fleet, raw, key_from("thief"), groups=["vault"]), fleet.now, BUILD_TIME
        )
    assert caught.value.code == "auth"
    file = decode(raw, InviteFile, cap=10**7)
    root = json.loads(payload_of(file.invite))["root"] | {"version": 2}
    with pytest.raises(Untrusted) as caught:
        open_invite(_resigned(fleet, raw, root=root), fleet.now, BUILD_TIME)
    assert caught.value.code == "wrong-root"
    for secret, code in [
        (b"\1" * 32, "wrong-secret"),
        (b"\1" * 31, "bad-document"),
        (None, "bad-document"),
    ]:
        text = "*" if secret is None else base64.b64encode(secret).decode()
        altered = encode(
            InviteFile(invite=file.invite, secret=text, root=file.root, trust=file.trust)
        )
        with pytest.raises(AllodError) as refused:
            open_invite(altered, fleet.now, BUILD_TIME)
        assert refused.value.code == code


def test_an_invite_without_statement_or_snapshot_floor_is_fine(fleet: RepositorySimulator) -> None:
    """A fleet that has no statements yet, a machine that knows no snapshot."""
    client = SimulatedClient(fleet)
    raw = make_invite(
        client.floors,
        fleet.first_root,
        fleet.owner.targets,
        key_from("s"),
        id="i",
        name="home",
        locations=[],
        groups=[],
        expires=fleet.now,
        statements=[],
    )
    value = open_invite(raw, BUILD_TIME, BUILD_TIME).value
    assert (value.floors.trust_number, dict(value.floors.roles)) == (0, {})
    client.anchor, client.floors = value.anchor, value.floors
    client.accept()
    assert decode(payload_of(value.envelope), Invite, cap=10**6).uses == 1


def test_the_secret_of_an_invite_is_ed25519(fleet: RepositorySimulator) -> None:
    """Nothing else fits into the file."""
    with pytest.raises(InvalidInput):
        make_invite(
            SimulatedClient(fleet).floors,
            fleet.first_root,
            fleet.owner.targets,
            CryptoSigner(ec.generate_private_key(ec.SECP256R1())),
            id="i",
            name="home",
            locations=[],
            groups=[],
            expires=fleet.now,
        )
