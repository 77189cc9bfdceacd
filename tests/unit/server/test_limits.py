"""What one caller, or many, cannot use up: rates, rooms, places, memory."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from allod.errors import InvalidInput, Refused, Unavailable
from allod.server.http.messages import Bodies
from allod.server.services import admit_binding, listings, receive_report
from allod.server.services.access import Nonces
from allod.server.services.limits import Locks, Rate
from allod.testing.asgi import ask, exchange
from allod.testing.server import FakeServerClock, ServerRig


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_strangers_use_up_no_devices_share_of_reports(rig: ServerRig) -> None:
    """Whoever knows a device's id cannot silence it with reports that it never signed."""
    device = rig.bound()
    forger = rig.device("forger")
    forged = replace(forger, fleet=rig.fleet)
    for _ in range(2 * rig.settings.reports_a_minute):
        with pytest.raises(Exception, match="cannot accept"):
            rig.server.receive_report(rig.fleet, device.id, forged.report())
    assert rig.server.receive_report(rig.fleet, device.id, device.report()).sequence == 1


def test_strangers_use_up_no_fleets_share_of_bindings(rig: ServerRig, monkeypatch) -> None:
    """Made-up records do not stop real devices from coming in."""
    rig.server.admit_binding._rate = Rate(rig.clock, 2, "binding records")
    for _ in range(5):
        with pytest.raises(InvalidInput):
            rig.server.admit_binding(rig.fleet, b'{"invite":{}}')
    rig.bound()


def test_a_device_that_was_taken_over_fills_no_disk(rig: ServerRig, monkeypatch) -> None:
    """What a device may report in a day is bounded in bytes, and the next day it goes on."""
    monkeypatch.setattr(receive_report, "_ROOM_KIB", 64)
    rig.restart()
    device = rig.bound()
    big = {f"fact{n}": "x" * 1000 for n in range(30)}
    rig.server.receive_report(rig.fleet, device.id, device.report(facts=big))
    with pytest.raises(Unavailable) as caught:
        rig.server.receive_report(rig.fleet, device.id, device.report(facts=big, advance=False))
    assert caught.value.code == "too-many"
    assert "KiB of reports of a device a day" in caught.value.message
    rig.clock.pass_time(days=1)
    rig.server.receive_report(rig.fleet, device.id, device.report(facts=big))


def test_whoever_holds_a_used_invite_fills_no_disk(rig: ServerRig, monkeypatch) -> None:
    """Beyond its uses some records of an invite are kept for the owner to see, and then none."""
    monkeypatch.setattr(admit_binding, "_SURPLUS_KEPT", 2)
    file = rig.simulator.invite(uses=1)

    def come(name: str) -> bool:
        device = rig.device(name)
        return rig.server.admit_binding(rig.fleet, device.bind(file, rig.clock.moment)).surplus

    assert [come(name) for name in ("a", "b", "c")] == [False, True, True]
    with pytest.raises(Refused) as caught:
        come("d")
    assert caught.value.code == "invite-surplus"
    assert come("b") is True, "the same record again still gets its receipt"
    assert rig.server.stores.database.device_count(rig.fleet) == 3


