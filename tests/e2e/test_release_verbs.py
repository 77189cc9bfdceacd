"""`allod release` against a real server: made, pushed, looked at, verified, copied by skopeo."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.e2e.home import Home
from tests.e2e.owner_machine import Machine

from allod.packaging.build import open_built


def test_a_release_from_nothing_to_verified(home: Home) -> None:
    """init, build, push, list, inspect and verify, as a newcomer types them."""
    app = home.place / "apps" / "kettle"
    app.mkdir(parents=True)
    (app / "main.py").write_text("import time\ntime.sleep(1000)\n")
    assert home.do("release", "init", app)["description"]["package"] == "pkg:generic/me/kettle"
    built = home.do("release", "build", app)
    pushed = home.do("release", "push", app)
    assert (pushed["digest"], pushed["pushed"]) == (built["digest"], True)
    assert home.do("release", "push", app)["pushed"] is False
    row = {"provider": "me", "name": "kettle", "version": "0.1.0"}
    assert row in home.do("release", "list")
    assert home.do("release", "list", "kettle") == [row]
    shown = home.do("release", "inspect", "kettle@0.1.0")
    assert (shown["digest"], shown["statements"]) == (built["digest"], 1)
    for reference in ("kettle@0.1.0", "me/kettle@0.1.0", "pkg:generic/me/kettle@0.1.0", app):
        verdict = home.do("release", "verify", reference)
        assert [step["ok"] for step in verdict["steps"]] == [True] * 5
        assert verdict["digest"] == built["digest"]
    (app / "main.py").write_text("changed")
    assert home.refused("release", "push", app) == "version-taken"
    assert home.do("release", "push", app, "--version", "0.2.0")["version"] == "0.2.0"
    assert home.refused("release", "inspect", "kettle@9") == "no-such-release"


def test_foreign_software_becomes_the_owners_own(home: Home) -> None:
    """A tarball is imported, signed as 'me' and pushed, and says that it was."""
    source = home.place / "foreign"
    source.mkdir()
    (source / "tool").write_text("bits")
    tarball = shutil.make_archive(str(home.place / "tool-3"), "gztar", source)
    out = home.place / "tool.release"
    made = home.do("release", "import", tarball, "--package", "tool", "--version", "3", "-o", out)
    assert made["package"] == "pkg:generic/me/tool"
    assert home.do("release", "inspect", "tool@3")["importedByOwner"] is True
    assert home.do("release", "verify", "tool@3")["verdict"].startswith("Good")


@pytest.mark.slow
def test_a_provider_signs_elsewhere_and_the_owner_pushes(home: Home, tmp_path: Path) -> None:
    """With a key that never sees the fleet; under another key the same name is refused."""
    source = tmp_path / "oven"
    source.mkdir()
    (source / "bake").write_text("bits")
    (source / "allod.toml").write_text(
        'package = "pkg:generic/acme/kiln"\nversion = "1.0"\nprovider = "acme"\n'
    )
    acme, stranger = Machine(tmp_path / "acme"), Machine(tmp_path / "stranger")
    for machine in (acme, stranger):
        machine.do("release", "key", machine.home / "acme.pub", "--provider", "acme")
    assert acme.refused("release", "key", acme.home / "acme.pub", "--provider", "acme") == "exists"
    signed = acme.do("release", "sign", source)
    namespace = "pkg:generic/acme/"
    assert home.refused("release", "push", signed["layout"]) == "unknown-provider"
    home.do(
        "provider", "add", "acme", "--key", acme.home / "acme.pub", "--namespace", namespace,
        "--any-access", "-y",
    )  # fmt: skip
    forged = tmp_path / "forged"
    shutil.copytree(source, forged, ignore=shutil.ignore_patterns(".allod"))
    assert home.refused("release", "push", forged) == "key-elsewhere"
    layout = stranger.do("release", "sign", forged)["layout"]
    assert home.refused("release", "push", layout) == "auth"
    assert home.do("release", "push", signed["layout"])["digest"] == signed["digest"]
    assert home.do("release", "verify", "acme/kiln@1.0")["verdict"].startswith("Good")
    home.do("group", "add", "bakery", "-y")
    home.do("deploy", "bakery", "kiln@1.0", "--provider", "acme", "-y")


def test_a_provider_may_use_a_key_in_pem(home: Home, tmp_path: Path) -> None:
    """What other tools write is taken; what is no public key is refused."""
    pem = tmp_path / "key.pem"
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    add = ("provider", "add", "peers", "--namespace", "pkg:generic/peers/", "--any-access", "-y")
    home.do(*add, "--key", pem)
    pem.write_text("-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n")
    assert home.refused(*add, "--replace", "--key", pem) == "bad-key"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_and_a_token(home: Home) -> None:
    """With a named token skopeo copies out of the real server, over TLS, with the same digest."""
    app = home.app("copied", "1.0")
    digest = home.do("release", "push", app)["digest"]
    token = home.do("token", "create", "skopeo", "push", "--days", "1")["token"]
    fleet = home.fleet()
    assert fleet.settings.server is not None
    host = fleet.settings.server.url.partition("://")[2]
    there, back = f"docker://{host}/{fleet.id}/me/copied", home.place / "copied-back"

    def skopeo(*arguments: str) -> str:
        done = subprocess.run(
            ["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    skopeo(
        "copy", "--src-tls-verify=false", "--src-creds", f"ci:{token}", f"{there}:1.0", f"oci:{back}:1.0"
    )  # fmt: skip
    assert open_built(back).digest == digest
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", f"ci:{token}", f"oci:{back}:1.0", f"{there}:1.0")  # fmt: skip
    tags = skopeo("list-tags", "--tls-verify=false", "--creds", f"ci:{token}", there)
    assert json.loads(tags)["Tags"] == ["1.0"]
    assert Path(app).is_dir()


@pytest.mark.slow
def test_a_release_is_withdrawn_and_taken_back(home: Home) -> None:
    """Withdrawn it is deployed no more, and what to take instead is said; back, it is as before."""
    device = home.device("recall", "recalled")
    home.do("deploy", "recalled", home.app("heater", "1"), "-y")
    home.do("release", "push", home.app("heater", "2"))
    device.converge()
    withdraw = ("release", "withdraw", "heater@1")
    assert home.refused(*withdraw, "-y") == "bad-arguments"
    assert home.refused(*withdraw, "--why", "burns", "--replacement", "heater@1") == "bad-arguments"
    assert home.refused("release", "withdraw", "heater@9", "--why", "x") == "no-such-release"
    done = home.do(*withdraw, "--why", "it burns", "--replacement", "heater@2", "-y")
    assert any("goes on running, on 1" in remark for remark in done["remarks"])
    home.do("group", "add", "elsewhere", "-y")
    failed = home.machine.run("deploy", "elsewhere", "heater@1", "-y")
    assert "take heater@2 [withdrawn]\n  because it burns" in failed.stderr
    device.converge()
    assert home.row(device, "heater")["active"] == "1", "what runs is not touched"
    assert any(one["code"] == "withdrawn-runs" for one in home.status(device)["alarms"])
    home.do(*withdraw, "--back", "-y")
    home.do("deploy", "elsewhere", "heater@1", "-y")
