"""A verifier on the owner's side, with real processes: security fixes by evidence, builds by summaries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo.builder import SOURCE, Builder
from tests.e2e.home import Device, Home
from tests.e2e.test_vulnerabilities import ACCESS, ADVISORIES, FLAW, toaster

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fleet of its own, with advisories and a verifier on the owner's machine."""
    made = Home(tmp_path / "home")
    try:
        made.do("group", "add", "kitchen", "--yes")
        made.do("advisories", "import", ADVISORIES, "--source", "pypa")
        yield made
    finally:
        made.close()


def runs(home: Home, device: Device) -> str:
    """The version that the device reports as active."""
    return str(home.row(device, "toaster")["active"])


def refusals(home: Home, device: Device) -> str:
    """What the owner sees that the device refuses, as one text."""
    return json.dumps(home.do("status", device.id))


def deploy(home: Home, version: str, *words: str) -> Any:
    return home.do("deploy", "kitchen", f"toaster@{version}", "--accept", ACCESS, *words, "--yes")


def test_a_security_fix_waits_for_evidence(home: Home) -> None:
    """The owner binds everybody to security fixes by a source of advisories. The fix is refused on
    the device until the verifier has vouched; what mends nothing is refused after it, too.
    """
    device = home.device("toaster-1", "kitchen")
    home.do("release", "push", toaster(home, "2.1.1", "2.1.1"))
    deploy(home, "2.1.1")
    device.converge()
    home.do("group", "terms", "kitchen", "--only", "security", "--evidence", "pypa", "--yes")
    home.do("release", "push", toaster(home, "2.1.2", "2.1.2"))
    assert home.refused("advisories", "vouch") == "no-verifier"
    home.do("verifier", "add", "lab", "--vouches", "mends", "--source", "pypa", "--yes")
    assert home.refused("release", "vouch") == "no-verifier"
    preview = home.do("deploy", "kitchen", "toaster@2.1.2", "--accept", ACCESS, "--dry-run")
    assert "would-refuse" in {one["code"] for one in preview["consequences"]}
    deploy(home, "2.1.2")
    device.converge()
    assert runs(home, device) == "2.1.1"
    assert "version-rule" in refusals(home, device)

    done = home.do("advisories", "vouch", "toaster@2.1.2")
    assert done[0]["mends"] == [FLAW]
    preview = home.do("deploy", "kitchen", "toaster@2.1.2", "--accept", ACCESS, "--dry-run")
    assert "would-refuse" not in {one["code"] for one in preview.get("consequences", [])}
    device.converge()
    assert runs(home, device) == "2.1.2"

    home.do("release", "push", toaster(home, "2.1.3", "2.1.2"))
    home.do("advisories", "vouch")
    deploy(home, "2.1.3")
    device.converge()
    assert runs(home, device) == "2.1.2"


def test_what_the_owner_asks_of_builds_holds_everywhere(home: Home, tmp_path: Path) -> None:
    """Not published without provenance; shown in the preview with it; taken by the device; vouched
    for by the verifier, who says no to another builder's.
    """
    device = home.device("toaster-2", "kitchen")
    builder = Builder.new("https://builds.example/trusted")
    key = builder.publish_key(tmp_path / "builder.pub")
    first = toaster(home, "1.0", "2.1.2")
    home.do("release", "push", first)
    deploy(home, "1.0")
    device.converge()
    home.do("verifier", "add", "lab", "--vouches", "provenance", "--yes")
    home.do(
        "provider", "built", "me", "--builder", "https://builds.example/trusted=2", "--key", key,
        "--source", SOURCE, "--ref", "refs/tags/v*", "--any-parameters", "--level", "2", "--sbom",
        "--yes",
    )  # fmt: skip
    second = toaster(home, "1.1", "2.1.2")
    built = home.do("release", "build", second)
    home.do("release", "push", second)
    preview = home.do("deploy", "kitchen", "toaster@1.1", "--accept", ACCESS, "--dry-run")
    assert "policy-unmet" in {one["code"] for one in preview["consequences"]}
    assert home.refused(
        "deploy", "kitchen", "toaster@1.1", "--accept", ACCESS, "--yes"
    ) == "no-provenance"  # fmt: skip
    file = tmp_path / "provenance.json"
    file.write_bytes(builder.provenance(built["digest"], "refs/tags/v1.1"))
    home.do("release", "provenance", built["layout"], file)
    home.do("release", "push", built["layout"])
    preview = home.do("deploy", "kitchen", "toaster@1.1", "--accept", ACCESS, "--dry-run")
    assert "policy-met" in {one["code"] for one in preview["consequences"]}
    deploy(home, "1.1")
    device.converge()
    assert runs(home, device) == "1.1"

    (done,) = home.do("release", "vouch", "toaster@1.1")
    assert (done["ok"], done["level"]) == (True, 2)
    third = toaster(home, "1.2", "2.1.2")
    built = home.do("release", "build", third)
    rented = Builder("https://builds.example/rented", builder.key)
    file.write_bytes(rented.provenance(built["digest"], "refs/tags/v1.2"))
    home.do("release", "provenance", built["layout"], file)
    home.do("release", "push", built["layout"])
    status, said, _ = home._call("release", "vouch", "toaster@1.2")
    assert (status, json.loads(said)[0]["code"]) == (5, "wrong-builder")
    assert home.refused(
        "deploy", "kitchen", "toaster@1.2", "--accept", ACCESS, "--yes"
    ) == "wrong-builder"  # fmt: skip
