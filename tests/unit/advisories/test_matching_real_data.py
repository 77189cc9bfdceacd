"""Matching on real records and a real environment."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from allod.advisories.assessing import assess
from allod.advisories.component import Component
from allod.advisories.finding import Wares
from allod.advisories.intake import import_source
from allod.advisories.matching import match
from allod.advisories.purls import component_of
from allod.advisories.store import AdvisoryStore
from allod.domain.sbom import SbomComponent
from allod.wire.sbom import decode_sbom

DATA = os.environ.get("ALLOD_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="ALLOD_DATA names no directory of data"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The whole set."""
    place = tmp_path_factory.mktemp("advisories") / "advisories.sqlite3"
    with AdvisoryStore(place) as opened:
        import_source(opened, Path(DATA) / "osv.tar.zst", source="osv", now=datetime.now(UTC))
        yield opened


def wares(*purls):
    """Components by their purls."""
    parts = [component_of(SbomComponent(purl, "1", purl)) for purl in purls]
    return Wares(tuple(one for one in parts if isinstance(one, Component)))


def test_a_real_environment_has_the_flaws_that_an_independent_matcher_found(store) -> None:
    """351 components: 34 flaws in 13 packages, each once, nothing undecided or unmatchable."""
    sbom = decode_sbom((Path(DATA) / "sbom.cdx.json").read_bytes())
    parts = tuple(component_of(one) for one in sbom.components)
    assert all(isinstance(one, Component) for one in parts)
    found = assess(Wares(parts), store)
    assert len(found.findings) == 34
    assert Counter(one.component.name for one in found.findings) == {
        "aiohttp": 6,
        "certifi": 1,
        "cryptography": 2,
        "django": 15,
        "pillow": 1,
        "pip": 1,
        "requests": 1,
        "scrapy": 1,
        "setuptools": 1,
        "sqlparse": 1,
        "tornado": 1,
        "urllib3": 2,
        "werkzeug": 1,
    }
    assert found.clean == 351 - 13
    assert not found.undecided
    twice = [one for one in found.findings if len(one.hits) > 1]
    assert [one.id for one in twice] == ["CVE-2023-32681"], "two sources have PYSEC-2023-74"


def naive(parts):
    """The schema's pseudocode with `packaging`, on the records as they lie in the archive."""
    wanted = {one.name: Version(one.version) for one in parts}
    with (Path(DATA) / "osv.tar.zst").open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for member in archive:
            data = archive.extractfile(member).read() if member.isfile() else b""
            if b'"PyPI"' not in data:
                continue
            document = json.loads(data)
            for said in document["affected"] if not document.get("withdrawn") else ():
                package = said.get("package") or {}
                name = canonicalize_name(package.get("name", ""))
                asked = package.get("ecosystem") == "PyPI" and name in wanted
                if asked and naive_meant(wanted[name], said):
                    yield name, document["id"]


def naive_meant(version, said):
    """Whether a version is affected."""
    for text in said.get("versions", ()):
        try:
            if Version(text) == version:
                return True
        except InvalidVersion:
            continue
    for one in said.get("ranges", ()):
        affected = False
        events = (
            [(Version(text), kind) for event in one["events"] for kind, text in event.items()]
            if one["type"] == "ECOSYSTEM"
            else []
        )
        for at, kind in sorted(events, key=lambda event: (event[0], event[1] == "introduced")):
            if kind == "introduced" and version >= at:
                affected = True
            elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
                affected = False
        if affected:
            return True
    return False


def test_the_environments_flaws_are_those_of_the_raw_records(store) -> None:
    """Nothing of the store, the orders or the matcher is in this oracle."""
    sbom = decode_sbom((Path(DATA) / "sbom.cdx.json").read_bytes())
    parts = tuple(component_of(one) for one in sbom.components)
    found = assess(Wares(parts), store)
    mine = {(one.component.name, hit.advisory.id) for one in found.findings for hit in one.hits}
    assert mine == set(naive(parts))
    assert len(mine) == 34


def test_the_toasters_flaw_has_three_names_and_a_fix(store) -> None:
    """Waitress 2.1.1 has it, 2.1.2 has not."""
    found = assess(wares("pkg:pypi/waitress@2.1.1"), store)
    flaw = next(one for one in found.findings if one.id == "CVE-2022-31015")
    assert flaw.aliases == ("GHSA-f5x9-8jwc-25rw", "PYSEC-2022-205")
    assert flaw.hits[0].matched == "introduced 2.1.0, fixed 2.1.2"
    assert flaw.fixed[0] == "2.1.2"
    later = assess(wares("pkg:pypi/waitress@2.1.2"), store)
    assert "CVE-2022-31015" not in {one.id for one in later.findings}


def test_contiguous_spans_of_real_records_have_no_gap(store) -> None:
    """PYSEC-2022-236 fixes at 3.1.1 what it introduces at 3.1.1: 3.1.1 and 3.1.2 have it."""
    (row,) = [one for one in store.records("PYSEC-2022-236") if one.affected]
    name = row.affected[0].name
    for version, has in (("3.1.0", True), ("3.1.1", True), ("3.1.2", True), ("3.1.3", False)):
        found = assess(wares(f"pkg:pypi/{name}@{version}"), store)
        assert ("PYSEC-2022-236" in {n for one in found.findings for n in one.names}) is has


def test_every_record_answers_about_the_versions_that_it_names(store) -> None:
    """All packages of the set: what a record enumerates it means; what it fixes it leaves out.

    A fixed version that is meant all the same is one in a later span of the same record.
    """
    rows = store.connection.execute("SELECT DISTINCT ecosystem, name FROM packages").fetchall()
    codes: Counter[str] = Counter()
    for (ecosystem, name), candidates in store.about(rows).items():
        for one in candidates:
            named = sorted(one.affected.versions)[:3] or ["1.0"]
            for version in named:
                part = Component(ecosystem, name, version, SbomComponent(name, version))
                found = match(part, [one])
                codes["hit" if found.hits else "open" if found.undecided else "free"] += 1
                if one.affected.versions:
                    assert found.hits, (one.advisory.id, version)
    assert codes["hit"] > 8_000
    assert codes["free"] > 1_000
