"""Others decide, within terms: a provider's channel, its limits, its end; a rollout; a recall."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.acts import KITCHEN, package, source, wheel
from demo.attacker import StolenServer
from demo.attacks import withstand
from demo.stage import Failed, Stage, wait_for

FLAW = "toaster=CVE-2022-31015"
REGISTRY = Path(__file__).resolve().parent / "registry.py"
GROWN = """
access = ["network.listen:tcp/28080", "microphone"]"""


def release_of(stage: Stage, version: str, *, access: str = "", check: str = "") -> Path:
    """The provider builds and signs another release of the toaster; the directory it lies in."""
    directory = source(stage, version, wheel(stage, "2.1.2"), check)
    if access:
        description = directory / "allod.toml"
        text = description.read_text(encoding="utf-8")
        wanted = '\naccess = ["network.listen:tcp/28080"]'
        if wanted not in text:
            raise Failed(f"the toaster's description changed: {text}")
        description.write_text(text.replace(wanted, access), encoding="utf-8")
    stage.provider.run("release", "sign", directory, "--version", version)
    return directory


def ship(stage: Stage, directory: Path, *more: str) -> None:
    """The provider publishes a release to all customers: once, in its own registry."""
    stage.provider.run(
        "channel", "publish", "acme/stable", directory / ".allod" / "release",
        "--to", stage.registry_url, "--yes", *more,
    )  # fmt: skip


def follow(stage: Stage) -> None:
    """The owner lets the provider mend flaws by itself: in the kitchen, in a window, no more.

    The provider publishes its channel once, in a registry of its own; the owner's server copies it.
    """
    directory = stage.root / "registry"
    directory.mkdir()
    with (stage.root / "registry.log").open("ab") as log:
        stage.registry = subprocess.Popen(
            [sys.executable, str(REGISTRY), str(directory)], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    wait_for("the provider's registry listens", (directory / "url").exists)
    stage.registry_url = (directory / "url").read_text("ascii")
    opens = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=95)  # the minute in which that is
    window = f"{opens:%a}:{opens:%H:%M}+2h".lower()
    stage.owner.run(
        "delegate", "grant", "acme-security", "--follow", "acme/stable",
        "--source", stage.registry_url, "--group", "kitchen", "--package", "pkg:generic/acme/*",
        "--only", "security", "--access", "same", "--soak", "10s", "--window", window, "--yes",
        tell=True,
    )  # fmt: skip


def mends(stage: Stage) -> None:
    """The provider ships a security fix; devices take it by themselves, when their window opens."""
    ship(stage, stage.provider.home / "toaster-2.1.2", "--mends", FLAW)
    for name in KITCHEN:
        wait_for(
            f"{name} has the fix, and waits for its window", lambda here=name: ready(stage, here)
        )
    stage.all_serve(*KITCHEN, waitress="2.1.1", seconds=1)
    stage.all_serve(*KITCHEN, waitress="2.1.2", seconds=120)
    wait_for("both report it", lambda: kitchen_states(stage) == {"as wanted"})
    said = stage.owner.run("audit", "explain", "kitchen-1", "toaster", tell=True)
    if "decided by: the delegation acme-security" not in said:
        raise Failed("the audit does not say who decided")


def kitchen_states(stage: Stage) -> set[str]:
    """How the kitchen's packages are, by the verified reports of its devices."""
    devices = stage.owner.ask("status", "kitchen")["devices"]
    return {row["state"] for device in devices for row in device["packages"]}


def ready(stage: Stage, name: str) -> bool:
    """Whether a device has 2.1.2 at hand and waits for its window."""
    pending = package(stage, name, "toaster").get("pending", [])
    return any(
        one.get("version") == "2.1.2" and "window" in one.get("waitsFor", "") for one in pending
    )


def listening(stage: Stage) -> None:
    """Its next release wants a microphone: the devices stop it, and nobody else has to."""
    ship(stage, release_of(stage, "2.1.4", access=GROWN), "--mends", "toaster=CVE-2026-0001")
    for name in KITCHEN:
        wait_for(
            f"{name} refuses the microphone",
            lambda here=name: "new-access" in refusals(stage, here),
        )
    stage.all_serve(*KITCHEN, waitress="2.1.2", seconds=1)
    stage.owner.run("status", "kitchen", tell=True)


def refusals(stage: Stage, name: str) -> set[str]:
    """The codes of what a device refuses, by its own word."""
    return {one["code"] for one in stage.devices[name].says()["refusals"]}


