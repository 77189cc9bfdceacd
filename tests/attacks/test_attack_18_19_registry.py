"""Attacks 18 and 19 at the registry: whoever may push can neither take a name nor move a version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from securesystemslib.signer import CryptoSigner

from allod.cli.client import ApiClient, ApiKey
from allod.cli.registry_client import RegistryClient
from allod.cli.release_look import in_registry
from allod.cli.release_push import publish_release
from allod.cli.release_verify import verify_found
from allod.domain.ids import Digest
from allod.errors import AllodError, Conflict
from allod.testing.registry_server import FLEET, RunningRegistry, TokenGate, registry_server
from allod.trust.keys import from_key
from allod.wire import oci
from allod.wire.trust import Location, ProviderDocument


def app(directory: Path, content: str, version: str, provider: str = "acme") -> Path:
    """A directory with a release in it."""
    directory.mkdir(parents=True)
    (directory / "toast").write_text(content)
    (directory / "allod.toml").write_text(
        f'package = "pkg:generic/acme/toaster"\nversion = "{version}"\nprovider = "{provider}"\n'
    )
    return directory


@contextmanager
def client(server: RunningRegistry, signer: CryptoSigner) -> Iterator[ApiClient]:
    """Somebody who may push."""
    key = ApiKey(signer.public_key.keyid, lambda data: bytes.fromhex(signer.sign(data).signature))
    with closing(ApiClient(Location(url=server.url), FLEET, key)) as api:
        yield api


def test_attack_18_a_stranger_with_a_higher_version_is_not_acme(tmp_path: Path) -> None:
    """The stranger's release cannot stand under acme's name as its own, and what is pushed there is not acme's.

    A stranger who may push: under their own provider's name the registry puts it into their own
    repository; under acme's name it lacks acme's signature, and verifying says so.
    """
    acme, stranger = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    document = ProviderDocument(
        fleet=FLEET,
        provider="acme",
        keys=[from_key(acme.public_key)],
        namespaces=["pkg:generic/acme/"],
    )
    with (
        registry_server(tmp_path / "server", TokenGate(signed=True)) as server,
        ExitStack() as stack,
    ):
        with client(server, acme) as theirs:
            source = app(tmp_path / "a", "good", "1.0")
            real = publish_release(source, "acme", lambda _: [acme], theirs)
        api = stack.enter_context(client(server, stranger))
        mine = app(tmp_path / "b", "evil", "99.0", provider="stranger")
        other = publish_release(mine, None, lambda _: [stranger], api)
        registry = RegistryClient(api, "acme/toaster")
        assert registry.tags() == ["1.0"]
        with pytest.raises(AllodError) as caught:
            registry.push_manifest(
                "99.0", oci.MANIFEST, RegistryClient(api, "stranger/toaster").small(other.digest)
            )
        assert caught.value.code == "wrong-repository"
        forged = publish_release(
            app(tmp_path / "c", "evil", "99.0"), None, lambda _: [stranger], api
        )
        for digest, good in ((real.digest, True), (forged.digest, False)):
            verdict = verify_found(
                in_registry(registry, digest), lambda _: document, lambda _: None
            )
            assert (verdict.exit_status == 0) is good
        assert server.failures == []


def test_attack_19_the_same_version_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """Refused before a byte is sent, refused at the tag, refused at the statement; the first stays."""
    acme = CryptoSigner.generate_ed25519()
    with (
        registry_server(tmp_path / "server", TokenGate(signed=True)) as server,
        ExitStack() as stack,
    ):
        api = stack.enter_context(client(server, acme))
        first = publish_release(app(tmp_path / "a", "one", "1.0"), "acme", lambda _: [acme], api)
        again = publish_release(tmp_path / "a", "acme", lambda _: [acme], api)
        assert (again.digest, again.pushed) == (first.digest, False)
        with pytest.raises(Conflict) as caught:
            publish_release(app(tmp_path / "b", "two", "1.0"), "acme", lambda _: [acme], api)
        assert caught.value.code == "version-taken"
        registry = RegistryClient(api, "acme/toaster")
        assert not registry.has_manifest(str(caught.value.details["built"]))
        raw = registry.small(first.digest)
        assert registry.resolve("1.0") == first.digest
        with httpx2.Client(base_url=server.url) as http:
            changed = raw.replace(b'"annotations":{"org', b'"annotations":{"x":"y","org')
            assert changed != raw
            answer = http.put(
                f"/v2/{FLEET}/acme/toaster/manifests/1.0",
                content=changed,
                headers={"content-type": oci.MANIFEST},
            )
            assert (answer.status_code, answer.json()["errors"][0]["detail"]["code"]) == (
                409,
                "version-taken",
            )
        assert registry.resolve("1.0") == Digest(first.digest)
        assert server.failures == []
