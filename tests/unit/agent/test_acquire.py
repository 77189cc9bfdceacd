"""Releases from a registry: verified small first, fetched whole, kept by digest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.acquire import RegistrySource
from allod.agent.installers.tree import TreeInstaller
from allod.agent.ports import Transport
from allod.agent.transfer import Blobs
from allod.domain.ids import Digest, ProviderName, Purl, Version, sha256
from allod.domain.observed import Facts
from allod.domain.release import ConfigurationSpec
from allod.errors import AllodError, InvalidInput, Refused, Unavailable, Untrusted
from allod.testing.machine import FakeClock
from allod.testing.payloads import PACKAGE, Item, MemoryTransport, payload
from allod.testing.registry import FLEET, Publisher, other_version
from allod.wire import oci

RELEASE = payload([Item("bin/toast", os.urandom(300_000), 0o755)])


@pytest.fixture
def acme() -> Publisher:
    """A provider."""
    return Publisher()


def source(
    tmp_path: Path, *publishers: Publisher, transport: Transport | None = None
) -> RegistrySource:
    """A device that knows these providers."""
    return RegistrySource(
        transport or publishers[0].transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName(one.name): one.document for one in publishers},
        fitness=lambda: Facts(frozenset({"acme,toaster-1"}), "x86_64"),
        clock=FakeClock(),
    )


def refused(device: RegistrySource, package: Purl, order: object) -> AllodError:
    """Why an order can't be described."""
    with pytest.raises(AllodError) as caught:
        device.describe(package, order)  # type: ignore[arg-type]
    assert caught.value.message.startswith("cannot ")
    return caught.value


def test_a_release_is_described_fetched_opened_staged_and_forgotten(
    acme: Publisher, tmp_path: Path
) -> None:
    """The whole way of one release, with nothing left at the end."""
    order = acme.push(RELEASE)
    device = source(tmp_path, acme)
    assert device.described(PACKAGE, order.digest) is None
    assert device.progress(PACKAGE, order.digest) is None
    release = device.describe(PACKAGE, order)
    assert release == RELEASE.release
    assert device.described(PACKAGE, order.digest) == release
    assert device.held(PACKAGE) == frozenset()
    assert device.progress(PACKAGE, order.digest) == 0
    device.fetch(PACKAGE, order.digest, bandwidth=None)
    assert device.held(PACKAGE) == {order.digest}
    assert device.progress(PACKAGE, order.digest) == 1
    installer = TreeInstaller(tmp_path / "store")
    with device.open(PACKAGE, order.digest) as layers:
        installer.stage(PACKAGE, order.digest, release, layers)
    assert installer.measure(PACKAGE, order.digest).ok
    device.forget(PACKAGE, order.digest)
    device.forget(PACKAGE, order.digest)
    assert os.listdir(tmp_path / "blobs/sha256") == []
    assert device.described(PACKAGE, order.digest) is None


def test_what_is_described_needs_no_contact(acme: Publisher, tmp_path: Path) -> None:
    """A described release is known without a source; what is missing is unavailable."""
    order = acme.push(RELEASE)
    source(tmp_path, acme).describe(PACKAGE, order)
    silent = source(tmp_path, acme, transport=MemoryTransport())
    assert silent.describe(PACKAGE, order) == RELEASE.release
    with pytest.raises(Unavailable):
        silent.fetch(PACKAGE, order.digest, bandwidth=None)
    with pytest.raises(Unavailable), silent.open(PACKAGE, order.digest):
        pass


def test_blobs_that_another_release_needs_stay(acme: Publisher, tmp_path: Path) -> None:
    """Two versions with one payload: forgetting one leaves the other whole."""
    second = replace(RELEASE, release=replace(RELEASE.release, version=Version("1.1")))
    orders = [acme.push(RELEASE), acme.push(second)]
    device = source(tmp_path, acme)
    for order in orders:
        device.describe(PACKAGE, order)
        device.fetch(PACKAGE, order.digest, bandwidth=None)
    device.forget(PACKAGE, orders[0].digest)
    assert device.held(PACKAGE) == {orders[1].digest}


