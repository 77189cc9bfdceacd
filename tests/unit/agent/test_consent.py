"""Somebody at the device is asked: by command and by socket, bound to what they saw, durably."""

from __future__ import annotations

import json
import os
import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from allod.agent import supervisor_consent
from allod.agent.main import main
from allod.agent.supervisor_inhibit import InhibitorSocket
from allod.agent.supervisor_settings import users
from allod.domain.desired import Restart
from allod.domain.ids import Digest, Purl
from allod.domain.release import Release
from allod.domain.terms import Consent
from allod.testing.device import TOASTER, FakeDevice, Owner
from allod.testing.machine import START

BUTLER = Purl("pkg:generic/acme/butler")
Made = tuple[Release, Digest]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name fits into a socket's."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "state"


@pytest.fixture
def device(place: Path) -> FakeDevice:
    """A device on which 1.0 runs."""
    return FakeDevice(place)


@pytest.fixture
def owner(device: FakeDevice) -> Owner:
    """Its owner, who lets acme decide, with consent."""
    owner = Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.grant("acme", Consent())
    return owner


def asked(device: FakeDevice) -> list[dict[str, Any]]:
    """What is asked now."""
    return supervisor_consent.shown(str(device.state.root))


def order(device: FakeDevice, owner: Owner, version: str, **fields: Any) -> Made:
    """Acme orders a release, and the device hears of it."""
    made = device.publish(version, **fields)
    owner.speak("acme", made)
    device.run(owner.view())
    return made


def command(device: FakeDevice, *words: str) -> int:
    """Run `allod-agent`."""
    verb, *rest = words
    return main([verb, "--state", str(device.state.root), *rest])


def changes(device: FakeDevice) -> list[tuple[str, str]]:
    """All answers that were ever told, and why."""
    return [
        (change["what"], change.get("why", ""))
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] in {"agreed", "declined"}
    ]


