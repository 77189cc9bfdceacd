"""Binding records: both keys, the right invite, the right id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from allod.errors import AllodError
from allod.testing.repository import BUILD_TIME, RepositorySimulator, key_from
from allod.trust.binding import make_binding, verify_binding
from allod.trust.dsse import make_envelope
from allod.trust.invite import OpenedInvite, open_invite
from allod.trust.keys import device_id, from_key
from allod.wire.binding import BindingFile, BindingRecord
from allod.wire.codec import encode, instant
from allod.wire.envelope import BINDING

DEVICE = key_from("device")


@pytest.fixture
def fleet() -> RepositorySimulator:
    """A fleet."""
    return RepositorySimulator()


@pytest.fixture
def opened(fleet: RepositorySimulator) -> OpenedInvite:
    """One of its invites."""
    return open_invite(fleet.invite(), fleet.now, BUILD_TIME).value


def roots(fleet: RepositorySimulator) -> Callable[[int], bytes | None]:
    """The fleet's roots by version."""
    return lambda version: fleet.files.get(f"tuf/{version}.root.json")


def test_anyone_with_the_roots_can_check_a_record(
    fleet: RepositorySimulator, opened: OpenedInvite
) -> None:
    """Invite and device signed it; a rotation of the daily key since then changes nothing."""
    raw = make_binding(opened, DEVICE, epoch=1, at=fleet.now, facts={"a": "b"}, agent="0.1.0")
    verified = verify_binding(raw, roots(fleet))
    assert verified.value.device == device_id(from_key(DEVICE.public_key))
    assert verified.value.invite.id == "invite-1"
    assert len(verified.by) == 2
    fleet.rotate_targets([key_from("next")])
    assert verify_binding(raw, roots(fleet)).value == verified.value


def _record(opened: OpenedInvite, moment: str, **fields: Any) -> BindingRecord:
    known = {
        "fleet": opened.invite.fleet,
        "invite": opened.invite.id,
        "device": device_id(from_key(DEVICE.public_key)),
        "epoch": 1,
        "key": from_key(DEVICE.public_key),
        "at": moment,
        "facts": {},
        "agent": "0",
    }
    return BindingRecord(**{**known, **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fleet": "e" * 64}, "wrong-fleet"),
        ({"invite": "other"}, "wrong-invite"),
        ({"device": "0" * 64}, "wrong-device"),
        ({"epoch": 0}, "bad-document"),
        ({"at": "now"}, "bad-time"),
        ({"key": from_key(key_from("other").public_key)}, "auth"),
    ],
)
def test_records_that_lie_are_refused(
    fleet: RepositorySimulator, opened: OpenedInvite, fields: dict[str, Any], code: str
) -> None:
    """Each field against what it must match."""
    payload = encode(_record(opened, instant(fleet.now), **fields))
    envelope = make_envelope(payload, BINDING, [opened.signer, DEVICE])
    raw = encode(BindingFile(invite=opened.envelope, record=envelope))
    with pytest.raises(AllodError) as caught:
        verify_binding(raw, roots(fleet))
    assert caught.value.code == code


@pytest.mark.parametrize("missing", [0, 1])
def test_one_signature_is_not_enough(
    fleet: RepositorySimulator, opened: OpenedInvite, missing: int
) -> None:
    """Without the invite's secret nobody binds; without the device's key nobody binds it."""
    signers = [opened.signer, DEVICE]
    del signers[missing]
    payload = encode(_record(opened, instant(fleet.now)))
    raw = encode(
        BindingFile(invite=opened.envelope, record=make_envelope(payload, BINDING, signers))
    )
    with pytest.raises(AllodError) as caught:
        verify_binding(raw, roots(fleet))
    assert caught.value.code == "auth"


def test_a_record_on_an_unknown_root_is_refused(
    fleet: RepositorySimulator, opened: OpenedInvite
) -> None:
    """The roots at hand do not include the one that the invite rests on."""
    raw = make_binding(opened, DEVICE, epoch=1, at=fleet.now, facts={}, agent="0")
    with pytest.raises(AllodError) as caught:
        verify_binding(raw, lambda _version: None)
    assert caught.value.code == "wrong-root"
