"""A vendor ships by its channel, an operator by orders, and both are revoked: real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Device, Home
from tests.e2e.owner_machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HIS = "path.write:/var/lib/toaster"
TOASTER = "pkg:generic/brewco/toaster"
DESCRIPTION = """
package = "pkg:generic/brewco/{name}"
provider = "brewco"
version = "{version}"
access = [{access}]
mends = [{mends}]
"""


def quoted(*texts: str) -> str:
    return ", ".join(f'"{text}"' for text in texts)


class Vendor:
    """Brewco: a machine with a key and no fleet, and a directory that it publishes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.machine = Machine(place / "brewco")
        self.key = place / "brewco.pub"
        self.site = place / "site"
        self.machine.do("release", "key", self.key, "--provider", "brewco")

    def release(self, home: Home, version: str, *access: str, mends: tuple[str, ...] = ()) -> Path:
        """Build and sign a release; whoever runs the server gets its layout."""
        directory = self.place / f"toaster-{version}"
        directory.mkdir()
        (directory / "data.txt").write_text(version)
        (directory / "allod.toml").write_text(
            DESCRIPTION.format(
                name="toaster", version=version, access=quoted(*access), mends=quoted(*mends)
            )
        )
        layout = Path(self.machine.do("release", "sign", directory)["layout"])
        home.do("release", "push", layout)
        return layout

    def publish(self, *layouts: Path) -> int:
        """The next document of brewco/stable."""
        done = self.machine.do(
            "channel", "publish", "brewco/stable", *layouts, "--to", self.site, "-y"
        )
        return int(done["sequence"])

    def proposal(self, terms: list[dict[str, Any]]) -> Path:
        """What brewco puts on the devices that it sells."""
        path = self.place / "proposal.json"
        wish = {
            "follow": {"provider": "brewco", "channel": "stable"},
            "provider": {
                "keys": [json.loads(self.key.read_bytes())],
                "namespaces": ["pkg:generic/brewco/"],
            },
            "packages": ["pkg:generic/brewco/*"],
            "terms": terms,
            "about": "security fixes by brewco",
        }
        path.write_text(json.dumps(wish))
        return path


def running(home: Home, device: Device) -> str | None:
    """The version of the toaster that the owner sees on a device."""
    rows = home.status(device)["packages"]
    return next((row["active"] for row in rows if row["package"] == TOASTER), None)


