"""A tool that knows nothing of Allod copies releases in and out, with the same digest."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from allod.cli.output import Output
from allod.cli.release_import import Wanted, import_release
from allod.packaging.build import Built, build_directory, open_built
from allod.packaging.statement import sign_release
from allod.server.registry.ports import Action
from allod.testing.registry_server import FLEET, RunningRegistry, TokenGate, registry_server

SKOPEO = shutil.which("skopeo")
pytestmark = pytest.mark.skipif(SKOPEO is None, reason="skopeo is not installed")


def skopeo(*arguments: str) -> str:
    """Run skopeo; it must succeed."""
    done = subprocess.run(
        [str(SKOPEO), "--insecure-policy", *arguments], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A registry that wants a token."""
    gate = TokenGate({"secret": frozenset(Action), "reads": frozenset({Action.PULL})})
    with registry_server(tmp_path / "server", gate) as running:
        yield running
        assert running.failures == []


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """A signed release with a payload of a few megabytes."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "data").write_bytes(bytes(range(256)) * 20_000)
    (app / "allod.toml").write_text('package = "pkg:generic/me/app"\nversion = "1.0"\n')
    made = build_directory(app)
    sign_release(made, [CryptoSigner.generate_ed25519()])
    return made


def test_in_and_out_with_the_same_digest(
    server: RunningRegistry, built: Built, tmp_path: Path
) -> None:
    """From a layout to the registry and back: no byte of manifest, config or layer changes."""
    there = f"docker://{server.host}/{FLEET}/me/app:1.0"
    source = f"oci:{built.layout.directory}:1.0"
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", "ci:secret", source, there)
    shown = json.loads(
        skopeo("inspect", "--tls-verify=false", "--creds", "x:reads", "--raw", there)
    )
    assert shown["artifactType"] == "application/vnd.allod.release.v1"
    back = tmp_path / "back"
    skopeo("copy", "--src-tls-verify=false", "--src-creds", "x:reads", there, f"oci:{back}:1.0")
    again = open_built(back)
    assert (again.digest, again.releases) == (built.digest, built.releases)
    for layer in again.release.layers:
        again.layout.check(layer.digest, layer.size)
    tags = skopeo("list-tags", "--tls-verify=false", "--creds", "x:reads", there.rpartition(":")[0])
    assert json.loads(tags)["Tags"] == ["1.0"]


def test_a_digest_is_kept_even_when_a_format_is_asked_for(
    server: RunningRegistry, built: Built
) -> None:
    """`--format oci --preserve-digests` finds nothing to convert and nothing to pack again."""
    there = f"docker://{server.host}/{FLEET}/me/app:1.0"
    skopeo(
        "copy", "--format", "oci", "--preserve-digests", "--dest-tls-verify=false",
        "--dest-creds", "ci:secret", f"oci:{built.layout.directory}:1.0", there,
    )  # fmt: skip
    by_digest = f"docker://{server.host}/{FLEET}/me/app@{built.digest}"
    skopeo("inspect", "--tls-verify=false", "--creds", "x:reads", "--raw", by_digest)


def test_a_token_that_reads_does_not_push(server: RunningRegistry, built: Built) -> None:
    """Skopeo is told so, and nothing is there afterwards."""
    there = f"docker://{server.host}/{FLEET}/me/app:1.0"
    done = subprocess.run(
        [str(SKOPEO), "--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds",
         "x:reads", f"oci:{built.layout.directory}:1.0", there],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode != 0
    assert "does not allow" in done.stderr or "denied" in done.stderr.lower()
    assert server.store.catalogue.repositories() == ()


def test_a_release_on_another_registry_is_imported(built: Built, tmp_path: Path) -> None:
    """`docker://…` pulls it as it is; what comes of it is the owner's, with the same layers."""
    with registry_server(tmp_path / "open") as other:
        there = f"{other.host}/{FLEET}/me/app:1.0"
        source = f"oci:{built.layout.directory}:1.0"
        skopeo("copy", "--dest-tls-verify=false", source, f"docker://{there}")
        wanted = Wanted(None, "1.0-mine", None, (), "me")
        mine = import_release(f"docker://{there}", wanted, tmp_path / "mine", Output(json=True))
    assert mine.release.imported_by_owner
    assert mine.release.layers == built.release.layers
