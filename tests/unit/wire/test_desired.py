"""Documents of desired state on the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from allod.domain import desired, ids
from allod.domain.desired import Level, When
from allod.domain.release import HealthCheck, ProbeKind
from allod.errors import InvalidInput
from allod.wire.desired import decode_state, encode_state

FLEET = ids.FleetId("a" * 64)
DEVICE = ids.DeviceId("d" * 64)
TOASTER = ids.Purl("pkg:generic/me/toaster")
NOTE = desired.ChangeNote(3, "c-1", datetime(2026, 1, 1, tzinfo=UTC), "me", "why", "T-1")


def order(number: int, level: Level = Level.ACTIVE) -> desired.ReleaseOrder:
    """A release order that differs by its number."""
    digest = ids.Digest(f"sha256:{number:064x}")
    return desired.ReleaseOrder(
        ids.ProviderName("me"), ids.Version(f"1.{number}"), digest, level, When.NOW
    )


FULL = desired.StateDocument(
    fleet=FLEET,
    scope=ids.device_scope(DEVICE),
    packages={
        TOASTER: desired.PackageEntry(
            software=desired.Software(releases=(order(1), order(2, Level.INSTALLED))),
            configuration=desired.ConfigurationOrder(digest=ids.Digest("sha256:" + "1" * 64), size=9),
            together=(ids.Purl("pkg:generic/me/other"),),
            health=(HealthCheck(ProbeKind.HTTP, url="http://127.0.0.1/"),),
            accepts=desired.Accepts(
                frozenset({"network.outbound"}), frozenset({"fuse"}),
                frozenset({ids.Digest("sha256:" + "2" * 64)}),
            ),
            secrets=frozenset({"token"}),
            change=NOTE,
        ),
        "pkg:generic/acme/*": desired.PackageEntry(software=desired.Software(manager="acme")),
    },
    settings=desired.Settings(
        windows=(desired.Window(frozenset({6}), 125, 120),),
        drift=desired.DriftPolicy.HEAL,
        retention_releases=2,
        health=(),
        bandwidth=1000,
        override_inhibitors=frozenset({"film"}),
    ),
    restarts=(
        desired.Restart("r1", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    ),
    hold="holidays",
    device=desired.DeviceRecord(
        2, "active", (ids.GroupName("kitchen"),), "left one", ids.DeviceId("e" * 64)
    ),
    change=NOTE,
)  # fmt: skip


def test_everything_goes_round() -> None:
    """No field is lost or altered on the way out and in again."""
    assert decode_state(encode_state(FULL)) == FULL


def edited(**packages: object) -> bytes:
    """The bytes of a small group document with these packages."""
    return json.dumps(
        {
            "type": "allod.state", "format": 1, "fleet": FLEET, "scope": "groups/kitchen",
            "packages": packages,
        }
    ).encode()  # fmt: skip


def test_an_unknown_field_refuses_its_entry_alone() -> None:
    """Formats grow: what a newer program wrote is not misread, and costs no other package."""
    document = decode_state(
        edited(**{TOASTER: {"software": {}}, "pkg:generic/me/new": {"quantum": True}})
    )
    assert set(document.packages) == {TOASTER}
    assert "quantum" in document.unreadable["pkg:generic/me/new"]
    with pytest.raises(InvalidInput) as refused:
        encode_state(document)
    assert refused.value.code == "unreadable-entries"


@pytest.mark.parametrize(
    "entry",
    [
        {"software": {"releases": [1]}},
        {"software": {"manager": "NOT ok"}},
        {"software": {"manager": "acme", "releases": [
            {"provider": "me", "version": "1", "digest": "sha256:" + "0" * 64, "level": "active"}]}},
        {"accepts": {"access": ["everything"]}},
        {"health": [{"kind": "http"}]},
        {"software": {"releases": [
            {"provider": "me", "version": v, "digest": "sha256:" + v * 64, "level": "active"}
            for v in "12"]}},
    ],
)  # fmt: skip
def test_a_bad_value_refuses_its_entry_alone(entry: object) -> None:
    """Bad values land in `unreadable`, with the reason."""
    document = decode_state(edited(**{TOASTER: entry, "pkg:generic/me/good": {}}))
    assert set(document.packages) == {"pkg:generic/me/good"}
    assert document.unreadable[TOASTER].startswith("cannot ")


def test_overlapping_patterns_refuse_the_document() -> None:
    """Two patterns that could both decide are no decision."""
    with pytest.raises(InvalidInput) as refused:
        decode_state(edited(**{"pkg:generic/*": {}, "pkg:generic/acme/*": {}}))
    assert refused.value.code == "overlapping-patterns"


def test_overlap_is_seen_with_patterns_in_between() -> None:
    """Sorting does not hide an overlap behind a sibling."""
    with pytest.raises(InvalidInput):
        decode_state(edited(**{"pkg:a/b/*": {}, "pkg:a/b/c/*": {}, "pkg:a/b-c/*": {}}))


def test_a_device_record_stands_in_documents_of_devices_only() -> None:
    """A group's document can't retire anybody, and a device's always says its epoch."""
    body = json.loads(edited())
    body["device"] = {"epoch": 1}
    with pytest.raises(InvalidInput):
        decode_state(json.dumps(body).encode())
    body["scope"] = f"devices/{DEVICE}"
    assert decode_state(json.dumps(body).encode()).device is not None
    del body["device"]
    with pytest.raises(InvalidInput):
        decode_state(json.dumps(body).encode())
