"""Attack 19: the provider's same version, with other bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.ids import ProviderName
from allod.domain.observed import Facts
from allod.errors import AllodError
from allod.testing.machine import FakeClock
from allod.testing.payloads import PACKAGE, Item, payload
from allod.testing.registry import FLEET, Publisher


def test_attack_19_the_digest_wins_over_the_version(tmp_path: Path) -> None:
    """Two releases signed as version 1.0: the device takes exactly the one that was ordered.

    Served in each other's place (manifest, description or payload), neither is accepted; a
    statement about the one does not vouch for the other.
    """
    acme = Publisher()
    first = acme.push(payload([Item("x", b"first")]))
    second = acme.push(payload([Item("x", b"second")]))
    files, place = acme.transport.files, acme.repository(PACKAGE)
    honest = dict(files)

    def device(room: str) -> RegistrySource:
        return RegistrySource(
            acme.transport,
            Blobs(tmp_path / room / "blobs", reserve=0),
            tmp_path / room / "packages",
            fleet=FLEET,
            providers={ProviderName("acme"): acme.document},
            fitness=Facts,
            clock=FakeClock(),
        )

    files[f"{place}/manifests/{first.digest}"] = honest[f"{place}/manifests/{second.digest}"]
    with pytest.raises(AllodError) as caught:
        device("manifest").describe(PACKAGE, first)
    assert caught.value.code == "wrong-digest"
    files |= honest
    files[f"{place}/referrers/{first.digest}"] = honest[f"{place}/referrers/{second.digest}"]
    with pytest.raises(AllodError) as caught:
        device("statement").describe(PACKAGE, first)
    assert caught.value.code == "unsigned-release"
    files |= honest
    source = device("payload")
    release = source.describe(PACKAGE, first)
    other = payload([Item("x", b"second")])
    files[f"{place}/blobs/{release.layers[0].digest}"] = other.data[: release.layers[0].size].ljust(
        release.layers[0].size, b"\0"
    )
    with pytest.raises(AllodError) as caught:
        source.fetch(PACKAGE, first.digest, bandwidth=None)
    assert caught.value.code == "wrong-digest"
    assert source.held(PACKAGE) == frozenset()
    files |= honest
    source.fetch(PACKAGE, first.digest, bandwidth=None)
    assert source.held(PACKAGE) == {first.digest}
