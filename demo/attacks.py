"""Somebody takes over the server: its files, its address, its TLS key, all its online keys."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.attacker import StolenServer
from demo.stage import Device, Failed, Stage, wait_for

ATTACKER = Path(__file__).resolve().parent / "attacker.py"
Attack = Callable[[StolenServer], None]


def unchanged(device: Device, says: dict[str, Any]) -> tuple[Any, ...]:
    """What must not change: what runs, how it is configured, whose the device is."""
    releases = sorted(
        (package["package"], one["version"], one["level"])
        for package in says["packages"]
        for one in package["releases"]
    )
    return (says["fleet"], says["groups"], says["retired"], releases, device.answer())


def withstand(stage: Stage, title: str, attack: Attack, code: str = "", *names: str) -> None:
    """Let a stolen server try it on all devices; they must refuse, say so, and run on.

    Args:
        stage: everything.
        title: what is tried.
        attack: does it.
        code: that they give as the reason; any, unless given.
        names: of the devices that it is aimed at; all, unless given.
    """
    said = {name: device.says() for name, device in stage.devices.items()}
    kept = {name: unchanged(device, said[name]) for name, device in stage.devices.items()}
    aimed = {name: device for name, device in stage.devices.items() if name in names or not names}
    stage.stop_server()
    stolen = stage.root / "stolen"
    shutil.rmtree(stolen, ignore_errors=True)
    shutil.copytree(stage.server_directory, stolen)
    stage.thefts += 1
    attack(StolenServer(stolen, said["kitchen-1"]["fleet"], stage.thefts, stage.forged))
    stage.start_server(sys.executable, ATTACKER, stolen, str(stage.port), quiet=True)
    for device in aimed.values():
        device.poke()
    for name, device in aimed.items():
        wait_for(
            f"{name} refuses '{title}'",
            lambda here=device, old=said[name]: refuses(here.says(), old, code),
        )
    for name, device in stage.devices.items():
        said[name] = device.says()
        if unchanged(device, said[name]) != kept[name]:
            raise Failed(f"{title}: {name} changed from {kept[name]} to {said[name]}")
    print(f"   holds: {title}: refused, and they toast on", flush=True)
    for text in sorted({one["says"] for name in aimed for one in said[name]["alarms"]}):
        print(f"     {text}", flush=True)
    stage.stop_server()


def refuses(says: dict[str, Any], before: dict[str, Any], code: str) -> bool:
    """Whether a device has reported such an alarm since."""
    codes = {one["code"] for one in says["alarms"]}
    newer = says["reported"]["sequence"] > before["reported"]["sequence"]
    return newer and (code in codes if code else bool(codes))


def tamper(stage: Stage) -> None:
    """The server's files are tampered with: devices refuse them and toast on."""
    withstand(stage, "timestamp altered", lambda thief: thief.alter("timestamp"))
    withstand(stage, "snapshot altered", lambda thief: thief.alter("snapshot"))


def take_over(stage: Stage) -> None:
    """With the server's keys: move a device, retire it, delete by omission. Devices refuse."""
    device = stage.devices["kitchen-1"].says()["device"]

    def moved(document: dict[str, Any]) -> None:
        document.setdefault("device", {})["groups"] = ["bathroom"]

    def retired(document: dict[str, Any]) -> None:
        document.setdefault("device", {})["status"] = "retired"

    withstand(stage, "the toaster left out", lambda thief: thief.older("targets"), "rollback")
    withstand(stage, "all devices left out", lambda thief: thief.without("devices"), "role-missing")
    withstand(stage, "everything left out", lambda thief: thief.without("targets"), "role-missing")
    for title, change in (("a device moved", moved), ("a device retired", retired)):
        withstand(
            stage, title, lambda thief, change=change: thief.rewrite_device(device, change),
            "auth", "kitchen-1",
        )  # fmt: skip
    withstand(stage, "the owner's orders altered", lambda thief: thief.alter("targets"), "auth")


def recover(stage: Stage) -> None:
    """The owner takes the server back: new online keys, named by the root; devices follow."""
    stage.owner.run("server", "new-keys", stage.server_directory)
    stage.start_server()
    offer = stage.server_directory / "offer.json"
    stage.owner.run("keys", "rotate", "online", "--server-offer", offer, "--yes", tell=True)
    stage.stop_server()
    stage.owner.run("server", "settle-keys", stage.server_directory)
    stage.start_server()
    # The thief has shown them versions that were never published; they refuse lower ones.
    stage.owner.run("trust", "repair", "timestamp", "snapshot", "--yes")
    for device in stage.devices.values():
        device.poke()
    for name, device in stage.devices.items():
        wait_for(f"{name} is content again", lambda here=device: not here.says()["alarms"])
    print("   holds: no device has an alarm any more", flush=True)


ACTS: tuple[Callable[[Stage], None], ...] = (tamper, take_over, recover)
