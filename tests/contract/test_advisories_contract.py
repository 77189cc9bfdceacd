"""The port `finding.Advisories`: what is held in memory and what lies in the store answer alike."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.advisories.finding import Advisories
from allod.advisories.intake import import_source
from allod.advisories.kev import decode_exploited
from allod.advisories.openvex import decode_vex
from allod.advisories.osv import decode_advisory
from allod.advisories.store import AdvisoryStore
from allod.testing.advisories import MemoryAdvisories

_MEMORY = Path("/dev/shm")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
FLAWS = [f"CVE-2026-100{number}" for number in range(4)]
ECOSYSTEMS = ["PyPI", "Debian", "Debian:12", "Debian:13", "npm", "", "Unheard of:1"]
PACKAGES = ["a", "A_b", "a-b", "curl", ""]

names = st.lists(st.sampled_from(FLAWS), max_size=2)
scores = st.lists(
    st.sampled_from(["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "low", "high"]).map(
        lambda score: {"type": "CVSS_V3" if ":" in score else "Ubuntu", "score": score}
    ),
    max_size=2,
)
affected = st.fixed_dictionaries(
    {
        "package": st.fixed_dictionaries(
            {"ecosystem": st.sampled_from(ECOSYSTEMS), "name": st.sampled_from(PACKAGES)}
        ),
        "ranges": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["ECOSYSTEM", "SEMVER", "GIT", "LUNAR"]),
                    "events": st.lists(
                        st.dictionaries(
                            st.sampled_from(["introduced", "fixed", "last_affected", "limit"]),
                            st.sampled_from(["0", "1.0", "2"]),
                            min_size=1,
                            max_size=2,
                        ),
                        max_size=3,
                    ),
                }
            ),
            max_size=2,
        ),
        "versions": st.lists(st.sampled_from(["1", "1.0"]), max_size=2),
    },
    optional={"severity": scores},
)
records = st.fixed_dictionaries(
    {
        "id": st.sampled_from([*FLAWS, "X-1", "X-2"]),
        "modified": st.just("2026"),
        "aliases": names,
        "upstream": names,
        "related": names,
        "affected": st.lists(affected, max_size=3),
    },
    optional={"severity": scores, "withdrawn": st.sampled_from(["", "2026"])},
)
catalogues = st.builds(
    lambda cves: {
        "catalogVersion": "1",
        "vulnerabilities": [{"cveID": cve, "dateAdded": "2026-01-01"} for cve in cves],
    },
    st.sets(st.sampled_from(FLAWS)),
)
documents = st.builds(
    lambda said: {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "x",
        "author": "Anna",
        "timestamp": "2026-01-01",
        "statements": [
            {
                "vulnerability": flaw,
                "status": status,
                "products": ["pkg:a/b"],
                "timestamp": f"2026-01-{day:02}",
            }
            for day, (flaw, status) in enumerate(said, 1)
        ],
    },
    st.lists(st.tuples(st.sampled_from(FLAWS), st.sampled_from(["fixed", "affected"])), max_size=4),
)


def in_memory(said: list[bytes], kev: bytes, vex: bytes) -> Advisories:
    """The adapter that tests use."""
    return MemoryAdvisories(
        [decode_advisory(one, source="s", file=f"{at}.json") for at, one in enumerate(said)],
        exploited=decode_exploited(kev, file="kev.json"),
        statements=decode_vex(vex, source="s", file="vex.json"),
    )


@contextmanager
def stored(said: list[bytes], kev: bytes, vex: bytes) -> Iterator[Advisories]:
    """The adapter that an owner has."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        place = Path(name) / "in"
        place.mkdir()
        for at, one in enumerate([*said]):
            (place / f"{at}.json").write_bytes(one)
        (place / "kev.json").write_bytes(kev)
        (place / "vex.json").write_bytes(vex)
        with AdvisoryStore(Path(name) / "store.sqlite3") as store:
            assert import_source(store, place, source="s", now=NOW).refused == ()
            yield store.open()


def asked(known: Advisories) -> dict[str, Any]:
    """All that the port can be asked, in an order that does not depend on the adapter."""
    packages = [(ecosystem, name) for ecosystem in ECOSYSTEMS for name in PACKAGES]
    every = [*FLAWS, "X-1", "X-2", "nobody"]
    return {
        "about": {
            package: sorted(map(repr, some)) for package, some in known.about(packages).items()
        },
        "aliases": dict(known.aliases(every)),
        "scores": {name: sorted(some) for name, some in known.scores(every).items()},
        "told of": known.told_of(ECOSYSTEMS),
        "exploited": dict(known.exploited(every)),
        "epss": dict(known.epss(every)),
        "statements": list(known.statements(every)),
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(records, max_size=4), catalogues, documents)
def test_both_adapters_answer_alike(said: list[Any], kev: Any, vex: Any) -> None:
    """Whatever was published, memory and the store say the same of it to every question."""
    given_ = (
        [json.dumps(one).encode() for one in said],
        *(json.dumps(x).encode() for x in (kev, vex)),
    )
    with stored(*given_) as store:
        assert asked(store) == asked(in_memory(*given_))
