"""Pushing and pulling: what breaks off goes on, and a registry that lies is not believed."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from allod.cli import registry_client
from allod.cli.client import Answer, ApiClient, ApiKey
from allod.cli.foreign_registry import pull
from allod.cli.registry_client import RegistryClient, repositories
from allod.cli.release_look import in_layout, in_registry
from allod.cli.release_push import publish_release
from allod.cli.release_verify import verify_found
from allod.domain.ids import Digest, sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.packaging.build import open_built
from allod.packaging.layout import Layout
from allod.testing.local_server import Request, local_server
from allod.testing.registry_server import FLEET, RunningRegistry, TokenGate, registry_server
from allod.trust.keys import from_key
from allod.wire import oci
from allod.wire.trust import Location, ProviderDocument

ME = CryptoSigner.generate_ed25519()


class Broken(ApiClient):
    """A way to the server that breaks when told to.

    Args:
        after: how many PATCHes still take effect before one breaks off, its answer lost.
    """

    after: int = 10_000
    sent: list[str]

    def exchange(self, method: str, path: str, **more: Any) -> Answer:
        """As the real one, but for the break."""
        self.sent.append(method)
        answer = super().exchange(method, path, **more)
        if method == "PATCH":
            self.after -= 1
            if self.after == 0:
                raise Unavailable("server-unreachable", "cannot go on: cut", unsent=False)
        return answer


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as all_:
        yield all_


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A registry that takes signed requests only."""
    with registry_server(
        tmp_path / "server", TokenGate({"x": frozenset()}, signed=True)
    ) as running:
        yield running
        assert running.failures == []


@pytest.fixture
def api(server: RunningRegistry, stack: ExitStack) -> Broken:
    """A client of it."""
    key = ApiKey(ME.public_key.keyid, lambda data: bytes.fromhex(ME.sign(data).signature))
    made = Broken(Location(url=server.url), FLEET, key, sleep=lambda _: None)
    made.sent = []
    stack.enter_context(closing(made))
    return made


def app(directory: Path) -> Path:
    """A small application."""
    directory.mkdir(exist_ok=True)
    (directory / "file").write_bytes(os.urandom(100_000))
    (directory / "allod.toml").write_text('package = "pkg:generic/me/app"\nversion = "1.0"\n')
    return directory


