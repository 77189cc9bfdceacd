"""The attestations of tests/vectors/provenance, and what they are looked at with."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from allod.attestation.envelope import PlainKey, digests_of, key_from_file
from allod.attestation.examining import examine
from allod.attestation.policy import Demands, Identity
from allod.attestation.roots import TrustRoot, public_good, read_root
from allod.attestation.verdict import Examined

VECTORS = Path(__file__).parents[2] / "vectors" / "provenance"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
_ARTIFACTS = ("artifact", "package.tgz", "binary-linux-amd64")


@dataclass(frozen=True)
class Vector:
    """One row of the manifest, with its files."""

    file: str
    valid: bool
    digests: dict[str, str]
    keys: tuple[PlainKey, ...]
    root: TrustRoot | None
    identity: str
    raw: bytes

    def examine(self, **other: Any) -> Examined:
        """Look at it with what its row gives, or with something else."""
        wanted = Demands(identities=(Identity("", self.identity),)) if self.identity else None
        given = {
            "artifact_digests": self.digests,
            "keys": self.keys,
            "trust_root": self.root,
            "policy": wanted,
            "now": NOW,
        }
        return examine(other.pop("data", self.raw), **(given | other))


def rows(base: Path) -> dict[str, dict[str, str]]:
    """File -> row of the manifest in a directory."""
    with (base / "manifest.tsv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}


ROWS = rows(VECTORS)


@cache
def vector(name: str, base: Path = VECTORS) -> Vector:
    """One by its directory: `npm/gundam-visor-cli-v1-tag`."""
    known = rows(base)
    file = next(one for one in known if one.rpartition("/")[0] == name)
    row = known[file]
    directory = base / name
    digests = dict([row["artifact_digest"].split(":")]) if row["artifact_digest"] else {}
    for artifact in _ARTIFACTS:
        if (directory / artifact).is_file():
            digests = digests_of((directory / artifact).read_bytes())
    keys = [
        key_from_file(path.read_bytes())
        for path in sorted((*directory.glob("*.pub"), *directory.glob("*.pem")))
    ]
    return Vector(
        file,
        row["expected"].startswith("valid"),
        digests,
        tuple(keys),
        _root(row["trust_root"], base),
        row["identity"],
        (base / file).read_bytes(),
    )


def _root(name: str, base: Path) -> TrustRoot | None:
    if name == "public-good":
        return public_good()
    if name == "staging":
        return read_root((base / "trusted_roots/staging.trusted_root.json").read_bytes())
    return None if name.endswith(".pem") else read_root((base / name).read_bytes())
