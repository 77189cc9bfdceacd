"""What an owner does in a year, in order. Each function is one act; its docstring is its title."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.stage import Failed, Stage, wait_for

HERE = Path(__file__).resolve().parent
KITCHEN = ("kitchen-1", "kitchen-2")
NEW_BROWNING = 5


def own(stage: Stage) -> None:
    """An owner makes a fleet: keys, a signed repository, a server that holds no power over it."""
    recovery = stage.root / "paper" / "recovery-key.txt"
    recovery.parent.mkdir()
    stage.owner.run(
        "init", "home", "--url", stage.url, "--server", stage.server_directory,
        "--recovery-file", recovery, tell=True,
    )  # fmt: skip
    settings = stage.server_directory / "settings.json"
    told = json.loads(settings.read_bytes())
    settings.write_text(json.dumps(told | {"pollSeconds": 5}), encoding="utf-8")
    stage.start_server()


def wheel(stage: Stage, version: str) -> Path:
    """waitress as its authors published it, by the digest that is pinned here."""
    into = stage.root / "wheels" / version
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--only-binary", ":all:", "--require-hashes",
            "-r", str(HERE / f"requirements-{version}.txt"), "--dest", str(into),
        ],
        check=True,
    )  # fmt: skip
    return next(into.glob("*.whl"))


def source(stage: Stage, version: str, waitress: Path, check: str = "") -> Path:
    """A directory to release: the toaster, and the web server that it runs on."""
    into = stage.provider.home / f"toaster-{version}"
    shutil.copytree(HERE / "app", into)
    with zipfile.ZipFile(waitress) as archive:
        archive.extractall(into)
    if check:
        (into / "check.py").write_text(check, encoding="utf-8")
    return into


def publish(stage: Stage) -> None:
    """A provider builds and signs releases of a toaster; the owner takes them in.

    It runs on waitress 2.1.1, which has CVE-2022-31015, and then on 2.1.2, which mends it.
    """
    wheels = {version: wheel(stage, version) for version in ("2.1.1", "2.1.2")}
    made = {version: source(stage, version, path) for version, path in wheels.items()}
    made["2.1.3"] = source(stage, "2.1.3", wheels["2.1.2"], "raise SystemExit('too brown')\n")
    key = stage.provider.home / "acme.pub"
    stage.provider.run("release", "key", key, "--provider", "acme")
    for version, directory in made.items():
        stage.provider.run("release", "sign", directory, "--version", version)
    stage.owner.run(
        "provider", "add", "acme", "--key", key, "--namespace", "pkg:generic/acme/",
        "--access", "network.listen:tcp/28080", "--yes", tell=True,
    )  # fmt: skip
    for directory in made.values():
        stage.owner.run("release", "push", directory / ".allod" / "release")
    stage.owner.run("release", "verify", "toaster@2.1.2", tell=True)


def bind(stage: Stage) -> None:
    """Three devices take the owner's invite; one of them without any network."""
    invites = stage.root / "invites"
    invites.mkdir()
    for group, uses in (("kitchen", "2"), ("bathroom", "1")):
        stage.owner.run("group", "add", group, "--yes")
        stage.owner.run(
            "device", "invite", "--group", group, "--uses", uses,
            "--out", invites / f"{group}.json", "--yes",
        )  # fmt: skip
    for name in KITCHEN:
        stage.add_device(name).run("bind", str(invites / "kitchen.json"))
    bathroom = stage.add_device("bathroom-1")
    bathroom.run("bind", "--offline", str(invites / "bathroom.json"))
    stick = stage.root / "stick"
    stage.owner.run("export", stick)
    bathroom.run("run", "--from", str(stick))
    stage.owner.run("device", "admit", stick)
    for device in stage.devices.values():
        device.boot()
    ids = {one.says()["device"] for one in stage.devices.values()}
    known = {one["device"] for one in stage.owner.ask("device", "list")["devices"]}
    if ids != known:
        raise Failed(f"the owner knows {known}, the devices are {ids}")
    for device in stage.devices.values():
        stage.owner.run("device", "rename", device.says()["device"][:12], device.name, "--yes")
    stage.owner.run("device", "list", tell=True)


