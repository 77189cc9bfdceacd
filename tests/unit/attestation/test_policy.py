"""A good attestation by the wrong builder, of the wrong source or ref, is worth nothing (attack 20)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.attestation.test_envelope import ED, P256, envelope, pem
from tests.unit.attestation.vectors import NOW, vector

from allod.attestation.collected import Looking, Lying, any_among, provenance_among, statement_among
from allod.attestation.envelope import key_from_file
from allod.attestation.examining import examine
from allod.attestation.policy import Demands, Identity, demands_of
from allod.attestation.verdict import Examined
from allod.errors import Unavailable, Untrusted
from allod.trust.dsse import pae
from allod.trust.keys import from_key, key_from_pem
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import ProvenancePolicy, SigstoreIdentity, TrustedBuilder

A = "a" * 64
BUILDER = "https://builder.example/3"
SOURCE = "git+https://github.com/acme/toaster"
PROVENANCE = "https://slsa.dev/provenance/v1"


def provenance(key: Any = ED, **other: Any) -> bytes:
    """A signed statement; `other` replaces builder, source, ref or parameters."""
    said = {"builder": BUILDER, "source": SOURCE, "ref": "refs/tags/v1", "parameters": {}} | other
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": said.get("kind", PROVENANCE),
        "subject": [{"name": "a", "digest": {"sha256": said.get("digest", A)}}],
        "predicate": {
            "buildDefinition": {
                "externalParameters": said["parameters"],
                "resolvedDependencies": [{"uri": f"{said['source']}@{said['ref']}"}],
            },
            "runDetails": {"builder": {"id": said["builder"]}},
        },
    }
    payload = json.dumps(value).encode()
    return envelope(key.sign(pae(IN_TOTO, payload)), payload=payload)


POLICY = ProvenancePolicy(
    builders=[TrustedBuilder(id=BUILDER, level=2)],
    keys=[from_key(key_from_pem(pem(ED)))],
    sources=[SOURCE],
    refs=["refs/tags/*"],
    parameters={},
    level=2,
)


def judged(raw: bytes, policy: ProvenancePolicy = POLICY, **other: Any) -> Examined:
    """As an owner's policy has it."""
    demands = demands_of(policy)
    return examine(raw, artifact_digests={"sha256": A}, policy=demands, now=NOW, **other)


def test_what_fits_in_all_holds() -> None:
    """And the level is the one that the owner takes the builder to keep."""
    found = judged(provenance())
    assert found.good, found.checks
    assert found.attested.level == 2
    assert found.checks[-1].name == "policy"


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"builder": "https://builder.example/4"}, "wrong-builder"),
        ({"source": "git+https://github.com/evil/toaster"}, "wrong-source"),
        ({"source": "https://github.com/acme/toaster"}, "wrong-source"),  # as devices compare
        ({"ref": "refs/heads/main"}, "wrong-ref"),
        ({"parameters": {"debug": "1"}}, "wrong-parameters"),
        ({"digest": "b" * 64}, "wrong-subject"),
    ],
)
def test_what_differs_in_one_thing_is_refused(other: dict[str, Any], code: str) -> None:
    """With the code of the thing; a good signature does not help."""
    found = judged(provenance(**other))
    assert found.checks[1].ok
    assert found.failed is not None
    assert found.failed.code == code


def test_a_builder_may_be_named_by_its_beginning() -> None:
    """Workflows have the tag in their ids; the lowest level of those that fit counts."""
    import msgspec

    tagged = provenance(builder="https://builder.example/workflow@refs/tags/v7")
    beginning = TrustedBuilder(id="https://builder.example/workflow@refs/tags/*", level=3)
    lower = TrustedBuilder(id="https://builder.example/*", level=1)
    other = TrustedBuilder(id="https://builder.example/workflow@refs/heads/*", level=3)
    for builders, code in (
        ([beginning], None),
        ([other], "wrong-builder"),
        ([beginning, lower], "wrong-level"),
    ):
        found = judged(tagged, msgspec.structs.replace(POLICY, builders=builders))
        assert (found.failed.code if found.failed else None) == code


def test_too_low_a_level_is_refused() -> None:
    """The owner demands more than the owner takes the builder to keep."""
    import msgspec

    found = judged(provenance(), msgspec.structs.replace(POLICY, level=3))
    assert found.failed is not None
    assert (found.failed.name, found.failed.code) == ("level", "wrong-level")


def test_an_empty_list_of_an_owner_lets_nothing_through() -> None:
    """On the command line nobody looks there instead."""
    import msgspec

    for field in ("builders", "sources", "refs"):
        assert not judged(provenance(), msgspec.structs.replace(POLICY, **{field: []})).good
    key = key_from_file(pem(ED))
    open_ = Demands(keys=(key,), builders=((BUILDER, 0),))
    assert examine(provenance(), artifact_digests={"sha256": A}, policy=open_, now=NOW).good


