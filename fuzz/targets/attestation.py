"""DSSE envelopes and Sigstore bundles of others (docs/spec/provenance.md)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from allod.attestation.examining import examine
from allod.attestation.policy import Demands, Identity
from allod.attestation.published import split
from allod.attestation.roots import public_good

#: Of the artifacts of the seeds.
DIGESTS = {
    "sha256": "06ce330900a7d6403bc8d88e5dfad6aeeb8ae40179f66bb89e69c8bf6f6b1a0b",
    "sha512": "8d9d7972f676516c75014aa074e11ae604d98f0b64ec6725a61e2838ff3dab16"
    "2118fa71433fb31e1550d30bd0dec9d086ce032b94457b583900c507acf39c40",
}
#: Who signed the seeds whose artifacts these are.
_BAZEL = "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml"
_NPM = "https://github.com/ramonpetgrave64/gundam-visor/.github/workflows/npm-publish.yml"
SIGNERS = frozenset({f"{_BAZEL}@refs/tags/v0.0.1", f"{_NPM}@refs/tags/v1.0.1"})
NOW = datetime(2026, 11, 1, tzinfo=UTC)

logging.getLogger("sigstore").setLevel(logging.ERROR)  # it warns of certificates that nobody trusts


def target(data: bytes) -> None:
    """Each is looked at; none is taken that is not, in all that counts, one of the seeds."""
    for part in split(data):
        found = examine(
            part,
            artifact_digests=DIGESTS,
            trust_root=public_good(),
            policy=Demands(identities=(Identity("", "*"),)),
            now=NOW,
        )
        said = found.attested
        if found.good and said.identity not in SIGNERS:
            raise RuntimeError(f"taken: {said}")
        if found.failed is not None and not found.failed.says.startswith("cannot "):
            raise RuntimeError(f"refused without words: {found.failed}")