def test_an_index_leads_to_the_manifest_of_this_architecture(
    acme: Publisher, tmp_path: Path
) -> None:
    """The order may name an index; the provider signs the index."""
    order = acme.push(RELEASE, sign=False)
    files = acme.transport.files
    place = acme.repository(PACKAGE)
    raw = files[f"{place}/manifests/{order.digest}"]
    foreign = oci.Descriptor(
        media_type=oci.MANIFEST, digest=sha256(b"arm"), size=3, platform=oci.platform_of("aarch64")
    )
    mine = oci.Descriptor(
        media_type=oci.MANIFEST,
        digest=order.digest,
        size=len(raw),
        platform=oci.platform_of("x86_64"),
    )
    index = oci.encode_document(
        oci.Index(
            schema_version=2,
            media_type=oci.INDEX,
            artifact_type=oci.RELEASE,
            manifests=[foreign, mine],
        )
    )
    files[f"{place}/manifests/{sha256(index)}"] = index
    whole = replace(order, digest=sha256(index))
    acme.vouch(whole, PACKAGE, order.version, len(index))
    device = source(tmp_path, acme)
    assert device.describe(PACKAGE, whole) == RELEASE.release
    device.fetch(PACKAGE, whole.digest, bandwidth=None)
    assert device.held(PACKAGE) == {whole.digest}