def test_another_known_key_signs_no_provenance() -> None:
    """The provider's key may sign other statements; what was built how, the builder says."""
    found = judged(provenance(P256_), keys=[key_from_file(pem(P256))])
    assert found.checks[1].ok
    assert found.failed is not None
    assert (found.failed.name, found.failed.code) == ("policy", "auth")


class _Der:
    """P-256 that signs as Ed25519 does, without saying how."""

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return P256.sign(data, ec.ECDSA(hashes.SHA256()))


P256_ = _Der()


GITHUB = "https://token.actions.githubusercontent.com"


def github(name: str, **other: Any) -> ProvenancePolicy:
    """A policy that fits a real attestation of GitHub."""
    one = vector(name)
    said = one.examine().attested
    fields = {
        "builders": [TrustedBuilder(id=said.builder, level=3)],
        "identities": [SigstoreIdentity(issuer=GITHUB, subject=one.identity)],
        "sources": [said.source],
        "refs": [said.ref],
        "level": 3,
    }
    return ProvenancePolicy(**(fields | other))


def test_a_real_attestation_of_github_meets_its_policy() -> None:
    """Identity, issuer, builder, source, ref: all hold; each alone wrong, and it fails."""
    name = "github-attestation/MODULE.bazel"
    one = vector(name)
    assert one.examine(policy=demands_of(github(name))).good
    wrong = {
        "identity": {"identities": [SigstoreIdentity(issuer=GITHUB, subject="https://evil/*")]},
        "builder": {"builders": [TrustedBuilder(id="https://github.com/evil", level=3)]},
        "source": {"sources": ["git+https://github.com/evil/x"]},
        "ref": {"refs": ["refs/heads/main"]},
    }
    for step, other in wrong.items():
        failed = one.examine(policy=demands_of(github(name, **other))).failed
        assert failed is not None
        assert failed.name == step
    assert one.examine(policy=demands_of(github(name, identities=[]))).failed is not None


def test_a_workflow_cannot_say_that_another_repository_was_built() -> None:
    """Sigstore's conformance has such a bundle: the statement says one thing, the certificate another.

    Its signature holds, so that nothing is wrong until somebody demands the source that it claims.
    """
    one = vector("conformance/happy-path-intoto-in-dsse-v3")
    said = one.examine().attested
    assert said.source == "git+https://github.com/loosebazooka/aa-test"
    assert said.claims.source.endswith("extremely-dangerous-public-oidc-beacon")
    identity = (Identity("", one.identity),)
    by_source = one.examine(policy=Demands(identities=identity, sources=(said.source,))).failed
    assert by_source is not None
    assert (by_source.name, by_source.code) == ("source", "wrong-source")
    by_builder = one.examine(policy=Demands(identities=identity, builders=((said.builder, 3),)))
    assert by_builder.failed is not None
    assert (by_builder.failed.name, by_builder.failed.code) == ("builder", "wrong-builder")


def test_a_generator_may_sign_for_a_builder_of_its_own_repository() -> None:
    """The delegating generator of SLSA signs for its builders: another workflow, one repository."""
    one = vector("npm/provenance-npm-test-ossf")
    said = one.examine().attested
    assert said.builder != said.identity
    identity = (Identity(GITHUB, said.identity),)
    assert one.examine(policy=Demands(identities=identity, builders=((said.builder, 3),))).good


def test_one_good_attestation_among_bad_ones_is_enough() -> None:
    """Anybody can lay a bad one beside a release; the fault of the best is told if none is good."""
    looking = Looking(NOW, demands=demands_of(POLICY))

    def look(*raws: bytes) -> list[Examined]:
        return [looking.examine(Lying("here", raw), {"sha256": A}) for raw in raws]

    bad = [b"{}", provenance(P256_), provenance(builder="https://evil.example")]
    assert provenance_among(look(*bad, provenance())).good
    with pytest.raises(Untrusted) as caught:
        provenance_among(look(*bad))
    assert caught.value.code == "wrong-builder"
    with pytest.raises(Unavailable) as missing:
        provenance_among([])
    assert missing.value.code == "nothing-attested"
    other = look(provenance(kind="https://example.org/review"))
    assert statement_among(other, "https://example.org/review").good
    assert any_among(other).good
    with pytest.raises(Unavailable):
        provenance_among(other)


def test_keys_that_are_not_known_leave_it_open() -> None:
    """Without any key there is nothing false, only something missing."""
    looking = Looking(NOW)
    with pytest.raises(Unavailable):
        provenance_among([looking.examine(Lying("here", provenance()), {"sha256": A})])
    assert (
        replace(looking, keys=(key_from_file(pem(ED)),))
        .examine(Lying("here", provenance()), {"sha256": A})
        .good
    )