def deploy(stage: Stage) -> None:
    """The toaster 2.1.1 runs, now."""
    needs = "network.listen:tcp/28080"
    stage.owner.run("deploy", "kitchen", "toaster@2.1.1", "--yes", code="not-accepted")
    for group in ("kitchen", "bathroom"):
        stage.owner.run(
            "deploy", group, "toaster@2.1.1", "--accept", needs, "--yes", "-m", "toast at last",
            tell=group == "kitchen",
        )  # fmt: skip
    stage.all_serve(waitress="2.1.1")


def configure(stage: Stage) -> None:
    """It is configured: checked against its schema, facts and a secret filled in on the device."""
    for name in KITCHEN:
        stage.devices[name].run("secret", "set", "toaster", "token", given="crumbs\n")
    document = stage.owner.home / "toaster.json"
    good = {
        "address": "{device.address}",
        "browning": NEW_BROWNING,
        "kitchen": "the {device.name} one",
        "token": "secret:token",
    }
    verb = ("configure", "kitchen", "toaster", "-f", document, "--secret", "token", "--yes")
    document.write_text(json.dumps(good | {"browning": 9}), encoding="utf-8")
    stage.owner.run(*verb, code="bad-configuration")
    document.write_text(json.dumps(good | {"token": "crumbs"}), encoding="utf-8")
    stage.owner.run(*verb, code="write-only-value")
    document.write_text(json.dumps(good), encoding="utf-8")
    stage.owner.run(*verb)
    stage.all_serve(*KITCHEN, browning=NEW_BROWNING, token=True)
    for name in KITCHEN:
        stage.all_serve(name, kitchen=f"the {name} one")


def at_restart(stage: Stage) -> None:
    """2.1.2 at the next restart: nothing changes before; one restart is scheduled, and it does."""
    said = stage.owner.run("deploy", "kitchen", "toaster@2.1.2", "--at-restart", "--yes")
    stage.changes["2.1.2"] = number_of(said)
    for name in KITCHEN:
        wait_for(f"{name} has it ready", lambda here=name: waits(stage, here))
        stage.all_serve(name, waitress="2.1.1", seconds=1)
    boots = {name: stage.devices[name].boots for name in KITCHEN}
    stage.owner.run("restart", "kitchen", "--at", "+5s", "--yes")
    stage.all_serve(*KITCHEN, waitress="2.1.2", browning=NEW_BROWNING)
    for name in KITCHEN:
        if stage.devices[name].boots != boots[name] + 1:
            raise Failed(f"{name} restarted {stage.devices[name].boots - boots[name]} times")
    print("   holds: each machine restarted once")


def package(stage: Stage, name: str, which: str) -> dict[str, Any]:
    """What a device itself says of a package; empty: it has none."""
    told = stage.devices[name].says()["packages"]
    return next((dict(one) for one in told if one["package"].endswith(f"/{which}")), {})


def waits(stage: Stage, name: str) -> bool:
    """Whether the toaster of a device waits for the next restart."""
    pending = package(stage, name, "toaster").get("pending", [])
    return any(one.get("waitsFor") == "restart" for one in pending)


def goes_back(stage: Stage) -> None:
    """A release that fails its health check goes back by itself, with its configuration."""
    stage.owner.run("hold", "kitchen", "--why", "both of it, or none", "--yes")
    document = stage.owner.home / "browner.json"
    wanted = {"address": "{device.address}", "browning": 7}
    document.write_text(json.dumps(wanted), encoding="utf-8")
    said = stage.owner.run("configure", "kitchen", "toaster", "-f", document, "--yes")
    stage.changes["browner"] = number_of(said)
    said = stage.owner.run("deploy", "kitchen", "toaster@2.1.3", "--yes")
    stage.changes["2.1.3"] = number_of(said)
    stage.owner.run("resume", "kitchen", "--yes")
    for name in KITCHEN:
        wait_for(f"{name} tells that it failed", lambda here=name: failed(stage, here), 90)
    stage.all_serve(*KITCHEN, waitress="2.1.2", browning=NEW_BROWNING)
    wait_for("the owner is told", lambda: told_failed(stage), 30)
    stage.owner.run("status", "kitchen", tell=True)


