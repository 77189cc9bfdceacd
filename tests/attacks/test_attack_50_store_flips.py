"""Attack 50: bits flip in what is stored: found before use, healed from the other copy."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from allod.agent.acquire import RegistrySource
from allod.agent.installers.tree import TreeInstaller
from allod.agent.transfer import Blobs
from allod.domain.ids import ProviderName
from allod.domain.observed import Facts
from allod.errors import AllodError
from allod.testing.machine import FakeClock
from allod.testing.payloads import PACKAGE, Item, directory, link, payload
from allod.testing.registry import FLEET, Publisher

RELEASE = payload(
    [
        directory("d"),
        Item("d/a", bytes(range(256)) * 40),
        Item("b", b"x" * 5000, 0o755),
        link("l", "d/a"),
    ]
)


def flip(path: Path, dice: random.Random) -> None:
    """One bit somewhere in the file."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    path.chmod(mode)


def test_attack_50_every_flip_in_the_store_is_measured_and_healed(tmp_path: Path) -> None:
    """200 flips, one at a time, anywhere below the release (manifest too): each found, each healed."""
    installer = TreeInstaller(tmp_path / "store")
    dice = random.Random(50)
    installer.stage(PACKAGE, RELEASE.digest, RELEASE.release, RELEASE.open())
    home = installer.directory(PACKAGE, RELEASE.digest).parent
    for _ in range(200):
        files = sorted(path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
        flip(dice.choice(files), dice)
        assert not installer.measure(PACKAGE, RELEASE.digest).ok
        installer.stage(PACKAGE, RELEASE.digest, RELEASE.release, RELEASE.open())
        assert installer.measure(PACKAGE, RELEASE.digest).ok


def test_attack_50_a_flip_in_a_kept_payload_never_reaches_the_store(tmp_path: Path) -> None:
    """A flipped bit in any kept blob: nothing wrong is staged, and the next fetch mends it."""
    acme = Publisher()
    order = acme.push(RELEASE)
    device = RegistrySource(
        acme.transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName("acme"): acme.document},
        fitness=Facts,
        clock=FakeClock(),
    )
    dice = random.Random(51)
    clean = None
    for attempt in range(40):
        release = device.describe(PACKAGE, order)
        device.fetch(PACKAGE, order.digest, bandwidth=None)
        installer = TreeInstaller(tmp_path / f"store{attempt}")
        flip(dice.choice(sorted((tmp_path / "blobs/sha256").iterdir())), dice)
        try:
            with device.open(PACKAGE, order.digest) as layers:
                installer.stage(PACKAGE, order.digest, release, layers)
        except AllodError as error:
            assert error.code in {"damaged-payload", "not-described"}  # noqa: PT017
            assert installer.staged(PACKAGE) == frozenset()
        else:
            clean = clean or installer.measure(PACKAGE, order.digest).digest
            assert installer.measure(PACKAGE, order.digest).digest == clean
    installer = TreeInstaller(tmp_path / "store")
    release = device.describe(PACKAGE, order)
    device.fetch(PACKAGE, order.digest, bandwidth=None)
    try:
        with device.open(PACKAGE, order.digest) as layers:
            installer.stage(PACKAGE, order.digest, release, layers)
    except AllodError:
        device.fetch(PACKAGE, order.digest, bandwidth=None)
        with device.open(PACKAGE, order.digest) as layers:
            installer.stage(PACKAGE, order.digest, release, layers)
    assert installer.measure(PACKAGE, order.digest).digest == clean


@pytest.mark.parametrize("seed", range(5))
def test_attack_50_a_flipped_record_is_no_release(tmp_path: Path, seed: int) -> None:
    """A flip in the note of what was verified: read as missing, never as another release."""
    acme = Publisher()
    order = acme.push(RELEASE)
    device = RegistrySource(
        acme.transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName("acme"): acme.document},
        fitness=Facts,
        clock=FakeClock(),
    )
    device.describe(PACKAGE, order)
    flip(
        tmp_path / "packages/generic~acme~toaster/releases" / order.digest[7:], random.Random(seed)
    )
    assert device.described(PACKAGE, order.digest) in {None, RELEASE.release}
    assert device.describe(PACKAGE, order) == RELEASE.release
