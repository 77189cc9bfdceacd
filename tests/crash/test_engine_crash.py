"""Every call of every port, and of the durable writes, fails once before and once after its effect.

For each scenario the calls are counted in an undisturbed run. Then, for every call and every kind
of strike, the run is disturbed there, the agent starts again, and these invariants
must hold: what runs is the old or the new, whole, with its own configuration and readable data;
reports form a chain in which no sequence carries two contents; the report equals reality; and
the next good change succeeds.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from allod import durable
from allod.domain.desired import Level, PackageEntry, Restart, Software, When
from allod.domain.ids import Digest, Purl, sha256
from allod.domain.release import Apply, ConfigurationSpec, Data
from allod.testing.device import TOASTER, FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk
from allod.testing.machine import START

BUTLER = Purl("pkg:generic/acme/butler")
Configured = dict[Purl, set[tuple[Digest, str] | None]]


@dataclass
class Scene:
    """A device, its owner, and what may lawfully run of each package from now on."""

    device: FakeDevice
    owner: Owner
    lawful: Configured
    reboots: bool = False  #: whether the machine restarts again and again


def _installed(place: Path) -> Scene:
    """Version 1 runs, with data."""
    device, owner = FakeDevice(place / "state"), Owner()
    first = device.publish("1.0", data=Data(1, (1,)))
    owner.deploy(first)
    device.run(owner.view())
    assert device.version() == "1.0"
    return Scene(device, owner, {TOASTER: {(first[1], "default")}})


def transfer_only(place: Path) -> Scene:
    """A release is only transferred."""
    scene = _installed(place)
    second = scene.device.publish("2.0", data=Data(1, (1,)))
    current = scene.owner.document().packages[TOASTER].software
    assert current is not None
    scene.owner.deploy(second, level=Level.TRANSFERRED)
    orders = scene.owner.document().packages[TOASTER].software
    assert orders is not None
    scene.owner.sign(software=Software(releases=(*current.releases, *orders.releases)))
    return scene


def first_activation(place: Path) -> Scene:
    """A release is transferred, installed and activated on an empty device."""
    device, owner = FakeDevice(place / "state"), Owner()
    first = device.publish("1.0", data=Data(1, (1,)))
    owner.deploy(first)
    return Scene(device, owner, {TOASTER: {None, (first[1], "default")}})


def upgrade(place: Path) -> Scene:
    """Version 2 with a new data schema and a configuration replaces version 1."""
    scene = _installed(place)
    second = scene.device.publish("2.0", data=Data(2, (1, 2)))
    document = scene.device.publish_document(b"two")
    scene.owner.deploy(second)
    scene.owner.configure(document)
    scene.lawful[TOASTER] |= {(second[1], "two")}
    return scene


def failed_upgrade(place: Path) -> Scene:
    """Version 2 fails its health check, and goes back with configuration and data."""
    scene = upgrade(place)
    scene.device.hardware.probe.sick.add(
        next(digest for digest, text in scene.lawful[TOASTER] if text == "two")  # type: ignore[misc]
    )
    return scene


def at_restart(place: Path) -> Scene:
    """Version 2 is prepared; the machine restarts; it is activated."""
    scene = _installed(place)
    second = scene.device.publish("2.0", data=Data(2, (1, 2)))
    scene.owner.deploy(second, when=When.RESTART)
    scene.device.run(scene.owner.view())
    assert scene.device.version() == "1.0"
    scene.device.reboot()
    scene.reboots = True
    scene.lawful[TOASTER] |= {(second[1], "default")}
    return scene


def arming(place: Path) -> Scene:
    """Version 2 is prepared for the next restart."""
    scene = _installed(place)
    scene.owner.deploy(scene.device.publish("2.0", data=Data(2, (1, 2))), when=When.RESTART)
    return scene


def configure(place: Path) -> Scene:
    """A configuration is applied by restart."""
    scene = _installed(place)
    scene.owner.configure(scene.device.publish_document(b"new"))
    scene.lawful[TOASTER] |= {(digest, "new") for digest, _ in _some(scene)}
    return scene


def reload(place: Path) -> Scene:
    """A configuration is applied by reload, and fails its health check."""
    device, owner = FakeDevice(place / "state"), Owner()
    spec = ConfigurationSpec(schema={}, apply=Apply.RELOAD)
    first = device.publish("1.0", configuration=spec)
    owner.deploy(first)
    device.run(owner.view())
    owner.configure(device.publish_document(b"sick"))
    return Scene(device, owner, {TOASTER: {(first[1], "default"), (first[1], "sick")}})


def together(place: Path) -> Scene:
    """Two packages go together; one of them is sick, so both go back."""
    scene = _installed(place)
    device, owner = scene.device, scene.owner
    owner.deploy(device.publish("1.0", BUTLER))
    device.run(owner.view())
    butler = device.runs(BUTLER)
    second, other = device.publish("2.0", data=Data(1, (1,))), device.publish("2.0", BUTLER)
    device.hardware.probe.sick.add(other[1])
    owner.deploy(second, together=(BUTLER,))
    owner.deploy(other, together=(TOASTER,))
    scene.lawful[TOASTER] |= {(second[1], "default")}
    scene.lawful[BUTLER] = {butler, (other[1], "default")}
    return scene


def delete(place: Path) -> Scene:
    """Everything of the package is deleted."""
    scene = _installed(place)
    scene.owner.sign(software=Software())
    scene.lawful[TOASTER] |= {None}
    return scene


def heal(place: Path) -> Scene:
    """A changed byte in the store is healed."""
    scene = _installed(place)
    ((digest, _),) = _some(scene)
    scene.device.hardware.installer.damage(TOASTER, digest)
    return scene


def undo_with_data(place: Path) -> Scene:
    """The owner goes back to version 1, whose data are put back from their copy."""
    scene = upgrade(place)
    scene.device.run(scene.owner.view())
    assert scene.device.version() == "2.0"
    ((first, _),) = [one for one in _some(scene) if one[1] == "default"]
    release = scene.device.hardware.source.descriptions[first]
    scene.owner.deploy((release, first))
    scene.lawful[TOASTER] |= {(first, "two")}
    return scene


def ordered_restart(place: Path) -> Scene:
    """The owner orders a restart of the machine."""
    scene = _installed(place)
    document = scene.owner.document()
    order = Restart("restart-1", START, START + timedelta(minutes=5))
    scene.owner.replace(document, restarts=(order,))
    return scene


def _some(scene: Scene) -> list[tuple[Digest, str]]:
    return [one for one in scene.lawful[TOASTER] if one is not None]


SCENARIOS: list[Callable[[Path], Scene]] = [
    transfer_only,
    first_activation,
    upgrade,
    failed_upgrade,
    arming,
    at_restart,
    configure,
    reload,
    together,
    delete,
    heal,
    undo_with_data,
    ordered_restart,
]


def check_invariants(scene: Scene) -> None:
    """What must hold whenever the agent came to rest."""
    device = scene.device
    for package, lawful in scene.lawful.items():
        assert device.runs(package) in lawful, f"{package} runs what nobody ordered whole"
    assert device.engine is not None
    for package in device.engine.bench.journals.packages():
        number = device.engine.bench.activations.number(package)
        assert (number is None) == (device.runs(package) is None)
    check_reports(device)


def check_reports(device: FakeDevice) -> None:
    """The chain is whole, no sequence has two contents, and the newest report equals reality."""
    said = sorted(device.said(), key=lambda report: report["sequence"])
    sequences = [report["sequence"] for report in said]
    assert len(set(sequences)) == len(sequences), "one sequence carries two contents"
    heads = {None, *(digest_of(device, report) for report in said if report["kind"] == "change")}
    assert all(report.get("previous") in heads for report in said)
    for entry in said[-1]["packages"]:
        active = [one["digest"] for one in entry["releases"] if one["level"] == "active"]
        runs = device.runs(Purl(entry["package"]))
        assert active == ([] if runs is None else [runs[0]]), "the report is not what runs"


def told(device: FakeDevice) -> Counter[tuple[str, str, str]]:
    """How often each change that came to its end was told."""
    kinds = {"transferred", "installed", "activated", "configured", "deactivated", "deleted"}
    return Counter(
        (change["what"], change["package"], change.get("after", ""))
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] in kinds and change["outcome"] == "done"
    )


def digest_of(device: FakeDevice, report: dict[str, object]) -> str:
    """The digest of a report's payload as it was handed in."""
    (payload,) = [
        envelope.partition(b"\n")[2]
        for envelope in device.server
        if f'"sequence":{report["sequence"]},'.encode() in envelope
    ]
    return sha256(payload)


