"""Two histories: whoever holds the server shows one device what the others do not see."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from demo.acts import NEW_BROWNING
from demo.attacker import StolenServer
from demo.attacks import ATTACKER
from demo.stage import BIN, Failed, Stage, free_port, indent, shown, wait_for

CHECK = Path(__file__).resolve().parent / "check_fork.py"
SEEN, SHOWN_ELSE = "kitchen-1", "kitchen-2"  #: who sees the owner's history, who another one
BROWNER = 6
LAST_BROWNING = 3


def browner(stage: Stage, browning: int) -> None:
    """The owner changes something, and it is in the log."""
    document = stage.owner.home / "again.json"
    document.write_text(
        f'{{"address": "{{device.address}}", "browning": {browning}}}', encoding="utf-8"
    )
    stage.owner.run("configure", "kitchen", "toaster", "-f", document, "--yes")
    # After so much news in a minute its agent would take its time.
    stage.devices[SEEN].poke()


def steal(stage: Stage) -> StolenServer:
    """Copy the whole server, as it is now."""
    stolen = stage.root / "stolen"
    shutil.rmtree(stolen, ignore_errors=True)
    shutil.copytree(stage.server_directory, stolen)
    stage.thefts += 1
    fleet = stage.devices[SEEN].says()["fleet"]
    return StolenServer(stolen, fleet, stage.thefts, {})


def show_another(stage: Stage, thief: StolenServer, until: Callable[[], object], what: str) -> None:
    """Let the thief's server stand in for the owner's, for the one device that is awake."""
    stage.stop_server()
    for name, device in stage.devices.items():
        if name != SHOWN_ELSE:
            device.cut_power()
    stage.start_server(sys.executable, ATTACKER, thief.server, str(stage.port), quiet=True)
    stage.devices[SHOWN_ELSE].boot()
    wait_for(what, until)
    stage.stop_server()
    stage.start_server()
    for name, device in stage.devices.items():
        if name != SHOWN_ELSE:
            device.boot()
        else:
            device.poke()


def codes(stage: Stage, name: str) -> set[str]:
    """The codes of a device's alarms and refusals, by its own word."""
    says = stage.devices[name].says()
    return {one["code"] for one in [*says["alarms"], *says["refusals"]]}


def log_key(stage: Stage, name: str = "authority") -> str:
    """The key of the log of a name that the owner names now."""
    logs = stage.owner.ask("trust", "show")["statement"]["logs"]
    past = {log["follows"] for log in logs}
    newest = [log for log in logs if log["name"] == name and log["origin"] not in past]
    return str(newest[0]["key"])


def fork(stage: Stage) -> None:
    """The server shows two devices two histories, and is caught.

    While kitchen-2 is off, the owner makes two changes that kitchen-1 sees. Then a thief of the server
    wakes kitchen-2 with a log in which they never were, and hands the server back.
    """
    stage.devices[SHOWN_ELSE].cut_power()
    thief = steal(stage)
    for browning in (BROWNER + 1, BROWNER):
        browner(stage, browning)
    stage.all_serve(SEEN, browning=BROWNER)
    thief.fork(1)
    show_another(
        stage, thief, lambda: "log-entry-ignored" in codes(stage, SHOWN_ELSE),
        f"{SHOWN_ELSE} believes the other history",
    )  # fmt: skip
    stage.all_serve(SHOWN_ELSE, browning=NEW_BROWNING)
    wait_for(
        f"{SHOWN_ELSE} finds that it was lied to", lambda: "log-fork" in codes(stage, SHOWN_ELSE)
    )
    found = [""]

    def told() -> bool:
        found[0] += stage.owner.finds("audit", "watch", "--once")
        return bool(evidence(stage))

    print("   owner$ allod audit watch --once", flush=True)
    wait_for("the owner is told of the fork", told)
    print(indent(shown(found[0].strip())), flush=True)
    check(evidence(stage)[0], log_key(stage))


def evidence(stage: Stage) -> list[Path]:
    """The evidence that the owner's machine keeps."""
    return sorted(stage.owner.home.glob("fleets/home/evidence/fork-*.evidence"))


def check(file: Path, key: str) -> None:
    """A third party checks it, with a program that has nothing of Allod."""
    words = [sys.executable, "-I", str(CHECK), str(file), key]
    print(f"   newspaper$ {shown(' '.join(['python', *words[2:-1], key[:60] + '…']))}", flush=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise Failed(f"the evidence was not proven:\n{done.stdout}{done.stderr}")
    print(indent(done.stdout.strip()), flush=True)


def witness(stage: Stage) -> None:
    """The owner begins the log anew, and names a witness; devices ask for its cosignature."""
    directory, port = stage.root / "witness", free_port()
    said = stage.owner.run(
        "witness", "init", directory, "--name", "neighbour.example/1", "--port", str(port)
    )
    key = said.strip().splitlines()[-1]
    with (stage.root / "witness.log").open("ab") as log:
        stage.witness = subprocess.Popen(
            [str(BIN / "allod"), "witness", "serve", str(directory)], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    stage.witness_key, stage.witness_url = key, f"http://127.0.0.1:{port}"
    stage.owner.run("trust", "log", "succeed", "--yes", tell=True)
    for name in ("authority", "activity"):
        stage.owner.run("witness", "add-log", directory, log_key(stage, name))
    stage.owner.run("server", "witness", key, stage.witness_url, stage.server_directory)
    stage.owner.run("trust", "witness", "add", key, "--yes", tell=True)
    for device in stage.devices.values():
        device.poke()
    stage.all_serve("kitchen-1", "kitchen-2", browning=BROWNER)
    for name in stage.devices:
        wait_for(f"{name} has a witnessed log", lambda here=name: not codes(stage, here))
    print("   holds: no device has an alarm or refuses anything", flush=True)


def refused(stage: Stage) -> None:
    """The thief tries it again: the witness refuses, and so does the device."""
    stage.devices[SHOWN_ELSE].cut_power()
    thief = steal(stage)
    browner(stage, NEW_BROWNING)
    browner(stage, LAST_BROWNING)
    stage.all_serve(SEEN, browning=LAST_BROWNING)
    thief.fork(3)
    said = thief.ask(stage.witness_url, stage.witness_key)
    if "refused" not in said:
        raise Failed(f"the witness answered {said} to a fork")
    print(f"   holds: the witness, shown the other log, answers {said}", flush=True)
    show_another(
        stage, thief, lambda: "no-quorum" in codes(stage, SHOWN_ELSE),
        f"{SHOWN_ELSE} refuses a log without its witness",
    )  # fmt: skip
    print(f"   holds: {SHOWN_ELSE} changed nothing and toasts on", flush=True)
    stage.all_serve("kitchen-1", "kitchen-2", browning=LAST_BROWNING)


def audit(stage: Stage) -> None:
    """An audit finds the fork again, and nothing else; and says why the toaster runs as it does."""
    print("   owner$ allod audit verify --scratch", flush=True)
    said = stage.owner.finds("audit", "verify", "--scratch")
    print(indent(said.strip()), flush=True)
    answer = json.loads(stage.owner.finds("audit", "verify", "--scratch", "--json"))
    found = {one["code"] for one in answer["findings"]}
    if found != {"other-history"}:
        raise Failed(f"the audit found {sorted(found)}")
    stage.owner.run("audit", "explain", SEEN, "toaster", tell=True)


ACTS: tuple[Callable[[Stage], None], ...] = (fork, witness, refused, audit)
