"""Flaws of what runs, as an owner finds, weighs and mends them: real processes, real advisories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Device, Home

from allod.cli.catalog import Catalog, PackageVersion
from allod.cli.picture import take
from allod.cli.vulnerabilities.bills import Bills
from allod.cli.vulnerabilities.payloads import Payloads
from allod.cli.vulnerabilities.ware import Release
from allod.domain.ids import Version

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

ADVISORIES = Path(__file__).resolve().parents[2] / "demo" / "advisories"
ACCESS = "path.write:/var/lib/toaster"
FLAW = "CVE-2022-31015"
NAMES = {FLAW, "PYSEC-2022-205", "GHSA-f5x9-8jwc-25rw"}


def toaster(home: Home, version: str, waitress: str) -> Path:
    """A release that brings a version of waitress, as pip would lay it out."""
    app = home.app("toaster", version)
    info = app / f"waitress-{waitress}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: waitress\nVersion: {waitress}\n")
    (info / "RECORD").write_text("")
    return app


def deploy(home: Home, version: str) -> dict[str, Any]:
    """Let the kitchen have it; what the preview said."""
    shown = home.do("deploy", "kitchen", f"toaster@{version}", "--accept", ACCESS, "--dry-run")
    home.do("deploy", "kitchen", f"toaster@{version}", "--accept", ACCESS, "--yes")
    return dict(shown)


def said(preview: dict[str, Any]) -> dict[str, str]:
    """Code -> words of what follows for flaws."""
    return {one["code"]: one["says"] for one in preview["consequences"] if "flaws" in one["code"]}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fleet of its own: advisories that are imported are seen by every fleet of the machine."""
    made = Home(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def kitchen(home: Home) -> Device:
    """A device of the kitchen."""
    home.do("group", "add", "kitchen", "--yes")
    return home.device("toaster-1", "kitchen")


def test_a_flaw_is_found_weighed_and_mended(home: Home, kitchen: Device, tmp_path: Path) -> None:
    """From advisories in a directory to a device on which the flaw is gone, with a hook told once."""
    home.do("release", "push", toaster(home, "2.1.1", "2.1.1"))
    deploy(home, "2.1.1")
    kitchen.converge()
    assert home.refused("vulnerabilities") == "no-advisories"
    home.do("advisories", "import", ADVISORIES, "--source", "pypa", "--licence", "CC-BY-4.0")

    found = home.do("vulnerabilities", "kitchen")
    (line,) = found["findings"]
    assert {line["id"], *line["aliases"]} == NAMES
    assert line["component"]["name"] == "waitress"
    assert [one["device"] for one in line["devices"]] == [kitchen.id]
    assert line["releases"] == []
    home.do("release", "push", toaster(home, "2.1.2", "2.1.2"))
    for name in ("toaster", "me/toaster", "pkg:generic/me/toaster"):
        assert home.do("vulnerabilities", f"{name}@2.1.2")["findings"] == []
    (line,) = home.do("vulnerabilities")["findings"]
    assert [one["version"] for one in line["releases"]] == ["2.1.2"]
    assert home.do("status")["vulnerabilities"]["devices"] == 1

    preview = deploy(home, "2.1.2")
    assert FLAW in said(preview)["mends-flaws"]
    kitchen.converge()
    assert home.do("vulnerabilities")["findings"] == []
    assert sum(home.do("status")["vulnerabilities"]["counts"].values()) == 0
    assert json.dumps(said(deploy(home, "2.1.1"))).count(FLAW)


def test_an_unsigned_release_is_known_by_its_payload(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pushed without a signed SBOM is looked into, whatever lies beside it."""
    app = toaster(home, "2.1.1", "2.1.1")
    home.do("release", "push", app)
    fleet = home.fleet()
    catalog = take(fleet).catalog
    named = catalog.resolve(PackageVersion("toaster", Version("2.1.1")))
    release = Release(named.provider, named.package, named.version, named.digest)
    monkeypatch.setattr(Catalog, "referrers", lambda *_: [])  # the server shows none
    bills = Bills(catalog, home.place / "bills", Payloads(catalog).list_of)
    ware = bills.ware(release)
    assert [(one.name, one.version) for one in ware.parts] == [("waitress", "2.1.1")]
    assert ware.listed_by == "Allod, from the payload"


def watched(home: Home, hook: Path, status: int) -> list[str]:
    """The codes of what one look tells, in a process of its own."""
    words = ("advisories", "watch", "--once", "--on-finding", hook, "--json")
    done = home.machine.run(*words)
    assert done.returncode == status, done.stderr
    return [one["code"] for one in json.loads(done.stdout)["events"]]


def test_a_device_on_record_is_matched_and_a_hook_hears_once(home: Home, tmp_path: Path) -> None:
    """A scanner that its vendor controls: found by the import, told to a hook, and over at last."""
    sbom = tmp_path / "imager.cdx.json"
    part = {"type": "library", "name": "waitress", "purl": "pkg:pypi/waitress@2.1.1"}
    blob = {"type": "library", "name": "firmware"}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
    sbom.write_text(json.dumps({**document, "components": [part, blob]}))
    taken = tmp_path / "taken"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\necho $ALLOD_ALARM_CODE >> {taken}\n")
    hook.chmod(0o755)
    home.do("group", "add", "radiology", "--yes")
    home.do(
        "device", "import", "--name", "mr-1", "--vendor", "Acme", "--model", "Imager",
        "--group", "radiology", "--sbom", sbom, "--yes",
    )  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "one.json").write_text(
        '{"id": "X-1", "modified": "2026-01-01T00:00:00Z"}'
    )
    home.do("advisories", "import", tmp_path / "empty", "--source", "empty")
    assert watched(home, hook, 0) == []

    news = home.do("advisories", "import", ADVISORIES, "--source", "pypa")["news"]
    assert [one["code"] for fleet in news for one in fleet["events"]] == ["new-flaw"]
    (line,) = home.do("vulnerabilities", "radiology")["findings"]
    assert line["id"] == FLAW
    assert line["where"][0]["kind"] == "foreign"
    assert [one["name"] for one in home.do("vulnerabilities", "mr-1")["unknown"]] == ["firmware"]
    assert watched(home, hook, 0) == []  # the import told it; the hook hears it now
    kev = tmp_path / "kev.json"
    entry = {"cveID": FLAW, "dateAdded": "2026-01-01"}
    kev.write_text(json.dumps({"catalogVersion": "1", "vulnerabilities": [entry]}))
    home.do("advisories", "import", kev, "--source", "kev", "--on-finding", hook)
    home.do("device", "retire", "mr-1", "--yes")
    assert watched(home, hook, 0) == ["flaw-gone"]
    assert watched(home, hook, 0) == []
    assert taken.read_text().split() == ["new-flaw", "flaw-exploited", "flaw-gone"]


def test_a_build_can_fail_on_a_flaw(home: Home, tmp_path: Path) -> None:
    """Of a directory that is to be a release, before anything is pushed; and CycloneDX comes out."""
    home.do("advisories", "import", ADVISORIES, "--source", "pypa")
    app = toaster(home, "9.0", "2.1.1")
    vex = tmp_path / "vex.cdx.json"
    done = home.machine.run("vulnerabilities", app, "--fail-on", "high", "--cyclonedx", vex)
    assert done.returncode == 7, done.stderr
    (flaw,) = json.loads(vex.read_bytes())["vulnerabilities"]
    assert flaw["id"] == FLAW
    mended = home.machine.run("vulnerabilities", toaster(home, "9.1", "2.1.2"), "--fail-on", "low")
    assert mended.returncode == 0, mended.stderr
