"""Attack 59: a challenge that is itself a report or a statement."""

from __future__ import annotations

import pytest
from tests.unit.trust.reports import DEVICE, FLEET, KEY, report

from allod.errors import Untrusted
from allod.testing.repository import key_from
from allod.trust.binding import make_token_request, verify_token_request
from allod.trust.dsse import decode_envelope, make_envelope, payload_of, sign_envelope
from allod.trust.keys import from_key
from allod.trust.report import verify_report
from allod.wire.codec import encode
from allod.wire.envelope import BINDING, REPORT, TOKEN_REQUEST, Envelope

PUBLIC = from_key(KEY.public_key)


def test_attack_59_a_signed_challenge_is_no_report() -> None:
    """The device signs what the server chose, as a token request; re-labelled it is worthless."""
    evil = encode(report(1)).decode()
    answer = make_token_request(KEY, fleet=FLEET, epoch=1, challenge=evil)
    good = verify_token_request(answer, PUBLIC, fleet=FLEET, epoch=1, challenge=evil)
    assert good.value.challenge == evil
    with pytest.raises(Untrusted) as caught:
        verify_report(answer, PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)
    assert caught.value.code == "wrong-type"
    envelope = decode_envelope(answer)
    relabelled = encode(
        Envelope(payload_type=REPORT, payload=envelope.payload, signatures=envelope.signatures)
    )
    with pytest.raises(Untrusted) as caught:
        verify_report(relabelled, PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)
    assert caught.value.code == "auth"
    assert payload_of(envelope) != evil.encode()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"challenge": "other"}, "wrong-challenge"),
        ({"epoch": 2}, "wrong-device"),
        ({"fleet": "e" * 64}, "wrong-fleet"),
    ],
)
def test_attack_59_an_answer_counts_for_one_challenge_of_one_fleet(
    fields: dict[str, object], code: str
) -> None:
    """An answer to another challenge, binding or fleet opens nothing."""
    answer = make_token_request(KEY, fleet=FLEET, epoch=1, challenge="c")
    asked = {"fleet": FLEET, "epoch": 1, "challenge": "c", **fields}
    with pytest.raises(Untrusted) as caught:
        verify_token_request(answer, PUBLIC, **asked)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_attack_59_another_key_answers_nothing() -> None:
    """Signed by another device, or as another statement."""
    other = make_token_request(key_from("other"), fleet=FLEET, epoch=1, challenge="c")
    with pytest.raises(Untrusted):
        verify_token_request(other, PUBLIC, fleet=FLEET, epoch=1, challenge="c")
    payload = payload_of(make_envelope(b"{}", TOKEN_REQUEST, [KEY]))
    with pytest.raises(Untrusted) as caught:
        verify_token_request(
            sign_envelope(payload, BINDING, [KEY]), PUBLIC, fleet=FLEET, epoch=1, challenge="c"
        )
    assert caught.value.code == "wrong-type"