UNFIT = {
    "architecture": ({"architecture": "aarch64"}, "wrong-architecture"),
    "hardware": ({"hardware": ("acme,kettle-9",)}, "wrong-hardware"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_release_costs_less_than_64_kib(
    acme: Publisher, tmp_path: Path, case: str
) -> None:
    """A release for something else is refused before its payload is touched (REQ.USE.MFST.PRE_CHECK)."""
    fields, code = UNFIT[case]
    big = payload([Item("x", bytes(10))], installed_size=1 << 30, **fields)
    big = replace(
        big, release=replace(big.release, layers=(replace(big.release.layers[0], size=1 << 30),))
    )
    order = acme.push(big)
    device = source(tmp_path, acme)
    assert refused(device, PACKAGE, order).code == code
    assert acme.transport.sent < 64 * 1024
    assert device.held(PACKAGE) == frozenset()


def test_an_unknown_or_distrusted_provider_is_refused_without_a_question(
    acme: Publisher, tmp_path: Path
) -> None:
    """Whom the owner does not name, or distrusts, is not even asked."""
    order = acme.push(RELEASE)
    stranger = source(tmp_path, Publisher(name="other"), transport=acme.transport)
    assert refused(stranger, PACKAGE, order).code == "unknown-provider"
    device = source(tmp_path, acme)
    distrusted = acme.document.__class__(
        fleet=FLEET,
        provider="acme",
        keys=acme.document.keys,
        namespaces=["pkg:generic/acme/"],
        distrusted="sold",
    )
    device._providers = {ProviderName("acme"): distrusted}
    error = refused(device, PACKAGE, order)
    assert isinstance(error, Refused)
    assert (error.code, error.reasons) == ("provider-distrusted", ("sold",))
    assert acme.transport.asked == []


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_changed_bytes_are_refused(acme: Publisher, tmp_path: Path, what: str) -> None:
    """A registry that serves other bytes under a digest is not believed."""
    order = acme.push(RELEASE)
    for path, data in list(acme.transport.files.items()):
        if f"/{what}/" in path:
            acme.transport.files[path] = data[:-1] + b" "
    assert refused(source(tmp_path, acme), PACKAGE, order).code == "wrong-digest"


def test_a_payload_that_changed_on_the_disk_is_fetched_again(
    acme: Publisher, tmp_path: Path
) -> None:
    """The disk's fault is not the release's: dropped, told as such, and had again."""
    order = acme.push(RELEASE)
    device = source(tmp_path, acme)
    release = device.describe(PACKAGE, order)
    device.fetch(PACKAGE, order.digest, bandwidth=None)
    blob = tmp_path / "blobs/sha256" / release.layers[0].digest[7:]
    data = bytearray(blob.read_bytes())
    data[1000] ^= 4
    blob.write_bytes(data)
    installer = TreeInstaller(tmp_path / "store")
    with pytest.raises(Unavailable) as caught, device.open(PACKAGE, order.digest) as layers:
        installer.stage(PACKAGE, order.digest, release, layers)
    assert caught.value.code == "damaged-payload"
    device.fetch(PACKAGE, order.digest, bandwidth=None)
    with device.open(PACKAGE, order.digest) as layers:
        installer.stage(PACKAGE, order.digest, release, layers)
    assert installer.measure(PACKAGE, order.digest).ok


@pytest.mark.parametrize("kind", ["config", "manifest", "record"])
def test_a_damaged_description_is_had_again(acme: Publisher, tmp_path: Path, kind: str) -> None:
    """Torn or flipped files count as missing; describing again mends them."""
    order = acme.push(RELEASE)
    device = source(tmp_path, acme)
    device.describe(PACKAGE, order)
    record = tmp_path / "packages/generic~acme~toaster/releases" / order.digest[7:]
    if kind == "record":
        record.write_bytes(b"{torn")
    else:
        kept = {path: path.read_bytes() for path in (tmp_path / "blobs/sha256").iterdir()}
        is_config = kind == "config"
        for path, data in kept.items():
            if (b'"allod.release"' in data) is is_config and (
                path.name == order.digest[7:] or is_config
            ):
                path.write_bytes(data.replace(b"t", b"T", 1))
    assert device.described(PACKAGE, order.digest) is None
    assert device.describe(PACKAGE, order) == RELEASE.release
    assert device.described(PACKAGE, order.digest) == RELEASE.release


def test_configuration_documents_are_kept_by_digest(acme: Publisher, tmp_path: Path) -> None:
    """Fetched once, checked when read, wrong ones refused, unwanted ones removed."""
    data = b'{"volume":1}'
    digest = sha256(data)
    acme.transport.files[f"blobs/{digest}"] = data
    device = source(tmp_path, acme)
    assert device.read_document(digest) is None
    device.document(digest, len(data))
    device.document(digest, len(data))
    assert acme.transport.asked == [f"blobs/{digest}"]
    assert device.read_document(digest) == data
    path = tmp_path / "accepted/documents" / digest[7:]
    path.write_bytes(b"{}")
    assert device.read_document(digest) is None
    device.document(digest, len(data))
    acme.transport.files["blobs/" + sha256(b"x")] = b"y"
    with pytest.raises(Untrusted):
        device.document(sha256(b"x"), 1)
    with pytest.raises(InvalidInput):
        device.document(sha256(b"big"), 1 << 30)
    with pytest.raises(Unavailable):
        device.document(sha256(b"none"), 4)
    device.keep_documents([])
    assert device.read_document(digest) is None


def test_an_order_for_another_version_of_the_same_bytes_is_refused(
    acme: Publisher, tmp_path: Path
) -> None:
    """Version, name and provider of order, description and statement must all agree."""
    order = acme.push(RELEASE)
    device = source(tmp_path, acme)
    assert refused(device, PACKAGE, other_version(order, "2.0")).code == "wrong-release"
    spec = ConfigurationSpec({"type": "object"})
    before = os.listdir(tmp_path)
    unsigned = acme.push(payload([Item("x", b"1")], configuration=spec), sign=False)
    assert refused(device, PACKAGE, unsigned).code == "unsigned-release"
    missing = replace(order, digest=Digest("sha256:" + "0" * 64))
    assert refused(device, PACKAGE, missing).code == "not-found"
    assert os.listdir(tmp_path) == before == [], "a refused release leaves nothing"
