"""What statements say is read from others' formats, and subjects are compared by us."""

from __future__ import annotations

import json
from typing import Any

import pytest

from allod.attestation.statement import (
    Statement,
    Subject,
    decode_statement,
    matching_subject,
    split_source,
)
from allod.errors import InvalidInput, Unavailable, Untrusted

A, B = "a" * 64, "b" * 64


def statement(**other: Any) -> bytes:
    """A small one."""
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://example.org/x",
        "subject": [{"name": "a", "digest": {"sha256": A}}],
        "predicate": {},
    }
    return json.dumps(value | other).encode()


def about(*digests: dict[str, str]) -> Statement:
    """A statement about these."""
    subjects = tuple(Subject(str(n), one) for n, one in enumerate(digests))
    return Statement("t", "p", subjects, {})


@pytest.mark.parametrize(
    ("subject", "artifact"),
    [
        ({"sha256": A}, {"sha256": A}),
        ({"sha256": A, "sha512": B}, {"sha256": A}),
        ({"sha256": A, "sha1": "x"}, {"sha256": A, "sha1": "y"}),  # SHA-1 has no say
    ],
)
def test_a_subject_is_the_artifact_by_its_digest(
    subject: dict[str, str], artifact: dict[str, str]
) -> None:
    """Names do not matter; one of many subjects does."""
    assert matching_subject(about({"sha256": B}, subject), artifact).digest == subject


@pytest.mark.parametrize(
    ("subject", "artifact", "kind"),
    [
        ({"sha256": B}, {"sha256": A}, Untrusted),
        ({"sha256": A.upper()}, {"sha256": A}, Untrusted),
        ({"sha256": A, "sha512": B}, {"sha256": A, "sha512": A}, Untrusted),  # they contradict
        ({"sha1": A}, {"sha1": A}, Unavailable),
        ({"md5": A}, {"md5": A}, Unavailable),
        ({"gitCommit": A}, {"gitCommit": A}, Unavailable),
        ({}, {"sha256": A}, Unavailable),
        ({"sha256": A}, {}, Unavailable),
    ],
)
def test_what_is_not_surely_the_same_is_not_the_artifact(
    subject: dict[str, str], artifact: dict[str, str], kind: type[Exception]
) -> None:
    """Other, contradicting, broken or missing digests: refused, or nothing to compare."""
    with pytest.raises(kind):
        matching_subject(about(subject), artifact)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        statement(_type="https://in-toto.io/Statement/v2"),
        statement(subject=[]),
        statement(subject=[{"name": 1}]),
        statement(subject="x"),
        statement(predicateType=None),
        statement(predicate=[1]),
        b'{"_type":"https://in-toto.io/Statement/v1","_type":"x"}',
    ],
)
def test_malformed_statements_are_refused(payload: bytes) -> None:
    """With a code; a signature over nonsense makes it no better."""
    with pytest.raises(InvalidInput):
        decode_statement(payload)


@pytest.mark.parametrize(
    ("kind", "predicate"),
    [
        ("https://slsa.dev/provenance/v1", {}),
        ("https://slsa.dev/provenance/v1", {"buildDefinition": 7, "runDetails": {"builder": []}}),
        (
            "https://slsa.dev/provenance/v1",
            {"buildDefinition": {"resolvedDependencies": {"0": {"uri": "x"}}}},
        ),
        ("https://slsa.dev/provenance/v0.2", {"builder": {"id": 1}, "materials": [[]]}),
        ("https://slsa.dev/verification_summary/v1", {"verifiedLevels": {"a": 1}, "policy": []}),
        ("https://slsa.dev/verification_summary/v1", {"verifiedLevels": 7}),
    ],
)
def test_what_a_predicate_does_not_say_is_empty(kind: str, predicate: dict[str, Any]) -> None:
    """Other shapes than SLSA's say nothing, and nothing passes for having been said."""
    read = decode_statement(statement(predicateType=kind, predicate=predicate))
    assert (read.built.builder, read.built.source, read.built.ref) == ("", "", "")
    assert read.summary is None or (not read.summary.passed and read.summary.level == 0)


def test_provenance_of_both_versions_says_the_same() -> None:
    """Builder, type, repository, ref, revision and parameters, wherever they stand."""
    uri = "git+https://github.com/acme/toaster@refs/tags/v1"
    old = {
        "builder": {"id": "https://b"},
        "buildType": "https://t",
        "invocation": {
            "configSource": {"uri": uri, "digest": {"sha1": "c0ffee"}, "entryPoint": "r.yml"},
            "parameters": {"inputs": {"debug": True}},
        },
    }
    new = {
        "buildDefinition": {
            "buildType": "https://t",
            "externalParameters": {"inputs": {"debug": True}},
            "resolvedDependencies": [{"uri": uri, "digest": {"gitCommit": "c0ffee"}}],
        },
        "runDetails": {"builder": {"id": "https://b"}},
    }
    first = decode_statement(
        statement(
            _type="https://in-toto.io/Statement/v0.1",
            predicateType="https://slsa.dev/provenance/v0.2",
            predicate=old,
        )
    ).built
    second = decode_statement(
        statement(predicateType="https://slsa.dev/provenance/v1", predicate=new)
    ).built
    for built in (first, second):
        assert (built.builder, built.build_type) == ("https://b", "https://t")
        assert (built.source, built.ref) == (uri.rpartition("@")[0], "refs/tags/v1")
        assert built.revision == "c0ffee"
    assert second.parameters == {"inputs.debug": "True"}
    # What the caller of a build gave, whichever field of v0.2 it stands in.
    assert first.parameters == {
        "configSource.entryPoint": "r.yml",
        "parameters.inputs.debug": "True",
    }


def test_a_summary_says_levels_and_whether_it_passed() -> None:
    """SLSA's verification summary, v1; the level is the highest of the build track."""
    predicate = {
        "verifier": {"id": "allod:home/lab"},
        "timeVerified": "2026-01-01T00:00:00Z",
        "resourceUri": "pkg:generic/acme/toaster",
        "policy": {"uri": "providers/acme.json", "digest": {"sha256": A}},
        "verificationResult": "PASSED",
        "verifiedLevels": [
            "SLSA_BUILD_LEVEL_1",
            "SLSA_BUILD_LEVEL_3",
            "FEDRAMP",
            "SLSA_BUILD_LEVEL_X",
        ],
    }
    kind = "https://slsa.dev/verification_summary/v1"
    read = decode_statement(statement(predicateType=kind, predicate=predicate)).summary
    assert read is not None
    assert read.passed
    assert read.level == 3
    assert (read.verifier, read.policy_digest) == ("allod:home/lab", {"sha256": A})
    failed = decode_statement(
        statement(predicateType=kind, predicate=predicate | {"verificationResult": "FAILED"})
    ).summary
    assert failed is not None
    assert not failed.passed


@pytest.mark.parametrize(
    ("uri", "source", "ref"),
    [
        ("git+https://x/a@refs/heads/b", "git+https://x/a", "refs/heads/b"),
        ("git+https://x/a", "git+https://x/a", ""),
        ("git+ssh://git@host/a", "git+ssh://git", "host/a"),
        ("", "", ""),
        ("a@b", "a@b", ""),
    ],
)
def test_sources_are_split_at_their_last_at(uri: str, source: str, ref: str) -> None:
    """SLSA writes the ref behind an @. A user's name is none that a policy would name."""
    assert split_source(uri) == (source, ref)
