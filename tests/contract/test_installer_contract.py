"""What every installer keeps to, whether it is real or a fake."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from allod.agent.installers.tree import TreeInstaller
from allod.agent.ports import Installer
from allod.errors import InvalidInput
from allod.testing.agent import FakeInstaller
from allod.testing.payloads import PACKAGE, Item, payload

ONE = payload([Item("one", b"1")])
TWO = payload([Item("two", b"22")])


@pytest.fixture(params=["tree", "fake"])
def installer(request: pytest.FixtureRequest, tmp_path: Path) -> Installer:
    """Each adapter in turn, empty."""
    return TreeInstaller(tmp_path / "store") if request.param == "tree" else FakeInstaller(tmp_path)


def test_what_is_staged_is_listed_stands_and_measures_whole(installer: Installer) -> None:
    """After stage() the release is listed, its directory is there, and it measures ok."""
    assert installer.staged(PACKAGE) == frozenset()
    installer.stage(PACKAGE, ONE.digest, ONE.release, ONE.open())
    assert installer.staged(PACKAGE) == {ONE.digest}
    assert installer.directory(PACKAGE, ONE.digest).is_dir()
    assert installer.measure(PACKAGE, ONE.digest).ok


def test_releases_stand_side_by_side(installer: Installer) -> None:
    """Two releases have two directories and different measurements."""
    for one in (ONE, TWO):
        installer.stage(PACKAGE, one.digest, one.release, one.open())
    assert installer.staged(PACKAGE) == {ONE.digest, TWO.digest}
    assert installer.directory(PACKAGE, ONE.digest) != installer.directory(PACKAGE, TWO.digest)
    first, second = (installer.measure(PACKAGE, one.digest) for one in (ONE, TWO))
    assert first.digest != second.digest


def test_every_effect_can_be_repeated(installer: Installer) -> None:
    """Staging and unstaging twice are as once."""
    for _ in range(2):
        installer.stage(PACKAGE, ONE.digest, ONE.release, ONE.open())
    before = installer.measure(PACKAGE, ONE.digest)
    assert before.ok
    for _ in range(2):
        installer.unstage(PACKAGE, ONE.digest)
    assert installer.staged(PACKAGE) == frozenset()
    assert not installer.measure(PACKAGE, ONE.digest).ok
    installer.stage(PACKAGE, ONE.digest, ONE.release, ONE.open())
    assert installer.measure(PACKAGE, ONE.digest) == before


def test_a_bad_payload_is_refused_and_leaves_what_is_there(installer: Installer) -> None:
    """A payload that is not what it says is refused as bad-payload; the other release stays."""
    installer.stage(PACKAGE, ONE.digest, ONE.release, ONE.open())
    data = b"bad payload" if isinstance(installer, FakeInstaller) else gzip.compress(b"bad payload")
    bad = payload([], data=data)
    with pytest.raises(InvalidInput) as caught:
        installer.stage(PACKAGE, bad.digest, bad.release, bad.open())
    assert caught.value.code == "bad-payload"
    assert installer.staged(PACKAGE) == {ONE.digest}
