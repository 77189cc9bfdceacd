"""An SBOM goes with its release to the registry, is shown there, and comes back by import and stick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from allod.cli.client import ApiClient, ApiKey
from allod.cli.export import Stick, _release
from allod.cli.foreign_registry import pull
from allod.cli.options import Options
from allod.cli.output import Output
from allod.cli.registry_client import RegistryClient
from allod.cli.release_look import describe, in_registry
from allod.cli.release_push import publish_release, push_built
from allod.cli.release_sbom import sbom
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import ProviderName, sha256
from allod.errors import InvalidInput
from allod.packaging.build import build_directory
from allod.packaging.foreign import adopt, single_release
from allod.packaging.layout import Layout
from allod.packaging.origin import keep_origin, origins
from allod.packaging.sboms import sboms_beside
from allod.testing.registry_server import FLEET, RunningRegistry, registry_server
from allod.trust.keys import from_key
from allod.wire import oci
from allod.wire.sbom import CYCLONEDX_JSON
from allod.wire.trust import Location, ProviderDocument

ME = CryptoSigner.generate_ed25519()
QUIET = Output(json=True)
SPDX = b'{"spdxVersion":"SPDX-2.3","packages":[{"name":"b","versionInfo":"1"}]}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A registry that takes everything."""
    with registry_server(tmp_path / "server") as running:
        yield running
        assert running.failures == []


@pytest.fixture
def api(server: RunningRegistry) -> Iterator[ApiClient]:
    """A client of it."""
    key = ApiKey(ME.public_key.keyid, lambda data: bytes.fromhex(ME.sign(data).signature))
    with closing(ApiClient(Location(url=server.url), FLEET, key, sleep=lambda _: None)) as made:
        yield made


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An application that brings one distribution."""
    directory = tmp_path / "app"
    (directory / "six-1.dist-info").mkdir(parents=True)
    (directory / "six-1.dist-info" / "METADATA").write_text("Name: six\nVersion: 1\n")
    (directory / "allod.toml").write_text('package = "pkg:generic/me/app"\nversion = "1.0"\n')
    return directory


def knows(signer: CryptoSigner) -> ProviderDocument:
    return ProviderDocument(
        fleet=FLEET,
        provider="me",
        keys=[from_key(signer.public_key)],
        namespaces=["pkg:generic/me/"],
    )


def test_inspect_shows_who_made_it_and_who_signed(api: ApiClient, app: Path) -> None:
    """From the registry, by the owner's word on the provider; without it nothing is said of keys."""
    published = publish_release(app, "me", lambda _: [ME], api)
    found = in_registry(RegistryClient(api, "me/app"), published.digest)
    [shown] = describe(found, lambda _: knows(ME))["sboms"]
    assert (shown["format"], shown["components"], shown["by_allod"]) == ("CycloneDX 1.6", 1, True)
    assert (shown["signed"], shown["signed_by"]) == (True, [ME.public_key.keyid])
    [other] = describe(found, lambda _: knows(CryptoSigner.generate_ed25519()))["sboms"]
    assert other["signed"] is False
    [unknown] = describe(found)["sboms"]
    assert "signed" not in unknown


def test_another_sbom_can_follow_a_release(api: ApiClient, app: Path, tmp_path: Path) -> None:
    """The release's digest stays; both are the provider's then, as nothing is deleted there."""
    publish_release(app, "me", lambda _: [ME], api)
    given = tmp_path / "b.json"
    given.write_bytes(SPDX)
    options = Options(json=True)
    sbom(app, given, options=options)
    again = publish_release(app, "me", lambda _: [ME], api)
    assert not again.pushed
    found = in_registry(RegistryClient(api, "me/app"), again.digest)
    shown = describe(found, lambda _: knows(ME))["sboms"]
    assert {one["format"]: one["signed"] for one in shown} == {
        "CycloneDX 1.6": True,
        "SPDX 2.3": True,
    }
    sbom(app, make=True, options=options)
    built = build_directory(app)
    assert [one.media_type for one in sboms_beside(built.layout, built.digest, None)] == [
        CYCLONEDX_JSON
    ]
    with pytest.raises(InvalidInput, match="both"):
        sbom(app, given, make=True, options=options)


def test_a_pulled_release_brings_its_sbom(
    api: ApiClient, server: RunningRegistry, app: Path, tmp_path: Path
) -> None:
    """Out of one registry, imported, into another repository, and with all that was said."""
    theirs = publish_release(app, "me", lambda _: [ME], api)
    into = Layout(tmp_path / "pulled")
    reference = f"{server.url.removeprefix('http://')}/{FLEET}/me/app:1.0"
    assert pull(reference, into).notes == ()
    descriptor = single_release(into, None)
    assert descriptor is not None
    ours = adopt(into, descriptor, tmp_path / "ours", provider="other", version=None)
    keep_origin(into, [descriptor], ours)
    other = CryptoSigner.generate_ed25519()
    push_built(ours, lambda _: [other], api, QUIET)
    registry = RegistryClient(api, "other/app")
    kinds = {one.artifact_type for one in registry.referrers(ours.digest, None)}
    assert kinds == {oci.STATEMENT, oci.PROVENANCE, oci.ORIGIN, CYCLONEDX_JSON}
    assert origins(ours.layout, ours.digest) == [theirs.digest]
    about = {one.artifact_type for one in registry.referrers(theirs.digest, None)}
    assert about == {oci.STATEMENT, oci.PROVENANCE, CYCLONEDX_JSON}
    stick = exported(api, ours.digest, "other", tmp_path)
    assert stick(f"referrers/{ours.digest}") == kinds
    assert stick(f"referrers/{theirs.digest}") == about


def exported(api: ApiClient, digest: Any, provider: str, directory: Path) -> Any:
    """A stick with that release; gives the types that a list of referrers on it names."""
    stick = Stick(directory / "stick")
    picture = SimpleNamespace(
        fleet=SimpleNamespace(client=api), base=SimpleNamespace(fleet_id=FLEET)
    )
    order = ReleaseOrder(ProviderName(provider), "1.0", digest, 1)  # type: ignore[arg-type]
    package: Any = "pkg:generic/me/app"
    _release(picture, stick, package, order, Options(json=True))  # type: ignore[arg-type]

    def kinds(path: str) -> set[str | None]:
        place = stick.place(f"v2/{FLEET}/{provider}/app/{path}")
        index = oci.decode_index(place.read_bytes())
        for one in index.manifests:
            raw = stick.place(f"v2/{FLEET}/{provider}/app/manifests/{one.digest}").read_bytes()
            assert sha256(raw) == one.digest
            for layer in oci.decode_manifest(raw).layers:
                blob = stick.place(f"v2/{FLEET}/{provider}/app/blobs/{layer.digest}")
                assert sha256(blob.read_bytes()) == layer.digest
        return {one.artifact_type for one in index.manifests}

    return kinds


def test_a_list_with_a_file_of_another_kind(app: Path) -> None:
    """What is no SBOM is refused by the verb, and a missing file too."""
    (app / "b.json").write_bytes(b"{}")
    for name, code in (("b.json", "bad-sbom"), ("c.json", "no-sbom-file")):
        with pytest.raises(InvalidInput) as refused:
            sbom(app, app / name, options=Options(json=True))
        assert refused.value.code == code
