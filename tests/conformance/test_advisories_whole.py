"""The whole set of real advisories: 35,581 records of seven databases go in, and none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from allod.advisories.names import normalise
from allod.advisories.store import AdvisoryStore

pytestmark = pytest.mark.slow

PEAK = 300 * 1000 * 1000  #: bytes
MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(process.pid, 0)
print(used.ru_maxrss * 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture(scope="module")
def data() -> Path:
    """The large data."""
    directory = os.environ.get("ALLOD_DATA")
    if not directory:
        pytest.skip("the large data is not here (ALLOD_DATA)")
    return Path(directory)


@pytest.fixture(scope="module")
def home(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine that took in all of it; what the command said lies beside."""
    place = tmp_path_factory.mktemp("home")
    for source, path in (("osv", "osv.tar.zst"), ("kev", "kev"), ("vex", "vex")):
        words = ["advisories", "import", str(data / path), "--source", source, "--json"]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, sys.executable, "-m", "allod.program", *words],
            env={**os.environ, "ALLOD_HOME": str(place)},
            capture_output=True,
            check=True,
        )
        (place / f"{source}.json").write_bytes(done.stdout)
        (place / f"{source}.peak").write_bytes(done.stderr)
    return place


@pytest.fixture
def store(home: Path) -> Iterator[AdvisoryStore]:
    with AdvisoryStore(home / "advisories" / "advisories.sqlite3") as opened:
        yield opened


def records(data: Path) -> Iterator[tuple[str, dict]]:
    with (data / "osv.tar.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    yield member.name, json.loads(tar.extractfile(member).read())


def test_all_of_it_goes_in(home: Path) -> None:
    """Nothing is refused and nothing dropped; the peak of memory stays below the bound."""
    said = {
        name: json.loads((home / f"{name}.json").read_bytes()) for name in ("osv", "kev", "vex")
    }
    assert [(one["added"], one["refused"], one["ignored"]) for one in said.values()] == [
        (35_581, [], 2),
        (1_404, [], 0),
        (336, [], 0),
    ]
    for name in said:
        assert int((home / f"{name}.peak").read_text()) < PEAK


def test_every_record_and_every_package_is_there(data: Path, store: AdvisoryStore) -> None:
    """An independent reading of the archive counts the same: files, names, packages, versions."""
    files, aliases, packages = [], Counter(), Counter()
    versions = 0
    for name, record in records(data):
        files.append((name, record["id"], record.get("withdrawn") or ""))
        aliases.update(record.get("aliases") or [])
        for one in record.get("affected") or []:
            package = one.get("package") or {}
            ecosystem = package.get("ecosystem", "")
            packages[ecosystem, normalise(ecosystem, package.get("name", ""))] += 1
            versions += len(set(one.get("versions") or []))
    ask = store.connection.execute
    kept = ask(
        "SELECT path, name, withdrawn FROM records JOIN files ON files.id = file ORDER BY path"
    ).fetchall()
    assert kept == sorted(files)
    rows = "SELECT ecosystem, name, count(*) FROM packages p JOIN affected ON package = p.id"
    found = {(one, other): n for one, other, n in ask(f"{rows} GROUP BY p.id")}
    assert found == packages
    total = sum(
        len(one.affected.versions)
        for chunk in _chunks(list(packages))
        for package, some in store.about(chunk).items()
        for one in some
        if one.affected.ecosystem == package[0]
    )
    withdrawn = sum(
        len(set(one.get("versions") or []))
        for _, record in records(data)
        if record.get("withdrawn")
        for one in record.get("affected") or []
    )
    assert total == versions - withdrawn


def _chunks(packages: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for at in range(0, len(packages), 1000):
        yield packages[at : at + 1000]


def test_known_flaws_are_found(store: AdvisoryStore) -> None:
    """By each of its names, and from its package."""
    for name in ("PYSEC-2022-205", "CVE-2022-31015", "GHSA-f5x9-8jwc-25rw"):
        assert "PYSEC-2022-205" in {one.id for one in store.records(name)}
    found = store.about([("PyPI", "waitress")])["PyPI", "waitress"]
    assert "PYSEC-2022-205" in {one.advisory.id for one in found}
    assert store.exploited(["CVE-2021-44228"])["CVE-2021-44228"].ransomware
