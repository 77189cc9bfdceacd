"""Verifiers are named by the owner, each for what they may say; their keys lie apart from all others."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_delegate import with_acme

from allod.cli.documents import newest
from allod.domain.ids import parse_provider
from allod.testing.owner import key_from
from allod.trust.keys import from_key
from allod.wire.codec import encode
from allod.wire.trust import SigstoreIdentity, TrustedBuilder

__all__ = ["with_acme"]  # a fixture


def card(owner: Owner, name: str) -> Path:
    """The public key of somebody elsewhere."""
    path = owner.home / f"{name}.pub"
    path.write_bytes(encode(from_key(key_from(name).public_key)))
    return path


def test_a_verifier_is_named_for_what_they_may_say(with_acme: Owner) -> None:
    """Key, purposes and sources stand in fleet.json; the list shows them, and they can end."""
    with_acme.do(
        "verifier", "add", "lab", "--key", card(with_acme, "lab"), "--vouches", "mends",
        "--source", "pypa", "--source", "ghsa", "--yes",
    )  # fmt: skip
    with_acme.do("verifier", "key", with_acme.home / "here.card")
    with_acme.do(
        "verifier", "add", "here", "--key", with_acme.home / "here.card",
        "--vouches", "provenance", "--vouches", "mends", "--yes",
    )  # fmt: skip
    lab, here = newest(with_acme.fleet()).fleet_document.verifiers
    assert (lab.name, lab.vouches, lab.sources) == ("lab", ["mends"], ["ghsa", "pypa"])
    assert (here.vouches, here.sources) == (["mends", "provenance"], [])
    assert lab.key != here.key
    assert [one["name"] for one in with_acme.do("verifier", "list")] == ["lab", "here"]
    with_acme.do("verifier", "remove", "lab", "--yes")
    assert [one.name for one in newest(with_acme.fleet()).fleet_document.verifiers] == ["here"]
    assert with_acme.refused("verifier", "remove", "lab", "--yes") == "not-found"


def test_nobody_is_named_who_could_speak_as_somebody_else(with_acme: Owner) -> None:
    """Not as the provider, not with another verifier's key or name, not for nothing."""
    lab = card(with_acme, "lab")
    add = ("verifier", "add", "lab", "--key", lab)
    assert with_acme.refused(*add, "--yes") == "bad-arguments"
    for more in (("--vouches", "mends", "--source", "provider"), ("--vouches", "provenance", "--source", "pypa")):  # fmt: skip
        assert with_acme.refused(*add, *more, "--yes") == "bad-arguments"
    with_acme.do(*add, "--vouches", "mends", "--yes")
    assert with_acme.refused(*add, "--vouches", "provenance", "--yes") == "exists"
    other = ("verifier", "add", "other", "--key", lab, "--vouches", "provenance", "--yes")
    assert with_acme.refused(*other) == "exists"
    assert len(newest(with_acme.fleet()).fleet_document.verifiers) == 1


def test_without_a_verifiers_key_nothing_is_vouched_for(with_acme: Owner) -> None:
    """The owner's own keys are none; a verifier for one thing says nothing of the other."""
    assert with_acme.refused("release", "vouch") == "no-verifier"
    with_acme.do("verifier", "add", "here", "--vouches", "mends", "--yes")
    assert with_acme.refused("release", "vouch") == "no-verifier"


def test_a_demand_is_written_whole(with_acme: Owner) -> None:
    """Identities with their issuers, builders with their levels, what must come along; half a demand
    is refused before anything is signed.
    """
    words = (
        "provider", "built", "acme", "--builder", "https://ci.example=3",
        "--identity", "https://ci.example/acme@*", "--issuer", "https://token.example",
        "--source", "git+https://git.example/acme", "--ref", "refs/tags/*", "--any-parameters",
        "--level", "3", "--attestation", "https://example.net/tests/v1", "--sbom",
    )  # fmt: skip
    with_acme.do(*words, "--yes")
    policy = newest(with_acme.fleet()).providers[parse_provider("acme")].provenance
    assert policy is not None
    assert policy.builders == [TrustedBuilder(id="https://ci.example", level=3)]
    expected = SigstoreIdentity(issuer="https://token.example", subject="https://ci.example/acme@*")
    assert policy.identities == [expected]
    assert (policy.keys, policy.level, policy.sbom) == ([], 3, True)
    assert policy.attestations == ["https://example.net/tests/v1"]
    for wrong in (
        ("provider", "built", "acme", "--identity", "me@example.net"),
        ("provider", "built", "acme", "--level", "2"),
        (*words, "--issuer", "https://another.example"),
        tuple(one.replace("=3", "=1") for one in words),
        tuple("4" if one == "3" else one for one in words),
    ):
        assert with_acme.refused(*wrong, "--yes") == "bad-arguments"
    with_acme.do("provider", "built", "acme", "--sbom", "--yes")
    alone = newest(with_acme.fleet()).providers[parse_provider("acme")].provenance
    assert alone is not None
    assert not alone.asks_provenance
    assert alone.sbom