def test_a_broken_upload_goes_on(api: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a chunk is lost: what arrived is asked for and not sent again."""
    monkeypatch.setattr(registry_client, "CHUNK", 1000)
    data = os.urandom(5500)
    api.after = 2
    seen: list[int] = []
    registry = RegistryClient(api, "me/app")
    registry.push_blob(sha256(data), len(data), io.BytesIO(data), progress=seen.append)
    assert registry.blob(sha256(data)) == data
    assert api.sent.count("PATCH") == 5
    assert sum(seen) == len(data)


def test_the_next_run_goes_on_too(
    api: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the command was killed, the next one continues the same upload."""
    monkeypatch.setattr(registry_client, "CHUNK", 1000)
    data = os.urandom(5500)
    memory = tmp_path / "memory"
    registry = RegistryClient(api, "me/app")

    def killed(_: int) -> None:
        if api.sent.count("PATCH") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.push_blob(
            sha256(data), len(data), io.BytesIO(data), progress=killed, memory=memory
        )
    api.sent.clear()
    registry.push_blob(sha256(data), len(data), io.BytesIO(data), memory=memory)
    assert api.sent.count("PATCH") == 2
    assert "POST" not in api.sent
    assert not memory.exists()
    assert registry.blob(sha256(data)) == data


@pytest.mark.parametrize(
    "text", ["https://evil/v2/x", "/v2/other/blobs/uploads/1", "", "/etc/passwd"]
)
def test_a_forged_memory_is_ignored(api: Broken, tmp_path: Path, text: str) -> None:
    """Where an upload goes on must be a place of this repository."""
    memory = tmp_path / "memory"
    memory.write_text(text)
    RegistryClient(api, "me/app").push_blob(sha256(b"x"), 1, io.BytesIO(b"x"), memory=memory)
    assert "POST" in api.sent


def test_what_is_there_is_not_sent_again(api: Broken) -> None:
    """A blob that the registry has costs one HEAD."""
    registry = RegistryClient(api, "me/app")
    registry.push_blob(sha256(b"x"), 1, io.BytesIO(b"x"))
    api.sent.clear()
    registry.push_blob(sha256(b"x"), 1, io.BytesIO(b"x"))
    assert api.sent == ["HEAD"]


def test_publishing_and_verifying(api: Broken, tmp_path: Path) -> None:
    """What was published verifies step by step, from the registry and from the layout alike."""
    published = publish_release(app(tmp_path / "app"), "me", lambda _: [ME], api)
    document = ProviderDocument(
        fleet=FLEET, provider="me", keys=[from_key(ME.public_key)], namespaces=["pkg:generic/me/"]
    )
    registry = RegistryClient(api, "me/app")
    assert repositories(api) == ["me/app"]
    assert registry.tags() == ["1.0"]
    layout = Layout(tmp_path / "app" / ".allod" / "release")
    for found in (in_registry(registry, published.digest), in_layout(layout, published.digest)):
        verdict = verify_found(found, lambda _: document, lambda _: None)
        assert [step.ok for step in verdict.steps] == [True] * 5
        assert verdict.exit_status == 0
    withdrawn = verify_found(found, lambda _: document, lambda _: "it burns")
    assert withdrawn.exit_status == 5
    assert "it burns" in withdrawn.steps[-1].says


def test_what_is_missing_and_what_is_wrong_are_told_apart(api: Broken, tmp_path: Path) -> None:
    """No statement, a missing layer: incomplete. Another key, other bytes: not to be trusted."""
    published = publish_release(app(tmp_path / "app"), "me", lambda _: [ME], api)
    other = ProviderDocument(
        fleet=FLEET,
        provider="me",
        keys=[from_key(CryptoSigner.generate_ed25519().public_key)],
        namespaces=["pkg:generic/me/"],
    )
    mine = ProviderDocument(
        fleet=FLEET, provider="me", keys=[from_key(ME.public_key)], namespaces=["pkg:generic/me/"]
    )
    layout = Layout(tmp_path / "app" / ".allod" / "release")
    found = in_layout(layout, published.digest)
    assert verify_found(found, lambda _: other, lambda _: None).exit_status == 5
    layer = layout.path(published.release.layers[0].digest)
    kept = layer.read_bytes()
    layer.write_bytes(b"x" + kept[1:])
    assert verify_found(found, lambda _: mine, lambda _: None).exit_status == 5
    layer.unlink()
    assert verify_found(found, lambda _: mine, lambda _: None).exit_status == 6
    layer.write_bytes(kept)
    layout.write_index([open_built(layout.directory).descriptor])
    verdict = verify_found(found, lambda _: mine, lambda _: None)
    assert (verdict.exit_status, verdict.steps[3].ok) == (6, None)


def test_a_wrong_provider_is_refused_before_anything_is_signed(api: Broken, tmp_path: Path) -> None:
    """Who publishes for 'me' does not publish somebody else's release."""
    with pytest.raises(InvalidInput) as caught:
        publish_release(app(tmp_path / "app"), "acme", lambda _: pytest.fail("signed"), api)
    assert caught.value.code == "wrong-provider"
    assert api.sent == []


LIES = {
    "other bytes for a manifest": lambda request: request.answer(200, b"{}", Content_Type=oci.MANIFEST),
    "other bytes for a blob": lambda request: request.answer(200, b"evil"),
    "more than a manifest may have": lambda request: request.answer(200, b" " * (oci.MANIFEST_CAP + 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lying_registry_is_not_believed(name: str, stack: ExitStack) -> None:
    """Whatever it answers, only the bytes that were asked for are taken."""
    server = stack.enter_context(local_server(LIES[name]))
    api = ApiClient(Location(url=server.url), FLEET, None, sleep=lambda _: None)
    stack.enter_context(closing(api))
    registry = RegistryClient(api, "me/app")
    for ask in (registry.small, registry.manifest, registry.blob):
        with pytest.raises(Untrusted):
            ask(sha256(b"asked for"))


@pytest.mark.parametrize(
    "where", ["https://evil.example/v2/x/blobs/uploads/1", "/admin", "", "//evil/v2/"]
)
def test_an_upload_is_not_led_elsewhere(where: str, stack: ExitStack) -> None:
    """The Location that a server gives must lie in the same repository."""

    def act(request: Request) -> None:
        request.answer(404 if request.method == "HEAD" else 202, Location=where)

    server = stack.enter_context(local_server(act))
    api = ApiClient(Location(url=server.url), FLEET, None, sleep=lambda _: None)
    stack.enter_context(closing(api))
    with pytest.raises(AllodError) as caught:
        RegistryClient(api, "me/app").push_blob(sha256(b"x"), 1, io.BytesIO(b"x"))
    assert caught.value.code == "bad-location"


def test_a_foreign_registry_is_checked_by_digest(tmp_path: Path, stack: ExitStack) -> None:
    """A foreign registry that gives other bytes, or no end of bytes, gives nothing."""
    blob = b"layer"
    manifest = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=oci.Descriptor(media_type="x/y", digest=sha256(b"{}"), size=2),
            layers=[oci.Descriptor(media_type="x/z", digest=sha256(blob), size=len(blob))],
        )
    )
    served = {"layer": blob}

    def act(request: Request) -> None:
        if "/manifests/" in request.path:
            request.answer(200, manifest, Content_Type=oci.MANIFEST)
        else:
            request.answer(200, b"{}" if sha256(b"{}") in request.path else served["layer"])

    server = stack.enter_context(local_server(act))
    host = server.url.removeprefix("http://")
    pull(f"{host}/acme/tool:1", Layout(tmp_path / "good"))
    assert Layout(tmp_path / "good").get(sha256(blob)) == blob
    for number, evil in enumerate((b"LAYER", b"lay", b"layer and more")):
        served["layer"] = evil
        with pytest.raises((Untrusted, Unavailable)):
            pull(f"{host}/acme/tool:1", Layout(tmp_path / str(number)))
        assert not Layout(tmp_path / str(number)).path(sha256(blob)).exists()
    with pytest.raises(Untrusted):
        pull(f"{host}/acme/tool@{sha256(b'other')}", Layout(tmp_path / "other"))
    for reference in ("no-host", "host/UPPER:1", "host/x:..", "user:pw@host/x"):
        with pytest.raises(InvalidInput):
            pull(reference, Layout(tmp_path / "bad"))


def peak() -> int:
    """KiB of memory that this process had at most."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


@pytest.mark.slow
def test_memory_stays_small_whatever_the_size(api: Broken, tmp_path: Path) -> None:
    """300 MB go to the registry and back through chunks: the peak grows by less than 80 MB.

    Registry and client share this process, so the bound holds for both together.
    """
    size = 300 * 1024 * 1024
    path = tmp_path / "big"
    state = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // (1 << 20)):
            piece = number.to_bytes(4, "big") * (1 << 18)
            file.write(piece)
            state.update(piece)
    digest = Digest("sha256:" + state.hexdigest())
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = peak()
    registry = RegistryClient(api, "me/app")
    with path.open("rb") as file:
        registry.push_blob(digest, size, file)
    registry.check_blob(digest, size)
    assert peak() - before < 80 * 1024