def failed(stage: Stage, name: str) -> bool:
    """Whether a device says that 2.1.3 failed."""
    told = package(stage, name, "toaster")
    return "2.1.3" in json.dumps(told) and "fail" in json.dumps(told)


def told_failed(stage: Stage) -> bool:
    """Whether the owner's own look at the verified reports says so for both devices."""
    rows = [
        row
        for device in stage.owner.ask("status", "kitchen")["devices"]
        for row in device["packages"]
        if row["state"] == "failed"
    ]
    return len(rows) == len(KITCHEN)


def delete(stage: Stage) -> None:
    """The owner's own timer comes, straight from its directory, and goes again."""
    timer = stage.owner.home / "timer"
    timer.mkdir()
    (timer / "minutes").write_text("three\n", encoding="utf-8")
    (timer / "allod.toml").write_text(
        'package = "pkg:generic/me/timer"\nversion = "1"\n', encoding="utf-8"
    )
    stage.owner.run("deploy", "kitchen", timer, "--yes")
    for name in KITCHEN:
        wait_for(f"{name} has the timer", lambda here=name: package(stage, here, "timer"))
    print("   holds: both have it")
    stage.owner.run("delete", "kitchen", "timer", "--yes")
    for name in KITCHEN:
        wait_for(f"the timer goes from {name}", lambda here=name: gone(stage, here, "timer"))
    print("   holds: both are rid of it")


def gone(stage: Stage, name: str, which: str) -> bool:
    """Whether a device has no release of a package any more, by its own word and on its disk."""
    store = stage.devices[name].state / "store"
    left = [entry for entry in store.iterdir() if entry.name.endswith(which)]
    return not package(stage, name, which).get("releases") and not any(map(any_in, left))


def any_in(directory: Path) -> bool:
    """Whether there is anything in a directory."""
    return any(directory.iterdir())


def stranger(stage: Stage) -> None:
    """A stranger signs a release under the provider's name: refused."""
    directory = stage.stranger.home / "toaster"
    shutil.copytree(
        stage.provider.home / "toaster-2.1.2", directory, ignore=shutil.ignore_patterns(".allod")
    )
    (directory / "toaster.py").write_text("print('all your toast')\n", encoding="utf-8")
    stage.stranger.run("release", "key", stage.stranger.home / "key.pub", "--provider", "acme")
    stage.stranger.run("release", "sign", directory, "--version", "9")
    stage.owner.run("release", "push", directory / ".allod" / "release", code="auth")


def undo(stage: Stage) -> None:
    """What went wrong is taken back; then the owner goes back to 2.1.1, without a download."""
    for change in ("2.1.3", "browner"):
        stage.owner.run("undo", stage.changes[change], "--yes", tell=change == "browner")
    wait_for("all is as wanted", lambda: states(stage) == {"as wanted"})
    stage.all_serve(*KITCHEN, waitress="2.1.2", browning=NEW_BROWNING)
    layers = stage.owner.ask("release", "inspect", "toaster@2.1.1")["layers"]
    for layer in layers:
        for blob in stage.server_directory.rglob(layer["digest"].removeprefix("sha256:")):
            blob.rename(blob.with_name("gone"))
    stage.owner.run("undo", stage.changes["2.1.2"], "--yes", tell=True)
    stage.all_serve(*KITCHEN, waitress="2.1.1", browning=NEW_BROWNING)


def number_of(said: str) -> str:
    """The number of a change, from what the command said of it."""
    found = re.search(r"Change (\d+) is (?:published|in force)", said)
    if found is None:
        raise Failed(f"no change was published: {said}")
    return found[1]


def states(stage: Stage) -> set[str]:
    """The states of all packages, as the owner's own look at the verified reports says."""
    devices = stage.owner.ask("status")["devices"]
    return {row["state"] for device in devices for row in device["packages"]}


def finish(stage: Stage) -> None:
    """What runs, and who wanted it so."""
    time.sleep(1)
    stage.owner.run("status", tell=True)
    stage.owner.run("history", tell=True)


ACTS: tuple[Callable[[Stage], None], ...] = (
    own, publish, bind, deploy, configure, at_restart, goes_back, delete, stranger,
)  # fmt: skip