def disturb(scene: Scene, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run that is struck somewhere."""
    with monkeypatch.context() as patch:
        for name, stand_in in frail_disk(faults).items():
            patch.setattr(durable, name, stand_in)
        with contextlib.suppress(Killed, OSError):
            scene.device.run(scene.owner.view(), faults)


def settle(scene: Scene) -> None:
    """The agent starts again, as often as its supervisor would start it."""
    for _ in range(3):
        scene.device.pass_time(minutes=10)
        if scene.reboots:
            scene.device.reboot()
        scene.device.run(scene.owner.view())


#: A kill after one call leaves the same as a kill before the next one.
STRIKES = [Strike.ERROR_BEFORE, Strike.ERROR_AFTER, Strike.KILL_BEFORE]


@dataclass
class Trial:
    """One scenario: its undisturbed run, and disturbed ones to compare with it."""

    scenario: Callable[[Path], Scene]
    directory: Path
    patch: pytest.MonkeyPatch
    counted: Faults = field(init=False)
    end: dict[Purl, str | None] = field(init=False)
    said: Counter[tuple[str, str, str]] = field(init=False)
    restarts: int = field(init=False)

    def __post_init__(self) -> None:
        whole = self.scenario(self.directory / "whole")
        self.counted = Faults(look=lambda: left_behind(whole.device))
        disturb(whole, self.counted, self.patch)
        settle(whole)
        check_invariants(whole)
        self.end = versions(whole)
        self.said = told(whole.device)
        self.restarts = len(whole.device.hardware.restarter.reasons)
        assert self.counted.calls

    def strike(self, at: int, strike: Strike) -> None:
        """Strike one call; the agent starts again, and everything must hold."""
        scene = self.scenario(self.directory / f"{at} {strike}")
        faults = Faults(at, strike)
        disturb(scene, faults, self.patch)
        try:
            settle(scene)
            check_invariants(scene)
            assert versions(scene) == self.end, "it did not come to the same end"
            assert told(scene.device) == self.said, "a change was told twice, or never"
            restarts = len(scene.device.hardware.restarter.reasons)
            assert restarts <= self.restarts, "a restart was repeated"
            next_good_change(scene)
        except Exception as error:
            error.add_note(f"struck: call {at}, {faults.struck}, {strike}")
            raise


def left_behind(device: FakeDevice) -> object:
    """What a kill leaves: the names and the age of all files, and the device around them."""
    files = [
        (path, found.st_ino, found.st_mtime_ns)
        for path in sorted(device.state.root.rglob("*"))
        if not path.is_symlink()
        for found in [path.stat()]
    ]
    links = [(p, p.readlink()) for p in device.state.root.rglob("*") if p.is_symlink()]
    ports = device.hardware.ports()
    around = [pickle.dumps(ports[name]) for name in ports if name not in {"clock", "probe"}]
    return files, links, around, len(device.server)


def versions(scene: Scene) -> dict[Purl, str | None]:
    """What runs of each package."""
    return {package: scene.device.version(package) for package in scene.lawful}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, marks=pytest.mark.slow) if scenario is together else scenario
        for scenario in SCENARIOS
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_a_kill_at_every_moment(
    scenario: Callable[[Path], Scene], swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the power is cut, the device ends at old or new, says so, and can go on.

    Every moment that leaves something else than the one before is tried: after each effect of a
    port or of a durable write, and before the next.
    """
    trial = Trial(scenario, swift_directory, monkeypatch)
    assert trial.counted.telling
    for at in trial.counted.telling:
        trial.strike(at, Strike.KILL_BEFORE)


@pytest.mark.parametrize(
    "strike", [Strike.ERROR_BEFORE, pytest.param(Strike.ERROR_AFTER, marks=pytest.mark.slow)]
)
def test_every_kind_of_call_may_fail_once(
    strike: Strike, swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of each port, and each durable write, reports a failure without and with effect.

    Here the first one of each name; `test_every_call_may_fail_once` strikes them all.
    """
    struck: set[str] = set()
    for scenario in (failed_upgrade, undo_with_data, delete, reload, heal, ordered_restart):
        trial = Trial(scenario, swift_directory / scenario.__name__, monkeypatch)
        for at, name in enumerate(trial.counted.calls, 1):
            if name not in struck:
                struck.add(name)
                trial.strike(at, strike)
    ports = {name.partition(".")[0] for name in struck}
    assert {"FakeSource", "FakeInstaller", "FakeServices", "FakeProbe", "FakeRenderer"} <= ports
    assert {"FakeSnapshots", "FakeRestarter", "FakeKey", "Transport", "FakeInhibitors"} <= ports


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_call_may_fail_once(
    scenario: Callable[[Path], Scene],
    strike: Strike,
    swift_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever one call is struck, the device ends at old or new, says so, and can go on."""
    trial = Trial(scenario, swift_directory, monkeypatch)
    for at in range(1, len(trial.counted.calls) + 1):
        trial.strike(at, strike)


def next_good_change(scene: Scene) -> None:
    """The next good change always succeeds."""
    good = scene.device.publish("9.0", data=Data(9, (1, 2, 9)))
    document = scene.device.publish_document(b"good")
    entry = scene.owner.document().packages.get(TOASTER, PackageEntry())
    scene.owner.sign(together=())
    if BUTLER in scene.owner.document().packages:
        scene.owner.sign(BUTLER, together=())
    assert entry is not None
    scene.owner.deploy(good)
    scene.owner.configure(document)
    scene.device.run(scene.owner.view())
    assert scene.device.runs() == (good[1], "good")
    check_reports(scene.device)
