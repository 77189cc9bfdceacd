"""Reports: whose, of which fleet and binding."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.trust.reports import DEVICE, FLEET, KEY, report

from allod.errors import InvalidInput, Untrusted
from allod.testing.repository import key_from
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.trust.report import verify_report
from allod.wire.codec import encode
from allod.wire.envelope import REPORT

PUBLIC = from_key(KEY.public_key)


def signed(**fields: Any) -> bytes:
    """A report with these fields, under the device's key."""
    sequence = fields.pop("sequence", 1)
    return sign_envelope(encode(report(sequence, **fields)), REPORT, [KEY])


def test_a_report_of_the_device_counts() -> None:
    """Signature, fleet, device and binding fit; its digest is that of the payload."""
    verified = verify_report(signed(), PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)  # type: ignore[arg-type]
    assert verified.value.report == report(1)
    assert verified.value.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fleet": "e" * 64}, "wrong-fleet"),
        ({"device": "0" * 64}, "wrong-device"),
        ({"epoch": 2}, "wrong-epoch"),
    ],
)
def test_a_report_for_somebody_else_is_refused(fields: dict[str, Any], code: str) -> None:
    """Another fleet, device or binding inside the signed bytes."""
    with pytest.raises(Untrusted) as caught:
        verify_report(signed(**fields), PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.parametrize("fields", [{"sequence": 0}, {"sequence": 2**63}, {"at": "yesterday"}])
def test_a_malformed_report_is_refused(fields: dict[str, Any]) -> None:
    """Numbers and times out of their form."""
    with pytest.raises(InvalidInput):
        verify_report(signed(**fields), PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)  # type: ignore[arg-type]


def test_another_key_signs_no_report() -> None:
    """A stranger's signature does not count."""
    raw = sign_envelope(encode(report(1)), REPORT, [key_from("stranger")])
    with pytest.raises(Untrusted):
        verify_report(raw, PUBLIC, fleet=FLEET, device=DEVICE, epoch=1)  # type: ignore[arg-type]
