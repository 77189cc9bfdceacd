"""RFC 9124: a valid image for another device (T3), and a payload whose type is misread (T4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import ProviderName, sha256
from allod.domain.observed import Facts
from allod.errors import AllodError
from allod.testing.machine import FakeClock
from allod.testing.payloads import PACKAGE, Item, payload
from allod.testing.registry import FLEET, Publisher
from allod.wire import oci

TOASTER = frozenset({"acme,toaster-1"})
KETTLE = frozenset({"acme,kettle-1"})


def device(tmp_path: Path, acme: Publisher, hardware: frozenset[str]) -> RegistrySource:
    """A device of this hardware."""
    return RegistrySource(
        acme.transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName("acme"): acme.document},
        fitness=lambda: Facts(hardware, "x86_64"),
        clock=FakeClock(),
    )


def code(source: RegistrySource, order: ReleaseOrder) -> str:
    """Why the order is refused."""
    with pytest.raises(AllodError) as caught:
        source.describe(PACKAGE, order)
    assert source.held(PACKAGE) == frozenset()
    return caught.value.code


def test_threat_t3_two_classes_of_devices_do_not_take_each_others_releases(tmp_path: Path) -> None:
    """Same owner, same provider, valid signatures: the hardware in the description decides."""
    acme = Publisher()
    orders = {
        hardware: acme.push(payload([Item("x", name.encode())], hardware=(name,)))
        for hardware, name in ((TOASTER, "acme,toaster-1"), (KETTLE, "acme,kettle-1"))
    }
    for own, other in ((TOASTER, KETTLE), (KETTLE, TOASTER)):
        source = device(tmp_path / min(own), acme, own)
        assert code(source, orders[other]) == "wrong-hardware"
        assert source.describe(PACKAGE, orders[own]).hardware == tuple(own)


@pytest.mark.parametrize(
    "swap", ["config as layer", "layer as config", "artifact type", "a document"]
)
def test_threat_t4_a_payload_of_another_type_is_not_misread(tmp_path: Path, swap: str) -> None:
    """Configuration labelled as code, code as configuration, another artifact: refused by type."""
    acme = Publisher()
    order = acme.push(payload([Item("x", b"1")]), sign=False)
    place = acme.repository(PACKAGE)
    manifest = oci.decode_manifest(acme.transport.files[f"{place}/manifests/{order.digest}"])
    config, layer = manifest.config, manifest.layers[0]
    changed = {
        "config as layer": {"layers": [msgspec.structs.replace(layer, media_type=oci.CONFIG)]},
        "layer as config": {"config": msgspec.structs.replace(config, media_type=oci.TREE_LAYER)},
        "artifact type": {"artifact_type": oci.STATEMENT},
        "a document": {"config": msgspec.structs.replace(config, media_type="application/json")},
    }[swap]
    raw = oci.encode_document(msgspec.structs.replace(manifest, **changed))
    acme.transport.files[f"{place}/manifests/{sha256(raw)}"] = raw
    order = replace(order, digest=sha256(raw))
    acme.vouch(order, PACKAGE, order.version, len(raw))
    assert code(device(tmp_path, acme, TOASTER), order) in {"bad-manifest", "bad-release"}
