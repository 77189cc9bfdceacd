"""Entries of the logs: one form in bytes, and what cannot be read is refused by name."""

from __future__ import annotations

import base64
import json

import pytest

from allod.domain.ids import FleetId
from allod.errors import InvalidInput
from allod.wire.codec import encode
from allod.wire.envelope import CHANNEL, LOG_ROLE, REPORT, Envelope, Signature
from allod.wire.log import (
    AlarmEntry,
    BindingEntry,
    RefusalEntry,
    ReportEntry,
    RoleStatement,
    decode_activity,
    decode_authority,
    encode_activity,
    encode_authority,
    encode_role_statement,
    log_origin,
)

FLEET, DEVICE, DIGEST = "f" * 64, "d" * 64, "sha256:" + "0" * 64
AT = "2026-11-23T09:00:00Z"
STATEMENT = RoleStatement(fleet=FLEET, role="targets", version=7, digest=DIGEST)
SIGNATURES = [Signature(keyid=key * 64, sig="YWJj") for key in "ba"]
ACTIVITY = [
    BindingEntry(fleet=FLEET, device=DEVICE, epoch=1, digest=DIGEST),
    ReportEntry(fleet=FLEET, device=DEVICE, epoch=1, sequence=4, previous=None, digest=DIGEST),
    RefusalEntry(fleet=FLEET, at=AT, code="surplus", subject="x", says="why", digest=None),
    AlarmEntry(fleet=FLEET, at=AT, code="forked", subject="x", says="why", digest=DIGEST),
]


def envelope(payload: bytes, kind: str = LOG_ROLE, signatures=None) -> Envelope:
    return Envelope(
        payload_type=kind,
        payload=base64.b64encode(payload).decode(),
        signatures=SIGNATURES if signatures is None else signatures,
    )


ENTRY = encode_authority(envelope(encode_role_statement(STATEMENT)))


def test_a_roles_entry_comes_back() -> None:
    """Signatures are put in the order of their keys; the rest stays."""
    read = decode_authority(ENTRY)
    assert read.role == STATEMENT
    assert read.payload == encode_role_statement(STATEMENT)
    assert [signature.keyid[0] for signature in read.envelope.signatures] == ["a", "b"]
    assert encode_authority(read.envelope) == ENTRY


def test_a_channel_stands_whole_in_its_entry() -> None:
    """Its payload is not read here, and has room up to the cap of an entry."""
    payload = b'{"type":"allod.channel"}' + b" " * 48_000
    read = decode_authority(encode_authority(envelope(payload, CHANNEL)))
    assert (read.payload, read.role) == (payload, None)
    with pytest.raises(InvalidInput) as refused:
        encode_authority(envelope(payload + b" " * 2000, CHANNEL))
    assert refused.value.code == "too-large"


@pytest.mark.parametrize("entry", ACTIVITY)
def test_activity_comes_back(entry) -> None:
    """Every kind."""
    assert decode_activity(encode_activity(entry)) == entry


def changed(entry: bytes, **fields: object) -> bytes:
    return encode({**json.loads(entry), **fields})


REPORTED = encode_activity(ACTIVITY[1])


