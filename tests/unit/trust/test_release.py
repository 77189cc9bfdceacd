"""Release statements: the form that they must have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.attacks.test_attack_18_namespaces import ACME, DIGEST, TOASTER, document

from allod.errors import AllodError
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope
from allod.trust.papers import make_release_statement
from allod.trust.release import verify_release_statement
from allod.wire.envelope import IN_TOTO

GOOD = json.loads(payload_of(decode_envelope(make_release_statement(TOASTER, [ACME]))))


def test_it_is_an_in_toto_statement() -> None:
    """Any in-toto tool reads it."""
    assert GOOD["_type"] == "https://in-toto.io/Statement/v1"
    assert GOOD["predicateType"] == "https://allod.dev/release/v1"
    assert GOOD["subject"][0]["digest"] == {"sha256": DIGEST.removeprefix("sha256:")}


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": []},
        {"subject": GOOD["subject"] * 2},
        {"subject": [{"name": TOASTER.package, "digest": {"sha512": "00"}}]},
        {"subject": [{"name": TOASTER.package, "digest": {"sha256": "00"}}]},
        {"subject": [GOOD["subject"][0] | {"name": "pkg:generic/acme/other"}]},
        {"predicate": GOOD["predicate"] | {"version": "a b"}},
        {"predicate": GOOD["predicate"] | {"provider": "A"}},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"_type": "https://in-toto.io/Statement/v0.1"},
    ],
)
def test_a_statement_of_another_form_is_refused(fields: dict[str, Any]) -> None:
    """Although the provider signed it."""
    raw = sign_envelope(json.dumps(GOOD | fields).encode(), IN_TOTO, [ACME])
    with pytest.raises(AllodError) as caught:
        verify_release_statement(raw, document(), DIGEST)
    assert caught.value.code.startswith("bad-")
