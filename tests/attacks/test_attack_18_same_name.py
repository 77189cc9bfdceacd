"""Attack 18: somebody publishes the same name with a higher version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.ids import ProviderName, Purl, Version
from allod.domain.observed import Facts
from allod.errors import AllodError
from allod.testing.machine import FakeClock
from allod.testing.payloads import PACKAGE, Item, payload
from allod.testing.registry import FLEET, Publisher


def device(tmp_path: Path, transport: Publisher, *known: Publisher) -> RegistrySource:
    """A device whose owner knows these providers, and whose registry is `transport`'s."""
    return RegistrySource(
        transport.transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName(one.name): one.document for one in known},
        fitness=Facts,
        clock=FakeClock(),
    )


def test_attack_18_a_higher_version_of_a_stranger_is_nobodys_order(tmp_path: Path) -> None:
    """The pin is provider, name and digest: a stranger's release under the same name never fits.

    Neither served in the place of the real one, nor ordered under the real provider's name, nor
    signed by another provider of the same owner whose namespace does not hold the package.
    """
    acme, stranger = Publisher(), Publisher(transport=Publisher().transport)
    real = acme.push(payload([Item("x", b"good")]))
    evil = stranger.push(
        replace(
            payload([Item("x", b"evil")]),
            release=replace(payload([Item("x", b"evil")]).release, version=Version("99.0")),
        )
    )
    attempts: list[tuple[RegistrySource, object, str]] = []
    # The registry serves the stranger's files only; the owner's order is for the real digest.
    attempts.append((device(tmp_path / "a", stranger, acme), real, "not-found"))
    # The stranger's release is signed by the stranger's key, not by acme's.
    attempts.append((device(tmp_path / "b", stranger, acme), evil, "auth"))
    # Another provider whom the owner knows, for other names.
    other = Publisher(name="other", namespaces=("pkg:generic/other/",))
    mine = other.push(
        replace(
            payload([Item("x", b"evil")]),
            release=replace(payload([Item("x", b"evil")]).release, provider=ProviderName("other")),
        )
    )
    attempts.append((device(tmp_path / "c", other, acme, other), mine, "wrong-namespace"))
    for source, order, code in attempts:
        with pytest.raises(AllodError) as caught:
            source.describe(PACKAGE, order)  # type: ignore[arg-type]
        assert caught.value.code == code
        assert source.held(PACKAGE) == frozenset()


def test_attack_18_a_release_of_another_package_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """A provider's genuine release of one package does not answer an order for another (T3)."""
    acme = Publisher()
    kettle = Purl("pkg:generic/acme/kettle")
    order = acme.push(payload([Item("x", b"1")], package=kettle), at=PACKAGE)
    with pytest.raises(AllodError) as caught:
        device(tmp_path, acme, acme).describe(PACKAGE, order)
    assert caught.value.code == "wrong-release"
