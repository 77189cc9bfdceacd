"""Real attestations of others get the verdict of their manifest, for the right reason, offline."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.unit.attestation.vectors import NOW, ROWS, Vector, rows, vector

from allod.attestation.bundle import read_bundle
from allod.attestation.policy import Demands, Identity
from allod.attestation.recorded import check_recorded, read_recorded
from allod.attestation.roots import read_root
from allod.attestation.verdict import Examined
from allod.errors import InvalidInput, Untrusted

ALL = sorted(file.rpartition("/")[0] for file in ROWS)

#: directory -> the step that fails, its code, and words that say why.
REASONS = {
    "conformance/bundle-empty-certificate-chain_fail": ("format", "bad-bundle", "chain is empty"),
    "conformance/checkpoint-bad-keyhint_fail": ("log", "not-logged", "Signature not found"),
    "conformance/dsse-invalid-sig_fail": ("signature", "bad-signature", "invalid signature"),
    "conformance/dsse-mismatch-envelope_fail": ("signature", "wrong-entry", "payload hash"),
    "conformance/inclusion-proof-corrupted-hash_fail": ("log", "not-logged", "root hash"),
    "conformance/integrated-time-in-future_fail": (
        "certificate",
        "wrong-time",
        "to 2026-05-07T15:28:10Z, and it was signed at 2026-05-07T15:34:11Z",
    ),
    "conformance/invalid-checkpoint-signature_fail": ("log", "not-logged", "checkpoint"),
    "conformance/invalid-ct-key_fail": ("certificate", "untrusted-certificate", "SCT"),
    "conformance/message-digest-mismatch_fail": ("signature", "wrong-subject", "digest mismatch"),
    "npm/gundam-visor-cli-v1-tag-invalidsigprov": ("signature", "bad-signature", "not made by"),
    "sigstore-go/dsse-2sigs": ("bundle", "bad-bundle", "2 signatures"),
}
#: What cannot be compared by the manifest: the subject that it speaks of, and who signed.
SUBJECTS = {
    "cosign/oci-attestation": {
        "sha256": "732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4"
    },
    "sigstore-go/dsse": {
        "sha512": "bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3"
        "ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f"
    },
    "vsa-keyed-dsse": {"gce_image_id": "8970095005306000053"},
}
SIGNERS = {
    "npm/provenance-npm-test-ossf": "https://github.com/slsa-framework/slsa-github-generator/"
    ".github/workflows/delegator_lowperms-generic_slsa3.yml@refs/tags/v1.6.0",
    "npm/supreme-googles-cli-v02-tag": "https://github.com/trishankatdatadog/supreme-goggles/"
    ".github/workflows/npm-publish.yml@refs/tags/v1.0.5",
    "sigstore-go/dsse": "brian@dehamer.com",
}


@pytest.mark.parametrize("name", ALL)
def test_every_attestation_gets_its_manifests_verdict(name: str) -> None:
    """Valid ones hold in every step, by whom they should; invalid ones fail where they are bad."""
    gets_its_verdict(name, vector(name))


@pytest.mark.slow
@pytest.mark.skipif("ALLOD_DATA" not in os.environ, reason="ALLOD_DATA names no directory of data")
def test_the_whole_set_gets_its_verdicts() -> None:
    """Also with the artifacts that are too large for this repository, and what is new in the set."""
    base = Path(os.environ["ALLOD_DATA"]) / "provenance"
    names = {file.rpartition("/")[0] for file in rows(base)}
    assert names >= set(ALL)
    for name in sorted(names):
        gets_its_verdict(name, vector(name, base))


def gets_its_verdict(name: str, one: Vector) -> None:
    """Look at one, and compare with what its manifest says."""
    if name in SIGNERS:
        one = replace(one, identity=SIGNERS[name])
    found = one.examine(artifact_digests=one.digests or SUBJECTS.get(name, {}))
    if one.valid:
        assert found.good, found.checks
        assert found.attested.keys or found.attested.identity == one.identity
        assert [check.number for check in found.checks] == list(range(1, len(found.checks) + 1))
        return
    step, code, words = REASONS[name]
    failed = found.failed
    assert failed is not None
    assert (failed.name, failed.code) == (step, code)
    assert words in failed.says
    assert found.attested.statement is None  # nothing is told of what is not signed


@pytest.mark.parametrize("name", [name for name in ALL if name not in REASONS])
def test_a_valid_attestation_says_nothing_of_another_artifact(name: str) -> None:
    """The same bundle beside other bytes is refused, or cannot be compared."""
    one = vector(name)
    other = {"sha256": "0" * 64, "sha384": "0" * 96, "sha512": "0" * 128, "gce_image_id": "1"}
    found = one.examine(artifact_digests=other)
    assert found.failed is not None
    assert found.failed.code in {"wrong-subject", "bad-signature"}


@pytest.mark.parametrize("name", [name for name in ALL if name not in REASONS])
def test_a_valid_attestation_by_somebody_else_is_not_taken(name: str) -> None:
    """Another expected signer, or another key: refused; no expectation at all: incomplete."""
    one = vector(name)
    wanted = Demands(identities=(Identity("", "https://github.com/acme/*"),))
    found = one.examine(keys=(), policy=wanted)
    assert not found.good
    stopped = found.checks[-1]
    assert stopped.code in {"wrong-identity", "no-key"}
    if stopped.code == "wrong-identity":
        asked = one.examine(policy=None)
        assert [check.code for check in asked.missing if check.name == "identity"] == [
            "no-identity"
        ]


def test_issuer_and_beginning_of_the_identity_are_compared() -> None:
    """The issuer has to be the one; a `*` at the end lets tags differ."""
    one = vector("slsa-github-generator/v2.1.0")
    beginning = one.identity.rpartition("@")[0] + "@*"
    github = "https://token.actions.githubusercontent.com"
    for issuer, subject, good in (
        (github, beginning, True),
        (github, beginning[:-1], False),
        ("https://accounts.example", one.identity, False),
    ):
        policy = Demands(identities=(Identity(issuer, subject),))
        assert one.examine(policy=policy).good is good


@pytest.mark.parametrize(
    ("name", "builder", "source", "revision", "ref"),
    [
        (
            "slsa-github-generator/v2.1.0",  # v0.2
            (
                "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/"
                "generator_generic_slsa3.yml@refs/tags/v2.1.0"
            ),
            "git+https://github.com/slsa-framework/example-package",
            "4d329c75e7ec1725f7c9ce917a8799d408d06be3",
            "refs/tags/v14",
        ),
        (
            "npm/gundam-visor-cli-v1-tag",  # v1
            "https://github.com/actions/runner/github-hosted",
            "git+https://github.com/ramonpetgrave64/gundam-visor",
            "599500821344b070902a7a5666064bfdaba715df",
            "refs/tags/v1.0.1",
        ),
    ],
)
def test_who_built_from_what_is_told(
    name: str, builder: str, source: str, revision: str, ref: str
) -> None:
    """Builder, repository, commit, ref, log and time come out of a bundle that holds."""
    said = vector(name).examine().attested
    assert (said.builder, said.source, said.revision, said.ref) == (builder, source, revision, ref)
    assert said.build_type
    assert said.log == "rekor.sigstore.dev"
    assert said.log_index is not None
    assert said.logged_at is not None
    assert said.claims.source == source.removeprefix("git+")
    assert said.claims.revision == revision


def test_a_signature_from_the_future_is_not_taken() -> None:
    """Where it is earlier than the time of signing, clock or bundle is wrong."""
    one = vector("github-attestation/MODULE.bazel")
    at = one.examine().attested.logged_at
    assert at is not None
    assert one.examine(now=at).good
    found = one.examine(now=at - timedelta(minutes=6))
    assert found.failed is not None
    assert found.failed.code == "from-the-future"
    managed = vector("conformance/managed-key-happy-path").examine(now=NOW - timedelta(days=900))
    assert managed.failed is not None
    assert managed.failed.code == "from-the-future"


def test_without_a_trust_root_no_certificate_counts() -> None:
    """Nothing is fetched: what is not given is missing, also the log of a managed key."""
    found = vector("github-attestation/MODULE.bazel").examine(trust_root=None)
    assert [check.code for check in found.missing] == ["no-trust-root"]
    found = vector("conformance/managed-key-happy-path").examine(trust_root=None)
    assert [check.code for check in found.missing] == ["no-trust-root"]
    assert not found.good


def test_another_trust_root_does_not_do() -> None:
    """A certificate of the public-good instance is nothing to the staging one, nor its log."""
    staging = vector("sigstore-python/staging-rekor-v2.txt").root
    for name, step in (
        ("github-attestation/MODULE.bazel", "certificate"),
        ("npm/gundam-visor-cli-v1-tag", "certificate"),
        ("sigstore-go/dsse", "certificate"),
        ("conformance/managed-key-happy-path", "log"),
    ):
        failed = vector(name).examine(trust_root=staging).failed
        assert failed is not None
        assert failed.name == step


def test_a_good_log_entry_about_something_else_is_seen() -> None:
    """An entry that the log really has beside a signature that really is (CVE-2022-36056)."""
    one, other = vector("conformance/managed-key-happy-path"), vector("conformance/happy-path-v0.2")
    bundle = json.loads(one.raw)
    entries = json.loads(other.raw)["verificationMaterial"]["tlogEntries"]
    bundle["verificationMaterial"]["tlogEntries"] = entries
    failed = one.examine(data=json.dumps(bundle).encode()).failed
    assert failed is not None
    assert (failed.name, failed.code) == ("entry", "wrong-entry")


@pytest.mark.parametrize(
    ("name", "part", "window"),
    [
        ("github-attestation/MODULE.bazel", "tlogs", {"end": "2025-03-01T00:00:00Z"}),
        ("github-attestation/MODULE.bazel", "ctlogs", {"end": "2025-03-01T00:00:00Z"}),
        (
            "github-attestation/MODULE.bazel",
            "certificateAuthorities",
            {"end": "2025-03-01T00:00:00Z"},
        ),
        ("npm/gundam-visor-cli-v1-tag", "tlogs", {"start": "2025-01-01T00:00:00Z"}),
        ("conformance/managed-key-happy-path", "tlogs", {"end": "2025-12-01T00:00:00Z"}),
    ],
)
def test_authorities_and_logs_count_only_for_their_time(
    name: str, part: str, window: dict[str, str]
) -> None:
    """Whose key was retired vouches for nothing later, and what it vouched for before holds on."""
    one = vector(name)
    assert one.root is not None

    def look(window: dict[str, str]) -> Examined:
        value = json.loads(json.dumps(one.root.value)) if one.root else {}
        for instance in value[part]:
            where = instance if part == "certificateAuthorities" else instance["publicKey"]
            where["validFor"] |= window
        return one.examine(trust_root=read_root(json.dumps(value).encode()))

    failed = look(window).failed
    assert failed is not None
    assert (failed.name, failed.code) == ("trust-root", "wrong-time")
    assert look({"start": "2020-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}).good


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("npm/gundam-visor-cli-v1-tag", "npm/supreme-googles-cli-v02-tag"),
        ("npm/gundam-visor-cli-v1-tag", "npm/gundam-visor-cli-v1-tag-invalidsigprov"),
        ("github-attestation/MODULE.bazel", "cosign/oci-attestation"),
        ("conformance/rekor2-happy-path", "conformance/rekor2-timestamp-with-embedded-cert"),
    ],
)
def test_an_entry_is_about_one_signature_under_one_key(name: str, other: str) -> None:
    """Of every kind: payload or artifact, signature and certificate are all compared."""
    one = vector(name)
    bundle, wrong = read_bundle(one.raw), read_bundle(vector(other).raw)
    entry, der = bundle.entries[0], bundle.certificate
    assert check_recorded(entry, bundle, der, one.digests)
    cases = [(wrong, der), (bundle, wrong.certificate), (bundle, der[:-1])]
    if bundle.message is not None:
        changed = replace(bundle, message=replace(bundle.message, signature=b"other"))
        cases.append((changed, der))
    else:
        assert bundle.envelope is not None
        changed = replace(bundle, envelope=replace(bundle.envelope, signatures=(b"other",)))
        cases.append((changed, der))
    for signed, verifier in cases:
        if signed is bundle and verifier == der:
            continue  # the same certificate signed both
        with pytest.raises(Untrusted) as caught:
            check_recorded(entry, signed, verifier, one.digests)
        assert caught.value.code == "wrong-entry"


def test_an_entry_of_a_kind_that_it_does_not_say_is_not_read() -> None:
    """The kind beside an entry is nobody's word: it has to be what the log holds."""
    entry = read_bundle(vector("conformance/managed-key-happy-path").raw).entries[0]
    body = json.loads(base64.b64decode(entry.canonicalized_body)) | {"apiVersion": "0.0.2"}
    other = msgspec.structs.replace(
        entry, canonicalized_body=base64.b64encode(json.dumps(body).encode()).decode()
    )
    assert read_recorded(entry).algorithm == "sha256"
    with pytest.raises(InvalidInput):
        read_recorded(other)