def revoked(stage: Stage) -> None:
    """The owner revokes it. In league with whoever has the server, the provider tries on: refused."""
    stage.owner.run("delegate", "revoke", "acme-security", "--yes", tell=True)
    for name in KITCHEN:
        wait_for(f"{name} knows", lambda here=name: knows_revocation(stage, here))
    stage.owner.run("delegate", "show", "acme-security", tell=True)
    directory, handed = release_of(stage, "2.1.5"), stage.provider.home / "handed"
    stage.provider.run(
        "channel", "publish", "acme/stable", directory / ".allod" / "release", "--to", handed,
        "--mends", "toaster=CVE-2026-0002", "--sequence", "9", "--yes",
    )  # fmt: skip

    def in_league(thief: StolenServer) -> None:
        thief.channel("acme", "stable", handed)
        thief.undone("targets")

    withstand(stage, "the delegation is shown again, and a new release", in_league, "rollback")
    stage.start_server()
    # The thief has shown them versions that were never published; they refuse lower ones.
    stage.owner.run("trust", "repair", "timestamp", "snapshot", "--yes")
    settle(stage)
    stage.all_serve(*KITCHEN, waitress="2.1.2")


def settle(stage: Stage) -> None:
    """Wait until no device has an alarm."""
    for device in stage.devices.values():
        device.poke()
    for name, device in stage.devices.items():
        wait_for(f"{name} is content", lambda here=device: not here.says()["alarms"])


def knows_revocation(stage: Stage, name: str) -> bool:
    """Whether a device says that nobody else decides on the toaster any more."""
    told = package(stage, name, "toaster")
    return bool(told.get("manager", "owner") == "owner")


def halts(stage: Stage) -> None:
    """A release comes in stages: the first device fails, the second never gets it."""
    directory = release_of(stage, "2.1.6", check="raise SystemExit('too brown')\n")
    stage.owner.run("release", "push", directory / ".allod" / "release")
    # What the revoked delegation left running becomes the owner's own wish first.
    stage.owner.run(
        "deploy", "kitchen", "toaster@2.1.2", "--accept", "network.listen:tcp/28080", "--yes"
    )
    stage.owner.run(
        "deploy", "kitchen", "toaster@2.1.6", "--canary", "kitchen-1", "--stages", "100",
        "--every", "1s", "--bake", "5s", "--yes", tell=True,
    )  # fmt: skip
    stage.devices["kitchen-1"].poke()
    wait_for(
        "the rollout halts", lambda: (rollout(stage)["server"] or {}).get("state") == "halted", 90
    )
    stage.owner.run("rollout", "list", tell=True)
    told: dict[str, Any] = package(stage, "kitchen-2", "toaster")
    if "2.1.6" in str(told.get("releases")):
        raise Failed(f"kitchen-2 has 2.1.6: {told}")
    print("   holds: kitchen-2 never fetched it", flush=True)
    stage.owner.run("rollout", "abort", rollout(stage)["id"], "--yes")
    stage.all_serve(*KITCHEN, waitress="2.1.2")


def rollout(stage: Stage) -> dict[str, Any]:
    """The only rollout."""
    return dict(stage.owner.ask("rollout", "list")["rollouts"][0])


def recall(stage: Stage) -> None:
    """A release that runs is recalled: whoever has it is named, and gets another one instead."""
    stage.owner.run("release", "push", stage.provider.home / "toaster-2.1.5" / ".allod" / "release")
    stage.owner.run("deploy", "kitchen", "toaster@2.1.5", "--yes")
    for name in KITCHEN:
        wait_for(f"{name} runs 2.1.5", lambda here=name: runs(stage, here, "2.1.5"))
    stage.owner.run(
        "release", "withdraw", "toaster@2.1.5", "--why", "it burns the crumbs", "--replace",
        "toaster@2.1.2", "--deploy", "--yes", tell=True,
    )  # fmt: skip
    for name in KITCHEN:
        wait_for(f"{name} runs 2.1.2", lambda here=name: runs(stage, here, "2.1.2"))
    stage.owner.run("deploy", "bathroom", "toaster@2.1.5", "--yes", code="withdrawn")


def runs(stage: Stage, name: str, version: str) -> bool:
    """Whether a device says that this version of the toaster is active."""
    releases = package(stage, name, "toaster").get("releases", [])
    return any((one["version"], one["level"]) == (version, "active") for one in releases)


ACTS: tuple[Callable[[Stage], None], ...] = (follow, mends, listening, revoked, halts, recall)