def test_a_lock_is_one_however_many_ask_at_once() -> None:
    """Threads that ask for a new name at the same moment get the same lock."""
    for _ in range(50):
        locks, found = Locks(), set()
        gate = threading.Barrier(8)

        def ask_for(locks=locks, found=found, gate=gate) -> None:
            gate.wait()
            found.add(id(locks.of("x")))

        threads = [threading.Thread(target=ask_for) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 1


def test_one_reader_takes_not_all_places(rig: ServerRig) -> None:
    """Beyond eight polls that wait, those of the same device are answered at once."""
    device = rig.bound()
    app, headers = rig.application, bearer(rig.token(device))
    path = f"/f/{rig.fleet}/news?after=1&wait=60"

    async def scene() -> list[int]:
        waiting = [
            asyncio.create_task(exchange(app, "GET", path, headers=headers)) for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        ninth = await exchange(app, "GET", path, headers=headers)
        assert time.monotonic() - begin < 5
        rig.server.stores.news.announce(rig.fleet, 2)
        others = await asyncio.gather(*waiting)
        return [ninth.status, *(answer.status for answer in others)]

    assert asyncio.run(scene()) == [204] + [200] * 8
    assert app._fleet._waiting == 0
    assert not app._fleet._waits_of


@pytest.mark.parametrize("digits", ["9" * 20, "9" * 5000, "01", "-1", "٣"])
def test_a_poll_may_name_any_number(rig: ServerRig, digits: str) -> None:
    """Numbers of any length and alphabet in a poll by a known token: an answer, and no bug."""
    app, headers = rig.application, bearer(rig.token(rig.bound()))
    assert ask(app, "GET", f"/f/{rig.fleet}/news?after=1", headers=headers).status == 204
    answer = ask(app, "GET", f"/f/{rig.fleet}/news?after={digits}", headers=headers)
    assert answer.status in {204, 200, 422}


def test_many_bodies_at_once_fill_no_memory() -> None:
    """Bodies that come at once share one room; it is whole again when they are gone."""
    bodies = Bodies(30.0, 1000)

    async def one(hold: asyncio.Event, size: int) -> int:
        parts = [b"x" * size, b""]

        async def receive():
            if len(parts) == 1:
                await hold.wait()
            body = parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(parts)}

        return len(await bodies.read({"headers": []}, receive, cap=10_000))

    async def scene() -> None:
        hold = asyncio.Event()
        first = asyncio.create_task(one(hold, 900))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            await one(hold, 200)
        assert caught.value.code == "too-many"
        hold.set()
        assert await first == 900
        assert await one(hold, 1000) == 1000
        assert bodies._held == 0

    asyncio.run(scene())


def test_a_page_of_reports_has_a_size(rig: ServerRig, monkeypatch) -> None:
    """However many large reports there are, an answer stays small, and pages give them all."""
    monkeypatch.setattr(listings, "_PAGE_BYTES", 3000)
    device = rig.bound()
    for _ in range(7):
        rig.server.receive_report(rig.fleet, device.id, device.report(facts={"a": "x" * 1000}))
    found: list[int] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        page = rig.server.listings.reports(rig.fleet, device.id, after, 1000)
        found += [entry.sequence for entry in page.reports]
        after, pages = page.next, pages + 1
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert pages > 1


def test_pages_hold_one_binding(rig: ServerRig) -> None:
    """After a device was bound again its new reports are listed, though they count from one."""
    device = rig.bound()
    for _ in range(5):
        rig.server.receive_report(rig.fleet, device.id, device.report())
    again = device.bind(rig.simulator.invite(id="second"), rig.clock.moment, epoch=2)
    rig.server.admit_binding(rig.fleet, again)
    rig.server.receive_report(rig.fleet, device.id, device.report())
    new = rig.server.listings.reports(rig.fleet, device.id, 0, 2).reports
    assert [(entry.epoch, entry.sequence) for entry in new] == [(2, 1)]
    page = rig.server.listings.reports(rig.fleet, device.id, 0, 3, 1)
    assert [(entry.epoch, entry.sequence) for entry in page.reports] == [(1, 1), (1, 2), (1, 3)]


def test_nonces_that_count_no_more_leave_the_disk(tmp_path) -> None:
    """The file of used nonces does not grow for as long as the server runs."""
    from datetime import UTC, datetime

    clock = FakeServerClock(datetime(2026, 11, 1, tzinfo=UTC))
    nonces = Nonces(tmp_path / "nonces", clock)
    for number in range(50):
        nonces.use("key", f"nonce-{number:016d}", int(clock.seconds()), keep=True)
    clock.pass_time(hours=1)
    nonces.use("key", "nonce-last-0000000", int(clock.seconds()), keep=True)
    assert len((tmp_path / "nonces").read_text().splitlines()) == 1
    (tmp_path / "nonces").write_bytes(b"\xff\xfe torn")
    Nonces(tmp_path / "nonces", clock)


def test_a_full_disk_is_said_so(rig: ServerRig, monkeypatch) -> None:
    """A disk that takes nothing is 'try later', not a bug; nothing was acknowledged."""
    device = rig.bound()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(rig.server.stores.files), "write_new", full)
    path = f"/f/{rig.fleet}/devices/{device.id}/reports"
    answer = ask(rig.application, "POST", path, body=device.report())
    assert (answer.status, answer.json["code"]) == (503, "no-space")
    assert answer.headers["retry-after"] == "60"


def test_claims_of_versions_are_believed_by_a_bounded_step(rig: ServerRig) -> None:
    """Nobody with the right to publish can use the numbers of the online roles up."""
    from allod.wire.api import FloorsUpload

    before = rig.versions["timestamp"]
    rig.server.learn_floors(
        rig.fleet, FloorsUpload(metadata={}, versions={"snapshot": 2**62, "timestamp": 2**62})
    )
    assert before < rig.versions["timestamp"] <= before + 100_001
