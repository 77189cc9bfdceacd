"""Findings as CycloneDX with VEX, judged by CycloneDX's own schema."""

from __future__ import annotations

import json

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from allod.advisories.advisory import Severity
from allod.advisories.assessing import assess
from allod.advisories.component import Unmatchable
from allod.advisories.cyclonedx_vex import JUSTIFICATIONS, STATES, encode_vex
from allod.advisories.finding import Epss, Exploited, VexStatement, VexStatus, Wares
from allod.domain.sbom import SbomComponent
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions

AT = "2026-11-23T22:00:00Z"
WAITRESS = part("PyPI", "waitress", "2.1.1", "pkg:pypi/waitress@2.1.1")
SOUND = part("PyPI", "sound", "1.0", "pkg:pypi/sound@1.0")
ODD = part("PyPI", "odd", "1.0", "pkg:pypi/odd@1.0")
SCORES = (
    Severity("CVSS_V2", "AV:N/AC:L/Au:N/C:P/I:P/A:P"),
    Severity("CVSS_V3", "CVSS:3.0/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N"),
    Severity("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"),
    Severity("CVSS_V4", "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:L/SI:L/SA:L"),
    Severity("Ubuntu", "medium"),
    Severity("CVSS_V3", "no vector"),
)


def written(*statements):
    """A document with something of everything, valid by the schema."""
    flaw = record(
        "PYSEC-2022-205",
        about("PyPI", "waitress", versions("introduced 2.1.0", "fixed 2.1.2")),
        aliases=("CVE-2022-31015",),
        severity=SCORES,
        published="2022-05-31T23:15:00.5+00:00",
        summary="it ends",
    )
    known = MemoryAdvisories(
        [flaw, record("X-1", about("PyPI", "odd"), published="some day")],
        exploited=[Exploited("CVE-2022-31015", "2025-01-01", "2025-02-01")],
        epss=[Epss("CVE-2022-31015", 0.00042, 0.1)],
        statements=statements,
    )
    unknown = Unmatchable(SbomComponent("thing", kind="gadget"), "no-version", "no version is said")
    assessment = assess(Wares((WAITRESS, SOUND, ODD), (unknown, unknown)), known)
    subject = SbomComponent("toaster", "1.0", kind="application")
    data = encode_vex(assessment, at=AT, subject=subject, clean=[SOUND])
    assert data == encode_vex(assessment, at=AT, subject=subject, clean=[SOUND])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    return json.loads(data)


def test_the_document_says_all_that_is_known() -> None:
    """Valid by the schema of 1.6; names, scores, times, versions, KEV and EPSS are in it."""
    document = written()
    flaw, question = document["vulnerabilities"]
    refs = {one["bom-ref"]: one for one in document["components"]}
    assert flaw["id"] == "CVE-2022-31015"
    assert [one["id"] for one in flaw["references"]] == ["PYSEC-2022-205"]
    assert [one["method"] for one in flaw["ratings"]] == (
        ["CVSSv4", "CVSSv3", "CVSSv31", "other", "CVSSv2", "other"]
    )
    assert flaw["affects"][0]["versions"] == [
        {"version": "2.1.1", "status": "affected"},
        {"version": "2.1.2", "status": "unaffected"},
    ]
    assert refs[flaw["affects"][0]["ref"]]["purl"] == WAITRESS.said.purl
    assert flaw["recommendation"] == "Update to waitress 2.1.2"
    assert flaw["published"] == "2022-05-31T23:15:00.5+00:00"
    said = {one["name"]: one["value"] for one in flaw["properties"]}
    assert said["allod:kev:added"] == "2025-01-01"
    assert said["allod:epss:score"] == "0.00042"
    assert "analysis" not in flaw
    assert question["analysis"]["state"] == "in_triage"
    assert question["affects"][0]["versions"][0]["status"] == "unknown"
    assert "published" not in question, "what is no time is left out"
    unknown = [one for one in document["components"] if "properties" in one]
    assert [one["name"] for one in unknown] == ["thing"]


def test_every_status_and_justification_has_its_word() -> None:
    """OpenVEX's words become CycloneDX's; the author stands beside."""
    for status in VexStatus:
        for reason in ("", *JUSTIFICATIONS, "a new one"):
            vex = VexStatement(
                ("CVE-2022-31015",), ("pkg:pypi/waitress",), status, "us", AT, reason, "why"
            )
            flaw = written(vex)["vulnerabilities"][0]
            expected = {"state": STATES[status], "detail": "us: why", "lastUpdated": AT}
            if reason in JUSTIFICATIONS:
                expected["justification"] = JUSTIFICATIONS[reason]
            assert flaw["analysis"] == expected
    assert set(STATES) == set(VexStatus)
