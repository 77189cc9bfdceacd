"""Attack 20: valid attestations of Sigstore by another builder, repository, branch or workflow.

The bundles are real and hold in every step of their cryptography; nothing in them is forged.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.attestation.vectors import vector

from allod.attestation.policy import demands_of
from allod.wire.trust import ProvenancePolicy, SigstoreIdentity, TrustedBuilder

GITHUB = "https://token.actions.githubusercontent.com"
OWNED = "github-attestation/MODULE.bazel"


def policy(**other: Any) -> ProvenancePolicy:
    """What an owner demands of the vendor whose attestation `OWNED` is."""
    one = vector(OWNED)
    fields: dict[str, Any] = {
        "builders": [TrustedBuilder(id=one.identity.rpartition("@")[0] + "@*", level=3)],
        "identities": [SigstoreIdentity(issuer=GITHUB, subject=one.identity)],
        "sources": ["git+https://github.com/aspect-build/rules_lint"],
        "refs": ["refs/heads/publish-to-bcr"],
        "level": 3,
    }
    return ProvenancePolicy(**(fields | other))


def test_attack_20_the_vendors_own_attestation_is_taken() -> None:
    """Otherwise nothing that follows proves anything."""
    assert vector(OWNED).examine(policy=demands_of(policy())).good


@pytest.mark.parametrize(
    ("other", "step"),
    [
        ({"builders": [TrustedBuilder(id="https://github.com/other/w.yml@*", level=3)]}, "builder"),
        ({"builders": [TrustedBuilder(id=vector(OWNED).identity, level=2)]}, "level"),
        ({"sources": ["git+https://github.com/aspect-build/rules_js"]}, "source"),
        ({"refs": ["refs/tags/*"]}, "ref"),
        ({"parameters": {}}, "parameters"),
        (
            {"identities": [SigstoreIdentity(issuer=GITHUB, subject="https://github.com/other/*")]},
            "identity",
        ),
        (
            {"identities": [SigstoreIdentity(issuer="https://other", subject="*")]},
            "identity",
        ),
    ],
)
def test_attack_20_a_valid_attestation_that_differs_in_one_thing(
    other: dict[str, Any], step: str
) -> None:
    """By another builder, of lower level, another source, ref, parameter, identity or issuer."""
    failed = vector(OWNED).examine(policy=demands_of(policy(**other))).failed
    assert failed is not None
    assert failed.name == step


@pytest.mark.parametrize(
    "name",
    [
        "npm/gundam-visor-cli-v1-tag",
        "slsa-github-generator/v2.1.0",
        "conformance/happy-path-intoto-in-dsse-v3",
    ],
)
def test_attack_20_somebody_elses_valid_attestation_is_worth_nothing(name: str) -> None:
    """Anybody can have GitHub attest what they build; it is not what the owner's vendor built."""
    failed = vector(name).examine(policy=demands_of(policy())).failed
    assert failed is not None
    assert failed.code == "wrong-identity"


def test_attack_20_a_workflow_that_claims_another_builder_and_source() -> None:
    """The statement says what the owner demands; the certificate, which it cannot write, does not."""
    one = vector("conformance/happy-path-intoto-in-dsse-v3")
    said = one.examine().attested
    wide = policy(
        builders=[TrustedBuilder(id=said.builder, level=3)],
        identities=[SigstoreIdentity(issuer=GITHUB, subject="https://github.com/*")],
        sources=[said.source],
        refs=[said.ref],
    )
    failed = one.examine(policy=demands_of(wide))
    assert {check.name for check in failed.checks if check.ok is False} == {"builder", "source"}