@pytest.mark.parametrize("name", ["npm/gundam-visor-cli-v1-tag", "sigstore-go/dsse"])
@pytest.mark.parametrize(
    "part", ["logIndex", "integratedTime", "canonicalizedBody", "signedEntryTimestamp"]
)
def test_no_part_of_an_older_log_entry_can_be_changed(name: str, part: str) -> None:
    """What the log promised is its very words: index, time and body, under its key."""
    bundle = json.loads(vector(name).raw)
    entry = bundle["verificationMaterial"]["tlogEntries"][0]
    where = entry["inclusionPromise"] if part == "signedEntryTimestamp" else entry
    if part in {"logIndex", "integratedTime"}:
        where[part] = str(int(where[part]) + 1)
    else:
        raw = bytearray(base64.b64decode(where[part]))
        raw[-5] ^= 1
        where[part] = base64.b64encode(raw).decode()
    found = vector(name).examine(data=json.dumps(bundle).encode(), policy=None)
    assert found.failed is not None
    assert found.failed.name in {"log", "signature", "entry", "bundle"}


def test_a_newer_bundle_needs_the_proof_of_inclusion() -> None:
    """What v0.1 may leave out makes a v0.2 incomplete, also for entries of our own code."""
    bundle = json.loads(vector("npm/gundam-visor-cli-v1-tag").raw)
    del bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    one = vector("npm/gundam-visor-cli-v1-tag")
    failed = one.examine(data=json.dumps(bundle).encode()).failed
    assert failed is not None
    assert (failed.name, failed.code) == ("bundle", "bad-bundle")
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    assert one.examine(data=json.dumps(bundle).encode()).good


def test_a_trust_root_that_is_none_is_refused() -> None:
    """What is given as a trust root is read before anything is trusted."""
    for data in (b"{}", b'{"mediaType": "x"}', b"[]", b"nothing"):
        with pytest.raises(InvalidInput) as caught:
            read_root(data)
        assert caught.value.code in {"bad-trust-root", "bad-json"}
