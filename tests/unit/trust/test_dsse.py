"""Envelopes: type, threshold, distinct keys, merging."""

from __future__ import annotations

import base64
import json

import pytest
from securesystemslib.dsse import Envelope as Reference

from allod.errors import InvalidInput, Untrusted
from allod.testing.repository import key_from
from allod.trust.dsse import add_signatures, merge_envelopes, sign_envelope, verify_envelope
from allod.trust.verified import Verified

ONE, TWO, THREE = key_from("one"), key_from("two"), key_from("three")
KIND = "application/x-test"


def test_an_envelope_is_the_standards() -> None:
    """Securesystemslib verifies what we sign, and we what it signs."""
    raw = sign_envelope(b"payload", KIND, [ONE, TWO])
    reference = Reference.from_dict(json.loads(raw))
    assert len(reference.verify([ONE.public_key, TWO.public_key], 2)) == 2
    theirs = Reference(b"payload", KIND, {})
    theirs.sign(ONE)
    verified = verify_envelope(json.dumps(theirs.to_dict()).encode(), KIND, [ONE.public_key], 1)
    assert verified.value == b"payload"


def test_thresholds_count_distinct_known_good_keys() -> None:
    """Strangers, repeats and broken signatures do not count; the type is part of what is signed."""
    raw = sign_envelope(b"p", KIND, [ONE, THREE])
    keys = [ONE.public_key, TWO.public_key]
    assert verify_envelope(raw, KIND, keys, 1).by == {ONE.public_key.keyid}
    for threshold in (0, 2):
        with pytest.raises(Untrusted) as caught:
            verify_envelope(raw, KIND, keys, threshold)
        assert caught.value.code == "auth"
    with pytest.raises(Untrusted) as caught:
        verify_envelope(raw, KIND + "2", keys, 1)
    assert caught.value.code == "wrong-type"
    value = json.loads(raw)
    value["signatures"][0]["sig"] = base64.b64encode(b"\0" * 64).decode()
    with pytest.raises(Untrusted):
        verify_envelope(json.dumps(value).encode(), KIND, keys, 1)


@pytest.mark.parametrize("field", ["payload", "sig", "count"])
def test_malformed_envelopes_are_refused(field: str) -> None:
    """Base64 that is none, and more signatures than anybody needs."""
    value = json.loads(sign_envelope(b"p", KIND, [ONE]))
    if field == "payload":
        value["payload"] = "***"
    elif field == "sig":
        value["signatures"][0]["sig"] = "***"
    else:
        value["signatures"] *= 33
    with pytest.raises(InvalidInput) as caught:
        verify_envelope(json.dumps(value).encode(), KIND, [ONE.public_key], 1)
    assert caught.value.code == "bad-document"


def test_signatures_of_several_machines_come_together() -> None:
    """Merged or added one after the other: the same envelope, at its threshold."""
    first, second = sign_envelope(b"p", KIND, [ONE]), sign_envelope(b"p", KIND, [TWO])
    merged = merge_envelopes([first, second])
    assert merged == add_signatures(first, KIND, [TWO])
    assert len(verify_envelope(merged, KIND, [ONE.public_key, TWO.public_key], 2).by) == 2
    with pytest.raises(InvalidInput) as caught:
        merge_envelopes([first, sign_envelope(b"q", KIND, [TWO])])
    assert caught.value.code == "different-documents"
    with pytest.raises(Untrusted):
        add_signatures(first, "application/other", [TWO])


def test_verified_cannot_be_made_elsewhere() -> None:
    """Only this room has the seal."""
    with pytest.raises(RuntimeError):
        Verified(b"x", frozenset(), seal=object())
    assert "b'p'" in repr(
        verify_envelope(sign_envelope(b"p", KIND, [ONE]), KIND, [ONE.public_key], 1)
    )
