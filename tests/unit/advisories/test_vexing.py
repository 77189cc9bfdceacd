"""VEX statements speak of what they name, and of nothing else."""

from __future__ import annotations

import pytest

from allod.advisories.finding import VexStatement, VexStatus
from allod.advisories.vexing import means, newest, speaks_of
from allod.testing.advisories import part

SYSTEMD = part(
    "Debian:13", "systemd", "257.8-1", "pkg:deb/debian/libudev1@257.8-1?arch=amd64&distro=trixie"
)
WHOLE = "pkg:docker/dhi/litellm@1.0"
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("pattern", "thing", "meant"),
    [
        ("pkg:deb/debian/libudev1", SYSTEMD.said.purl, True),
        ("pkg:deb/debian/libudev1@257.8-1", SYSTEMD.said.purl, True),
        ("pkg:deb/debian/libudev1@257.8-2", SYSTEMD.said.purl, False),
        ("pkg:deb/debian/libudev1?distro=trixie", SYSTEMD.said.purl, True),
        ("pkg:deb/debian/libudev1?distro=bookworm", SYSTEMD.said.purl, False),
        ("pkg:deb/debian/libudev1?os_distro=trixie", SYSTEMD.said.purl, False),
        ("pkg:deb/ubuntu/libudev1", SYSTEMD.said.purl, False),
        ("pkg:pypi/Some_Thing", "pkg:pypi/some-thing@1", True),
        ("pkg:npm/%40scope/a", "pkg:npm/%40scope/a@1", True),
        ("pkg:deb/Debian/LibUdev1", SYSTEMD.said.purl, True),
        ("pkg:oci/Litellm", "pkg:oci/litellm@sha256:1", True),
        ("pkg:maven/org.X/a", "pkg:maven/org.x/a@1", False),
        ("pkg:pypi/x", "pkg:", False),
        ("https://example.org/x", "pkg:pypi/x", False),
        ("pkg:npm/a", "pkg:npm/%40scope/a@1", False),
        ("pkg:golang/example.org/x#sub", "pkg:golang/example.org/x@1", False),
        (DIGEST, DIGEST, True),
        (DIGEST, "pkg:pypi/x", False),
        ("pkg:", "pkg:pypi/x", False),
    ],
)
def test_a_purl_means_what_it_does_not_say_otherwise(pattern, thing, meant) -> None:
    """Without version all; qualifiers that are said must be there."""
    assert means(pattern, thing) is meant


def statement(*products, status=VexStatus.NOT_AFFECTED, author="us", at="2026-01-01", parts=()):
    """What somebody says of CVE-2026-0001."""
    return VexStatement(("CVE-2026-0001",), products, status, author, at, subcomponents=parts)


def test_a_statement_about_the_whole_or_the_part_counts() -> None:
    """By purl or digest; another product's statement says nothing here."""
    products = frozenset({WHOLE, DIGEST})
    assert speaks_of(statement("pkg:docker/dhi/litellm"), SYSTEMD, products)
    assert speaks_of(statement(DIGEST), SYSTEMD, products)
    assert speaks_of(statement("pkg:deb/debian/libudev1"), SYSTEMD, frozenset())
    assert not speaks_of(statement("pkg:docker/dhi/litellm"), SYSTEMD, frozenset())
    assert not speaks_of(statement("pkg:docker/dhi/other"), SYSTEMD, products)


def test_subcomponents_narrow_a_statement() -> None:
    """A product with subcomponents: both must fit."""
    said = statement("pkg:docker/dhi/litellm", parts=("pkg:deb/debian/libudev1",))
    other = statement("pkg:docker/dhi/litellm", parts=("pkg:deb/debian/openssl",))
    assert speaks_of(said, SYSTEMD, frozenset({WHOLE}))
    assert not speaks_of(other, SYSTEMD, frozenset({WHOLE}))
    assert not speaks_of(said, SYSTEMD, frozenset())


def test_the_last_word_of_those_that_count_holds() -> None:
    """Later statements replace earlier ones; authors who do not count say nothing."""
    first = statement(WHOLE, author="us")
    second = statement(WHOLE, author="them", status=VexStatus.AFFECTED, at="2026-02-01")
    products, flaw = frozenset({WHOLE}), frozenset({"GHSA-1", "CVE-2026-0001"})
    both = [first, second]
    assert newest(both, flaw, SYSTEMD, products, None) is second
    assert newest(both, flaw, SYSTEMD, products, {"us"}) is first
    assert newest(both, flaw, SYSTEMD, products, set()) is None
    assert newest(both, frozenset({"CVE-2026-0002"}), SYSTEMD, products, None) is None
