"""rauc/rauc#1649, #347: revocation data cannot reach devices. Here it goes the way of all else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import Home
from tests.e2e.test_delegate import HIS, TOASTER, Vendor, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fleet with its server."""
    made = Home(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def test_pain_15_a_revocation_reaches_a_device_without_a_network(
    home: Home, tmp_path: Path
) -> None:
    """By a stick; the owner sees who knows of it and who does not; no document of a thief counts."""
    vendor = Vendor(tmp_path)
    home.do("group", "add", "breakfast", "-y")
    home.do(
        "provider", "add", "brewco", "--key", vendor.key, "--namespace", "pkg:generic/brewco/",
        "--any-access", "-y",
    )  # fmt: skip
    home.do(
        "delegate", "grant", "brewco-stable", "--follow", "brewco/stable", "--group", "breakfast",
        "--package", TOASTER, "--access", HIS, "-y",
    )  # fmt: skip
    near, far = home.device("near", "breakfast"), home.device("far", "breakfast")
    vendor.publish(vendor.release(home, "1.0", HIS))
    home.do("channel", "copy", "brewco/stable", vendor.site)
    near.converge()
    far.converge()
    assert running(home, near) == running(home, far) == "1.0"

    # What the thief of the vendor's key would like to be installed lies at the server, logged.
    vendor.publish(vendor.release(home, "6.6", HIS))
    home.do("channel", "copy", "brewco/stable", vendor.site)
    home.do("delegate", "revoke", "brewco-stable", "-y")
    near.converge()
    shown = home.do("delegate", "show", "brewco-stable")
    known = {"know": [near.id[:12]], "notYet": [far.id[:12]], "unknown": []}
    assert (shown["revoked"], shown["devices"]) == (True, known)

    stick = tmp_path / "stick"
    home.do("export", stick, "--devices-only")
    far.converge("--from", stick)
    home.do("device", "admit", stick)
    shown = home.do("delegate", "show", "brewco-stable")
    assert sorted(shown["devices"]["know"]) == sorted([near.id[:12], far.id[:12]])
    assert running(home, near) == running(home, far) == "1.0"