def test_what_is_asked_says_all_that_is_known(
    device: FakeDevice, owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anybody agrees: what, who wants it, what it mends, interrupts, and may do newly."""
    second = order(
        device, owner, "1.1", interrupts="toasting", interrupts_seconds=5, mends=("CVE-2026-1",)
    )
    (question,) = asked(device)
    assert question["digest"] == second[1]
    assert (question["version"], question["runs"]) == ("1.1", "1.0")
    assert (question["manager"], question["scope"]) == ("acme", "groups/kitchen")
    assert command(device, "pending") == 0
    said = capsys.readouterr().out
    assert "activate pkg:generic/acme/toaster 1.1 (now 1.0)" in said
    assert "wanted by the delegation acme, for groups/kitchen" in said
    assert "mends, as its provider says: CVE-2026-1" in said
    assert "interrupts: toasting, about 5 s" in said
    (told,) = device.said()[-1]["packages"][0]["pending"]
    assert told["asks"]


def test_an_agreement_is_done_once_and_told_with_who_gave_it(
    device: FakeDevice, owner: Owner
) -> None:
    """The answer, and what was decided by it, are in the signed reports."""
    order(device, owner, "1.1")
    assert command(device, "approve", "toaster") == 0
    device.run(owner.view())
    assert device.version() == "1.1"
    assert asked(device) == []
    ((what, why),) = changes(device)
    assert what == "agreed"
    assert f"user {os.getuid()}" in why
    (activated,) = [
        change for change in device.said()[-1]["changes"] if change["what"] == "activated"
    ]
    assert any("somebody at the device agreed" in r for r in activated["authority"]["reasons"])


def test_a_newer_order_asks_again(device: FakeDevice, owner: Owner) -> None:
    """An agreement to 1.1 is none to 1.2, also when it comes too late."""
    order(device, owner, "1.1")
    (old,) = asked(device)
    assert command(device, "approve") == 0
    order(device, owner, "1.2")
    assert device.version() == "1.0"
    (new,) = asked(device)
    assert new["id"] != old["id"]
    assert command(device, "approve", old["id"]) == 2, "what nobody asks can't be answered"
    assert command(device, "approve", "toaster@1.1") == 2
    assert command(device, "approve", "toaster@1.2") == 0
    device.run(owner.view())
    assert device.version() == "1.2"


def test_declined_is_refused_until_somebody_thinks_again(
    device: FakeDevice, owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported, asked about no more than shown, and may be agreed to after all."""
    order(device, owner, "1.1")
    assert command(device, "decline", "toaster") == 0
    device.run(owner.view())
    device.run(owner.view())
    assert device.version() == "1.0"
    assert "consent-declined" in {one["code"] for one in device.said()[-1]["refusals"]}
    (question,) = asked(device)
    assert question["answered"] == "declined"
    capsys.readouterr()
    assert command(device, "approve", "toaster") == 0
    said = capsys.readouterr().out
    assert "Agreed to" in said
    assert "declined" not in said
    device.run(owner.view())
    assert device.version() == "1.1"
    assert [what for what, _ in changes(device)] == ["declined", "agreed"]


def test_what_was_declined_is_forgotten_with_its_order(device: FakeDevice, owner: Owner) -> None:
    """A newer order is asked about, and the old one is not shown any more."""
    order(device, owner, "1.1")
    assert command(device, "decline") == 0
    device.run(owner.view())
    order(device, owner, "1.2")
    (question,) = asked(device)
    assert (question["version"], question.get("answered", "")) == ("1.2", "")


def test_waiting_for_an_answer_holds_up_nothing_else(device: FakeDevice, owner: Owner) -> None:
    """Another package is updated meanwhile, and what is asked about is installed beside."""
    second = order(device, owner, "1.1")
    assert second[1] in device.hardware.installer.staged(TOASTER)
    owner.deploy(device.publish("3.0", BUTLER))
    device.run(owner.view())
    assert device.version(BUTLER) == "3.0"
    assert device.version() == "1.0"


def test_an_agreement_survives_a_power_cut(device: FakeDevice, owner: Owner) -> None:
    """It is a durable file when the command ends, and durably taken in before that file goes."""
    order(device, owner, "1.1")
    assert command(device, "approve") == 0
    (answer,) = (device.state.consent / "answers").iterdir()
    kept = answer.read_bytes()
    device.run(owner.view())
    assert not answer.exists()
    answer.write_bytes(kept)  # as if the power went before its name was gone
    device.run(owner.view())
    assert [what for what, _ in changes(device)] == ["agreed"], "it is told once"


def test_rubbish_is_no_answer(device: FakeDevice, owner: Owner) -> None:
    """A damaged answer is dropped; the question stands."""
    order(device, owner, "1.1")
    (device.state.consent / "answers" / "1.json").write_bytes(b'{"agrees": tr')
    device.run(owner.view())
    assert device.version() == "1.0"
    assert len(asked(device)) == 1
    assert list((device.state.consent / "answers").iterdir()) == []


def test_answers_are_bounded(device: FakeDevice, owner: Owner) -> None:
    """Nobody fills the disk with answers."""
    order(device, owner, "1.1")
    for _ in range(supervisor_consent.MAX_ANSWERS):
        assert command(device, "decline") == 0
    assert command(device, "decline") == 6


def test_a_restart_is_asked_about_too(device: FakeDevice, owner: Owner) -> None:
    """A delegate's restart under this term waits for somebody as well."""
    night = Restart("night", START, START + timedelta(hours=2))
    owner.write("acme", restarts=(night,))
    device.run(owner.view())
    (question,) = asked(device)
    assert (question["what"], question["package"]) == ("restart", "")
    assert device.hardware.restarter.reasons == []
    assert command(device, "approve") == 0
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1


@contextmanager
def listening(state: Path, allowed: frozenset[int]) -> Iterator[InhibitorSocket]:
    """The supervisor's socket, served by a thread as its loop would."""
    server = InhibitorSocket(str(state), allowed)
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            server.serve(select.select(server.filenos(), [], [], 0.01)[0])

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()
        server.close()


def say(state: Path, line: dict[str, Any]) -> dict[str, Any]:
    """A product's button speaks to the socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(state / "inhibit.socket"))
        link.sendall(json.dumps(line).encode() + b"\n")
        found: dict[str, Any] = json.loads(link.makefile().readline())
        return found


def test_a_products_own_button_answers_by_the_socket(device: FakeDevice, owner: Owner) -> None:
    """It reads what is asked and agrees by its id; the supervisor looks at once."""
    order(device, owner, "1.1")
    with listening(device.state.root, frozenset({os.geteuid()})) as server:
        ((question,),) = say(device.state.root, {"consent": "pending"}).values()
        assert "attempt" not in question
        assert say(device.state.root, {"consent": "approve", "id": "other"}) == {
            "refused": "no-question"
        }
        assert say(device.state.root, {"consent": "approve", "id": question["id"]}) == {
            "answered": True
        }
        assert server.answered
    device.run(owner.view())
    assert device.version() == "1.1"
    ((_, why),) = changes(device)
    assert why == f"user {os.geteuid()}, process {os.getpid()}"


@pytest.mark.parametrize("line", [{"consent": "pending"}, {"consent": "approve", "id": "x"}])
def test_nobody_else_answers_for_the_device(
    device: FakeDevice, owner: Owner, line: dict[str, Any]
) -> None:
    """A service that is updated, or any other user, can neither see nor agree."""
    order(device, owner, "1.1")
    with listening(device.state.root, frozenset()):
        said = {**line, "id": asked(device)[0]["id"]} if "id" in line else line
        assert say(device.state.root, said) == {"refused": "not-allowed"}
    assert list((device.state.consent / "answers").iterdir()) == []


@pytest.mark.parametrize(
    "line", [{"consent": "agree"}, {"consent": "approve"}, {"consent": "approve", "id": 7}, {}]
)
def test_a_line_that_says_nothing_does_nothing(device: FakeDevice, line: dict[str, Any]) -> None:
    """Whatever is sent, the supervisor goes on."""
    with listening(device.state.root, frozenset({os.geteuid()})):
        assert set(say(device.state.root, line)) <= {"refused", "held"}
        assert say(device.state.root, {"consent": "pending"}) == {"pending": []}


def test_users_are_named_or_numbered() -> None:
    """Those who do not exist are nobody."""
    assert users(["root", 7, "nobody-of-that-name", True, None]) == {0, 7}
    assert users("root") == frozenset()


def test_without_a_question_nothing_is_answered(device: FakeDevice, owner: Owner) -> None:
    """The command says so."""
    del owner
    assert command(device, "approve") == 2
    assert command(device, "pending", "--json") == 0
