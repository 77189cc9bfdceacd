"""A provider publishes a channel in CI, with a key and no fleet: to a directory, to a registry."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tests.unit.cli.conftest import Owner

from allod.domain.delegation import Channel
from allod.domain.ids import ProviderName
from allod.testing.local_server import Request, local_server
from allod.trust.channels import make_channel
from allod.wire import oci

LOGIN = "Basic " + base64.b64encode(b"ci:secret").decode()


@pytest.fixture
def acme(owner: Owner) -> Owner:
    """A provider with a key, and no fleet."""
    owner.do("release", "key", owner.home.parent / "acme.pub", "--provider", "acme")
    return owner


def made(owner: Owner, version: str, *, name: str = "toaster", mends: str = "") -> Path:
    """A directory with a release."""
    path = owner.home.parent / f"{name}-{version}"
    path.mkdir()
    (path / "file").write_text(version)
    (path / "allod.toml").write_text(
        f'package = "pkg:generic/acme/{name}"\nprovider = "acme"\nversion = "{version}"\n'
        + (f'mends = ["{mends}"]\n' if mends else "")
    )
    return path


def test_documents_follow_one_another_in_a_directory(acme: Owner) -> None:
    """Sequences rise; what is not named stays; what a release says that it mends goes along."""
    site = acme.home.parent / "site"
    first = acme.do(
        "channel", "publish", "acme/stable", made(acme, "1.0.0"), made(acme, "2.0", name="lamp"),
        "--to", site, "--yes",
    )  # fmt: skip
    assert first["sequence"] == 1
    second = acme.do(
        "channel", "publish", "acme/stable", made(acme, "1.0.1", mends="CVE-2026-1"), "--to", site,
        "--mends", "toaster=CVE-2026-2", "--yes",
    )  # fmt: skip
    assert second["sequence"] == 2
    assert second["packages"]["pkg:generic/acme/lamp"]["version"] == "2.0"
    toaster = second["packages"]["pkg:generic/acme/toaster"]
    assert toaster["mends"] == ["CVE-2026-1", "CVE-2026-2"]
    third = acme.do(
        "channel", "publish", "acme/stable", "--drop", "lamp", "--to", site, "--expires", "7d",
        "--yes",
    )  # fmt: skip
    assert list(third["packages"]) == ["pkg:generic/acme/toaster"]
    assert third["expires"] == "2026-05-08T12:00:00Z"
    files = sorted(path.name for path in (site / "channels/acme/stable").iterdir())
    assert files == ["1.json", "2.json", "3.json", "latest.json"]
    latest = site / "channels/acme/stable/latest.json"
    assert latest.read_bytes() == (latest.parent / "3.json").read_bytes()


def test_nobody_else_slips_a_document_in_between(acme: Owner) -> None:
    """What another key signed, or an older one, is not gone on from."""
    site = acme.home.parent / "site"
    publish = ("channel", "publish", "acme/stable", "--to", site, "--yes")
    acme.do(*publish, made(acme, "1.0.0"))
    latest = site / "channels/acme/stable/latest.json"
    old = latest.read_bytes()
    acme.do(*publish, made(acme, "1.0.1"))
    latest.write_bytes(old)
    assert acme.refused(*publish, made(acme, "1.0.2")) == "rollback"
    at = acme.clock.at
    foreign = Channel(ProviderName("acme"), "stable", 9, at, at.replace(year=2030), {})
    latest.write_bytes(make_channel(foreign, [CryptoSigner.generate_ed25519()]))
    assert acme.refused(*publish, made(acme, "1.0.3")) == "auth"
    latest.unlink()
    assert acme.refused(*publish, made(acme, "1.0.4")) == "channel-missing"
    assert acme.do(*publish, made(acme, "1.0.5"), "--sequence", "10")["sequence"] == 10


def test_a_dry_run_signs_nothing(acme: Owner) -> None:
    """It is shown, and nothing lies anywhere."""
    site = acme.home.parent / "site"
    release = made(acme, "1.0.0")
    done = acme.do("channel", "publish", "acme/stable", release, "--to", site, "--dry-run")
    assert done["published"] is False
    assert not site.exists()


@dataclass
class Registry:
    """An old registry (no list of referrers) that wants a login for whatever changes it."""

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def act(self, request: Request) -> None:
        """One request."""
        repository, _, path = request.path.partition("/v2/acme/")[2].partition("/")
        kept = path if path.startswith("blobs/") else f"{repository}/{path}"
        if request.method in {"GET", "HEAD"}:
            data = self.files.get(kept)
            request.answer(404 if data is None else 200, data or b"")
        elif request.headers.get("authorization", request.headers.get("Authorization")) != LOGIN:
            request.answer(401, WWW_Authenticate='Basic realm="acme"')
        elif request.method == "POST":
            request.answer(202, Location=f"/v2/acme/{repository}/blobs/uploads/1")
        elif path.startswith("blobs/uploads/1?digest="):
            digest = "sha256:" + hashlib.sha256(request.body).hexdigest()
            assert path.endswith(digest.replace(":", "%3A"))
            self.files[f"blobs/{digest}"] = request.body
            request.answer(201)
        else:
            self.files[kept] = request.body
            request.answer(201)


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry that runs."""
    running = Registry()
    with local_server(running.act) as server:
        running.url = re.sub(r"/$", "", server.url) + "/acme"
        yield running


def test_a_registry_has_the_newest_and_the_past(acme: Owner) -> None:
    """Under the channel's tag and under that of the sequence; without a login it says so."""
    login = acme.home.parent / "login"
    login.write_text("ci:secret\n")
    with registry() as running:
        publish = ("channel", "publish", "acme/stable", "--to", running.url, "--yes")
        assert acme.refused(*publish, made(acme, "1.0.0")) == "registry-failed"
        again = (*publish, "--login", login, "--sequence", "2")
        assert acme.do(*again, acme.home.parent / "toaster-1.0.0")["sequence"] == 2
        third = acme.do(*publish, "--login", login, made(acme, "1.0.1"))
        assert third["sequence"] == 3
        tags = {name for name in running.files if name.startswith("channels/")}
        newest, numbered = "channels/manifests/stable", "channels/manifests/stable.N3"
        assert tags == {newest, "channels/manifests/stable.N2", numbered}
        assert running.files[newest] == running.files[numbered]
        goods = {name for name in running.files if name.startswith("toaster/manifests/")}
        assert {"toaster/manifests/1.0.0", "toaster/manifests/1.0.1"} <= goods
        referred = [running.files[name] for name in goods if "/sha256-" in name]
        assert len(referred) == 2
        assert all(oci.STATEMENT.encode() in one for one in referred)
        blob = next(name for name in running.files if name.startswith("blobs/sha256:"))
        running.files = {
            name: b"x" if name.startswith("blobs/") and name != blob else data
            for name, data in running.files.items()
        }
        assert acme.refused(*publish, "--login", login, "--drop", "lamp") == "wrong-digest"


def test_what_is_missing_is_named(acme: Owner) -> None:
    """Without a fleet and a place, or with a directory that is none: what would mend it is said."""
    release = made(acme, "1.0.0")
    assert acme.refused("channel", "publish", "acme/stable", release, "--yes") == "bad-arguments"
    assert "--to" in acme.said
    site = acme.home.parent / "site"
    nowhere = acme.home.parent / "nowhere"
    wrong = ("channel", "publish", "acme/stable", nowhere, "--to", site, "--yes")
    assert acme.refused(*wrong) == "no-file"
    done = acme.do("channel", "publish", "acme/stable", release, "--to", site, "--yes")
    assert done["to"] == str(site)
    assert done["at"].endswith("Z")
