"""Each order is an order, says what a walk without keys says, and refuses by name."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packageurl import PackageURL

from allod.advisories.component import Component, Unmatchable
from allod.advisories.orders import Order, order_named
from allod.advisories.purl import Purl, parse
from allod.advisories.purls import component_of
from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput
from allod.testing.versions import ORACLES, PIECES, pair

SEEDS = st.integers(0, 2**32)


def ordered(name: str) -> Order:
    order = order_named(name)
    assert order is not None
    return order


def versions(order: Order, seed: int) -> list[str]:
    """Some versions that the order takes, many of them alike."""
    random = Random(seed)
    found: list[str] = []
    for _ in range(40):
        for version in pair(order.name, random):
            try:
                order.key(version)
            except InvalidInput as error:
                assert error.code == "bad-version"
                continue
            found.append(version)
    return found


@pytest.mark.parametrize("name", PIECES)
@given(seed=SEEDS)
def test_total_order(name: str, seed: int) -> None:
    """Sorted by keys, no later version is older than an earlier one, whichever two are compared,
    and comparing the other way round turns the answer: so the order is total and transitive.
    """
    order = ordered(name)
    queue = sorted(versions(order, seed)[:24], key=order.key)  # type: ignore[arg-type]
    for at, earlier in enumerate(queue):
        assert order.compare(earlier, earlier) == 0
        for later in queue[at:]:
            assert order.compare(earlier, later) == -order.compare(later, earlier) <= 0


@pytest.mark.parametrize("name", ORACLES)
@given(seed=SEEDS)
def test_agrees_with_a_walk(name: str, seed: int) -> None:
    """A comparison by keys answers as one sign by sign in the manner of the native tools' code."""
    order = ordered(name)
    found = versions(order, seed)
    for one, other in zip(found, found[1:], strict=False):
        assert order.compare(one, other) == ORACLES[name](one, other), (one, other)


@pytest.mark.parametrize("name", PIECES)
@given(version=st.text(max_size=40))
def test_any_text(name: str, version: str) -> None:
    """Any text is placed, equal to itself, or refused by the one code."""
    order = ordered(name)
    try:
        assert order.compare(version, version) == 0
    except InvalidInput as error:
        assert error.code == "bad-version"


@given(text=st.text(max_size=60) | st.text(max_size=40).map(lambda text: f"pkg:deb/debian/{text}"))
def test_any_purl(text: str) -> None:
    """Any text is a purl or refused; as a part it is asked about or unknown with a reason."""
    try:
        read = parse(text)
        assert read.name
        assert read.type
    except InvalidInput as error:
        assert error.code == "bad-purl"
    answer = component_of(SbomComponent("it", "1", text), distribution="debian-12")
    assert isinstance(answer, Component) or (isinstance(answer, Unmatchable) and answer.why)


WORDS = st.text("abcXYZ019.-_+~:@%é&?#=", min_size=1, max_size=12)


@given(
    kind=st.sampled_from(["deb", "rpm", "apk", "generic", "conan"]),
    namespace=st.lists(WORDS, max_size=3).map("/".join),
    name=WORDS,
    version=WORDS | st.just(""),
    qualifiers=st.dictionaries(st.sampled_from(["arch", "distro", "upstream"]), WORDS),
)
def test_reads_what_packageurl_writes(
    kind: str, namespace: str, name: str, version: str, qualifiers: dict[str, str]
) -> None:
    """What the reference implementation writes is read back as what it meant."""
    try:
        meant = PackageURL(kind, namespace or None, name, version or None, qualifiers)
        text = meant.to_string()
    except ValueError:
        assume(False)
    assert parse(text) == Purl(
        kind,
        meant.namespace or "",
        meant.name,
        meant.version or "",
        dict(meant.qualifiers) if isinstance(meant.qualifiers, dict) else {},
    )