def test_a_vendor_ships_by_its_channel_until_it_is_revoked(home: Home, tmp_path: Path) -> None:
    """Proposed at bind, granted by the owner, shipped, stopped at a microphone, revoked."""
    vendor = Vendor(tmp_path)
    wish = vendor.proposal([{"term": "access", "allowed": ["path.write:/var/lib/toaster"]}])
    device = home.device("sold", "breakfast", proposal_file=str(wish))
    (proposed,) = [
        one for one in home.do("delegate", "proposals")["proposals"] if one["device"] == device.id
    ]
    assert (proposed["follow"], proposed["granted"]) == ("brewco/stable", None)

    done = home.do(
        "delegate", "grant", "brewco-stable", "--proposed", device.id, "--group", "breakfast", "-y"
    )
    assert any("names the provider brewco anew" in one for one in done["remarks"])
    vendor.publish(vendor.release(home, "1.0", HIS))
    home.do("channel", "copy", "brewco/stable", vendor.site)
    device.converge()
    assert running(home, device) == "1.0"
    shown = home.do("delegate", "show", "brewco-stable")
    assert shown["devices"]["know"] == [device.id[:12]]

    # A microphone is new access: the device refuses it, whoever signs it.
    vendor.publish(vendor.release(home, "1.1", HIS, "microphone"))
    home.do("channel", "copy", "brewco/stable", vendor.site)
    device.converge()
    assert running(home, device) == "1.0"
    assert "new-access" in json.dumps(home.status(device))

    # What the owner sees of the channel, and what other terms would have allowed over its past.
    assert home.do("channel", "show", "brewco/stable")["sequence"] == 2
    (listed,) = [
        one for one in home.do("channel", "list")["channels"] if one["provider"] == "brewco"
    ]
    assert (listed["sequence"], listed["delegations"]) == (2, ["brewco-stable"])
    entries = home.do("provider", "show", "brewco")["channels"]
    assert [one["sequence"] for one in entries] == [1, 2]
    again = home.do("delegate", "grant", "brewco-stable", "--replace", "--soak", "1h", "--dry-run")
    told = "\n".join(again["remarks"])
    assert "begun with toaster 1.0" in told
    assert "refused toaster 1.1" in told

    # Revoked: the vendor's next document is not taken any more, what runs goes on running.
    home.do("delegate", "revoke", "brewco-stable", "-y")
    vendor.publish(vendor.release(home, "1.2", HIS))
    assert home.refused("channel", "copy", "brewco/stable", vendor.site) == "not-followed"
    device.converge()
    assert running(home, device) == "1.0"
    shown = home.do("delegate", "show", "brewco-stable")
    assert shown["revoked"]
    assert shown["devices"] == {"know": [device.id[:12]], "notYet": [], "unknown": []}

    # The vendor is gone: the owner vouches for what they signed, also for a device that comes later.
    done = home.do("provider", "adopt", "brewco", "--why", "bankrupt", "-y")
    assert f"{TOASTER}@1.0" in done["vouched"]
    home.do("deploy", "breakfast", f"{TOASTER}@1.0", "--accept", HIS, "-y")
    late = home.device("late", "breakfast")
    late.converge()
    assert running(home, late) == "1.0"


def test_an_operator_gives_orders_within_terms_until_revoked(home: Home, tmp_path: Path) -> None:
    """A key of their own on their own machine; what lies outside the terms is refused; then it ends."""
    name = "pkg:generic/me/radio"
    home.do("release", "push", home.app("radio", "1.0"))
    home.do("release", "push", home.app("radio", "1.1", more=""))
    home.do("release", "push", home.app("clock", "1.0"))
    device = home.device("operated", "studio")
    machine = Machine(tmp_path / "operator")
    machine.do("delegate", "key", "crew", "--out", tmp_path / "crew.pub")
    home.do(
        "delegate", "grant", "crew", "--key", tmp_path / "crew.pub", "--group", "studio",
        "--package", name, "--access", "path.write:/var/lib/radio", "--rate", "1/1d", "-y",
    )  # fmt: skip
    home.do("delegate", "join-file", "crew", "--out", tmp_path / "crew.join")
    assert machine.do("join", tmp_path / "crew.join")["delegation"] == "crew"

    made = machine.do("deploy", "studio", f"{name}@1.0", "--as", "crew", "-y", "-m", "first")
    assert made["changed"]
    device.converge()
    assert home.row(device, "radio")["active"] == "1.0"
    change = next(one for one in home.do("history")["changes"] if one["message"] == "first")
    assert change["by"] == "crew"

    # Another package is none of theirs, and a second change on one day is too early.
    clock = ("deploy", "studio", "pkg:generic/me/clock@1.0", "--as", "crew", "-y")
    assert machine.refused(*clock)
    machine.do("deploy", "studio", f"{name}@1.1", "--as", "crew", "-y")
    device.converge()
    row = home.row(device, "radio")
    assert row["active"] == "1.0"
    assert "rate" in json.dumps(home.status(device))

    home.do("delegate", "revoke", "crew", "-y")
    assert machine.refused("deploy", "studio", f"{name}@1.1", "--as", "crew", "-y")
    device.converge()
    assert home.row(device, "radio")["active"] == "1.0"
    home.do("deploy", "studio", f"{name}@1.1", "-y")
    device.converge()
    assert home.row(device, "radio")["active"] == "1.1"
