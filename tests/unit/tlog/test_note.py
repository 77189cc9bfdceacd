"""Signed notes: one spelling, known keys only, and nothing that can be changed unseen."""

from __future__ import annotations

import base64

import pytest

from allod.errors import AllodError, InvalidInput, Untrusted
from allod.testing.logs import note_signer
from allod.tlog.note import (
    Kind,
    Note,
    Signature,
    VerifierKey,
    parse_key,
    parse_note,
    require_signed,
    signed_by,
)

LOG = note_signer("log.example/one")
WITNESS = note_signer("witness.example/w", Kind.COSIGNATURE)
TEXT = "log.example/one\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
KEYS = [LOG.key, WITNESS.key]


def note() -> Note:
    return Note(TEXT, (LOG.signature(TEXT), WITNESS.cosignature(TEXT, 1_700_000_000)))


def test_a_note_comes_back() -> None:
    """Bytes, signatures and times are read as they were written."""
    read = parse_note(note().encode())
    assert read == note()
    assert [(one.key, one.at) for one in require_signed(read, KEYS)] == [
        (LOG.key, None),
        (WITNESS.key, 1_700_000_000),
    ]


def test_no_byte_of_a_note_can_be_changed() -> None:
    """Each bit of text and signatures changed: refused, or one of the two signatures is gone."""
    raw = note().encode()
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            try:
                found = signed_by(parse_note(bytes(changed)), KEYS)
            except (InvalidInput, Untrusted):
                continue
            assert len(found) < 2, (at, bit)