@pytest.mark.parametrize(
    "entry",
    [
        b"", b"{}", b"[" * 100_000, b'"' * 9, ENTRY, b"\xff", REPORTED + b"\n", REPORTED[:-1],
        REPORTED.replace(b":1,", b": 1,", 1), REPORTED.replace(b'"epoch":1', b'"epoch":1.0'),
        REPORTED.replace(b'"epoch":1', b'"epoch":1,"epoch":1'),
        REPORTED.replace(b'"previous":null,', b""), REPORTED.replace(b'"format":1,', b""),
        REPORTED.replace(b"report", b"rep\\u006frt"), changed(REPORTED, more=1),
        changed(REPORTED, kind="other"), changed(REPORTED, sequence=0), changed(REPORTED, epoch=-1),
        changed(REPORTED, sequence=2**63), changed(REPORTED, fleet="x"),
        changed(REPORTED, device="../x"), changed(REPORTED, digest="md5:0"),
        changed(REPORTED, previous="x"), changed(REPORTED, type="allod.report"),
        changed(REPORTED, format=2),
        changed(encode_activity(ACTIVITY[2]), code="Not A Code"),
        changed(encode_activity(ACTIVITY[2]), at="yesterday"),
        changed(encode_activity(ACTIVITY[3]), says="x" * 1001),
        changed(encode_activity(ACTIVITY[3]), subject="x" * 257),
    ],
)  # fmt: skip
def test_other_activity_is_refused(entry: bytes) -> None:
    """Other spellings of the same, missing and unknown fields, wrong addresses, long texts."""
    with pytest.raises(InvalidInput) as refused:
        decode_activity(entry)
    assert refused.value.code in {"bad-log-entry", "too-large"}


PAYLOAD = encode_role_statement(STATEMENT)


@pytest.mark.parametrize(
    "entry",
    [
        b"", b"{}", REPORTED, ENTRY + b" ", encode(envelope(PAYLOAD)),
        encode(envelope(PAYLOAD, signatures=[])),
        encode(envelope(PAYLOAD, signatures=SIGNATURES[:1] * 2)),
        encode(envelope(PAYLOAD, signatures=[Signature(keyid="x", sig="YWJj")])),
        encode(envelope(PAYLOAD, signatures=[Signature(keyid="a" * 64, sig="YWJ")])),
        encode(envelope(PAYLOAD, signatures=[Signature(keyid="a" * 64, sig="YWK")])),
        encode(envelope(PAYLOAD, signatures=[Signature(keyid="a" * 64, sig="YR==")])),
        encode(envelope(PAYLOAD, signatures=[
            Signature(keyid=f"{number:064x}", sig="YWJj") for number in range(33)
        ])),
        changed(ENTRY, payload="!"), changed(ENTRY, payloadType=REPORT),
        *(
            changed(ENTRY, payload=base64.b64encode(changed(PAYLOAD, **{name: value})).decode())
            for name, value in (
                ("fleet", "x"), ("role", "a/b"), ("role", ""), ("role", "a..b"), ("version", 0),
                ("version", 2**63), ("digest", "0"), ("more", 1), ("format", 2),
            )
        ),
        changed(ENTRY, payload=base64.b64encode(PAYLOAD + b" ").decode()),
    ],
)  # fmt: skip
def test_other_authority_is_refused(entry: bytes) -> None:
    """Unsorted or double signatures, other payload types, a statement in another spelling."""
    with pytest.raises(InvalidInput) as refused:
        decode_authority(entry)
    assert refused.value.code == "bad-log-entry"


def test_no_byte_of_an_entry_can_be_changed_unseen() -> None:
    """Each byte changed: refused, or another entry; never the same one from other bytes."""
    for at in range(len(ENTRY)):
        bad = bytearray(ENTRY)
        bad[at] ^= 1
        try:
            read = decode_authority(bytes(bad))
        except InvalidInput:
            continue
        assert encode_authority(read.envelope) == bytes(bad)


def test_what_is_wrong_is_not_written() -> None:
    """The writer refuses what a reader would."""
    with pytest.raises(InvalidInput):
        encode_role_statement(RoleStatement(fleet=FLEET, role="X", version=1, digest=DIGEST))
    with pytest.raises(InvalidInput):
        encode_activity(BindingEntry(fleet=FLEET, device="x", epoch=1, digest=DIGEST))


def test_origins_are_no_ones_twice() -> None:
    """Of fleets, of the two logs, and of a log that succeeds another."""
    one, other = FleetId(FLEET), FleetId("e" * 64)
    origins = {
        log_origin(fleet, name, number)
        for fleet in (one, other) for name in ("authority", "activity") for number in (1, 2)
    }  # fmt: skip
    assert len(origins) == 8
    assert log_origin(one, "authority") == f"allod.dev/log/{FLEET}/authority"
