"""Attacks 47 and 48 on a whole device: power cuts and a failing disk, at every durable write.

`tests/crash` strikes every call of every port in many scenarios; here one change is driven through
all its writes by the two kinds of attack as the catalogue names them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest

from allod import durable
from allod.testing.device import FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk


def _struck(
    place: Path, at: int, strike: Strike, number: int, patch: pytest.MonkeyPatch
) -> tuple[FakeDevice, Faults, str]:
    device, owner = FakeDevice(place / "state"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.deploy(device.publish("2.0"))
    faults = Faults(at, strike, lambda: OSError(number, "injected"))
    with patch.context() as disk:
        for name, stand_in in frail_disk(faults).items():
            disk.setattr(durable, name, stand_in)
        with contextlib.suppress(Killed, OSError):
            device.run(owner.view())
    between = device.version() or ""
    for _ in range(3):
        device.pass_time(minutes=10)
        device.run(owner.view())
    return device, faults, between


def _all(place: Path, strike: Strike, number: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", lambda fd: None)  # only the order of writes matters here
    _, counted, _ = _struck(place / "0", 0, strike, number, patch)
    assert len(counted.calls) > 20
    for at in range(1, len(counted.calls) + 1):
        device, faults, _ = _struck(place / str(at), at, strike, number, patch)
        assert device.version() == "2.0", faults.struck
        (entry,) = device.said()[-1]["packages"]
        active = [one["version"] for one in entry["releases"] if one["level"] == "active"]
        assert active == ["2.0"], faults.struck


@pytest.mark.parametrize(
    "strike", [Strike.KILL_BEFORE, pytest.param(Strike.KILL_AFTER, marks=pytest.mark.slow)]
)
def test_attack_47_power_cut_at_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strike: Strike
) -> None:
    """Old or new after every cut, and the change comes to its end."""
    _all(tmp_path, strike, 0, monkeypatch)


@pytest.mark.parametrize(
    "number",
    [
        errno.EIO,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (errno.ENOSPC, errno.EROFS)),
    ],
)
def test_attack_48_a_disk_that_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """EIO, ENOSPC, EROFS at any write: a clean abort, and the next try succeeds."""
    _all(tmp_path, Strike.ERROR_BEFORE, number, monkeypatch)


def test_attack_48_a_disk_that_stays_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be written, what runs runs on; then the change happens."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.deploy(device.publish("2.0"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as disk:
        for name in ("write_atomic", "make_directory", "switch_link", "remove_file"):
            disk.setattr(durable, name, refuse)
        for _ in range(3):
            with contextlib.suppress(OSError):
                device.run(owner.view())
            assert device.version() == "1.0"
    device.run(owner.view())
    assert device.version() == "2.0"