def test_keys_come_back_and_are_checked() -> None:
    """A verifier key is read in its one spelling; a wrong id, type, length or name is refused."""
    for key in KEYS:
        assert parse_key(str(key)) == key
    name, number, public = str(LOG.key).split("+", 2)
    zero = base64.b64encode(b"\x06" + bytes(1312)).decode()
    for bad in (
        "", name, f"{name}+{number}", f"{name}+00000000+{public}", f"x+{number}+{public}",
        f"{name}+{number.upper()}+{public}", f"{name}+{number}+{public[:-4]}", f"+{number}+{public}",
        f"a b+{number}+{public}", f"{name}+{number}+{zero}", f"{name}+{number}+{public}\n",
        "x" * 10_000,
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            parse_key(bad)
        assert refused.value.code in {"bad-key", "too-large"}


def test_the_id_tells_kinds_apart() -> None:
    """The same key under the same name has another id as a witness than as a log."""
    other = VerifierKey(LOG.key.name, Kind.COSIGNATURE, LOG.key.public)
    assert other.id != LOG.key.id
    assert signed_by(note(), [other]) == ()


def test_signatures_of_others_are_ignored() -> None:
    """Of unknown keys, of a known name with another id, of a known id under another name."""
    strange = (
        Signature("nobody.example", b"abcd", b"x" * 7),
        Signature(LOG.key.name, b"abcd", b"x" * 64),
        Signature("other.example", LOG.key.id, b"x" * 5000),
    )
    mixed = Note(TEXT, (*strange, *note().signatures))
    assert len(signed_by(parse_note(mixed.encode()), KEYS)) == 2
    with pytest.raises(Untrusted) as refused:
        require_signed(Note(TEXT, strange), KEYS)
    assert refused.value.code == "note-signature"


@pytest.mark.parametrize("kind", ["log", "witness"])
@pytest.mark.parametrize("length", [0, 1, 8, 63, 65, 71, 73])
def test_a_wrong_signature_by_a_known_key_spoils_the_note(kind: str, length: int) -> None:
    """Whatever its length, and although the other one is good."""
    key = LOG.key if kind == "log" else WITNESS.key
    good = [line for line in note().signatures if line.name != key.name]
    wrong = Note(TEXT, (*good, Signature(key.name, key.id, b"\0" * (length or 64))))
    with pytest.raises(Untrusted) as refused:
        signed_by(wrong, KEYS)
    assert refused.value.code == "note-signature"


def test_a_cosignatures_time_is_signed() -> None:
    """It cannot be moved, and no time beyond 2^63-1 is taken."""
    line = WITNESS.cosignature(TEXT, 1_700_000_000)
    for at in (1_700_000_001, 2**63, 2**64 - 1):
        moved = Signature(line.name, line.id, at.to_bytes(8, "big") + line.signature[8:])
        with pytest.raises(Untrusted):
            signed_by(Note(TEXT, (moved,)), KEYS)


def test_keys_sign_only_what_they_are_for() -> None:
    """A log's key does not cosign, a witness's key does not sign, and time is not zero."""
    for act in (
        lambda: LOG.cosignature(TEXT, 1),
        lambda: WITNESS.signature(TEXT),
        lambda: WITNESS.cosignature(TEXT, 0),
        lambda: WITNESS.cosignature(TEXT, 2**63),
    ):
        with pytest.raises(InvalidInput):
            act()


def test_keys_that_cannot_be_told_apart_are_refused(monkeypatch) -> None:
    """Two different keys with one name and one id: whose signature would it be?"""
    other = VerifierKey(LOG.key.name, Kind.ED25519, bytes(32))
    monkeypatch.setattr(VerifierKey, "id", property(lambda self: b"same"))
    with pytest.raises(InvalidInput, match="apart"):
        signed_by(note(), [LOG.key, other])
    assert len(signed_by(note(), [LOG.key, LOG.key])) == 1


LINE = str(LOG.signature(TEXT))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b"\n\n", TEXT.encode(), f"{TEXT}\n".encode(), f"\n{LINE}".encode(),
        f"{TEXT}{LINE}".encode(), f"{TEXT}\n{LINE}"[:-1].encode(), f"{TEXT}\n{LINE}x\n".encode(),
        f"{TEXT}\n{LINE}\n{LINE}\n".encode(), f"{TEXT}\n\u2014 a\n".encode(),
        f"{TEXT}\n\u2014  YWJjZGU=\n".encode(), f"{TEXT}\n\u2014 a YWJjZA==\n".encode(),
        f"{TEXT}\n\u2014 a+b YWJjZGU=\n".encode(), f"{TEXT}\n\u2014 a\u2003b YWJjZGU=\n".encode(),
        f"{TEXT}\n\u2014 a YWJjZGU\n".encode(), f"{TEXT}\n\u2014 a YWJjZGV=\n".encode(),
        f"{TEXT}\n- a YWJjZGU=\n".encode(), f"{TEXT}\n\u2014 a YWJj ZGU=\n".encode(),
        f"a\tb\n\n{LINE}".encode(), f"a\rb\n\n{LINE}".encode(), f"a\0b\n\n{LINE}".encode(),
        b"\xff\n\n" + LINE.encode(), f"{TEXT}\n{LINE * 101}".encode(),
    ],
)  # fmt: skip
def test_malformed_notes(raw: bytes) -> None:
    """No text, no signatures, bad lines, control characters, second spellings: refused."""
    with pytest.raises(InvalidInput) as refused:
        parse_note(raw)
    assert refused.value.code == "bad-signed-note"


def test_a_note_is_capped_before_it_is_read() -> None:
    """Sixteen large signatures pass; a note beyond the cap does not."""
    large = Signature("pq.example", b"abcd", bytes(4800))
    assert len(parse_note(Note(TEXT, (large,) * 16).encode()).signatures) == 16
    with pytest.raises(AllodError) as refused:
        parse_note(b"x" * (256 * 1024 + 1))
    assert refused.value.code == "too-large"


def test_text_with_empty_lines_is_text() -> None:
    """The last empty line divides text and signatures."""
    text = "one\n\nthree\n"
    assert parse_note(Note(text, (LOG.signature(text),)).encode()).text == text
