"""A device as a state machine: any order of the owner's words, faults, cuts and restarts.

The model is small: what the owner last wanted of each package, and everything that was ever
lawful. After every run what runs is one of these, whole, and the report says so; once nothing
disturbs any more, the device comes to what is wanted, or says why not.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from allod import durable
from allod.domain.desired import Accepts, ConfigurationOrder, Level, Software, When
from allod.domain.ids import Digest, Purl
from allod.domain.observed import Inhibition
from allod.domain.release import Data
from allod.testing.device import FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk
from allod.testing.machine import START

TOASTER = Purl("pkg:generic/acme/toaster")
BUTLER = Purl("pkg:generic/acme/butler")
packages = st.sampled_from([TOASTER, BUTLER])
seldom = st.sampled_from([False, False, False, True])
often = st.sampled_from([True, True, True, False])
_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112


class DeviceMachine(RuleBasedStateMachine):
    """Rules are what can happen to a device; invariants what must hold whatever does."""

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory(dir=_MEMORY)
        self.quiet = patch.object(os, "fsync", lambda fd: None)
        self.quiet.start()
        self.device = FakeDevice(Path(self.room.name) / "state")
        self.owner = Owner()
        self.made: dict[Purl, list[Any]] = {TOASTER: [], BUTLER: []}
        self.documents: dict[str, Digest | None] = {"default": None}
        self.sick: set[Digest] = set()
        self.ordered: dict[Purl, set[Digest]] = {TOASTER: set(), BUTLER: set()}
        self.lost = False
        for package in (TOASTER, BUTLER):
            for number in (1, 2, 3):
                data = Data(number, tuple(range(1, number + 1))) if package == TOASTER else None
                self.made[package].append(self.device.publish(f"{number}.0", package, data=data))

    def teardown(self) -> None:
        """Remove the disk."""
        self.quiet.stop()
        self.room.cleanup()

    # -- the owner

    @rule(
        package=packages,
        number=st.integers(0, 2),
        when=st.sampled_from([When.NOW, When.RESTART]),
        level=st.sampled_from([Level.ACTIVE, Level.ACTIVE, Level.INSTALLED]),
    )
    def deploy(self, package: Purl, number: int, when: When, level: Level) -> None:
        """The owner orders a release."""
        release, digest = self.made[package][number]
        accepts = Accepts(one_way=frozenset({digest}))
        self.owner.deploy((release, digest), when=when, level=level, accepts=accepts)
        if level is Level.ACTIVE:
            self.ordered[package].add(digest)

    @rule(package=packages, text=st.sampled_from(["default", "one", "two", "sick", "invalid"]))
    def configure(self, package: Purl, text: str) -> None:
        """The owner orders a configuration, not always a good one."""
        digest = None if text == "default" else self.device.publish_document(text.encode())
        self.owner.sign(package, configuration=ConfigurationOrder(digest=digest))

    @rule(package=packages, number=st.integers(0, 2), well=st.booleans(), strike=st.booleans())
    def deploy_and_run(self, package: Purl, number: int, well: bool, strike: bool) -> None:  # noqa: FBT001
        """The shortest way from an order to its end, whatever else stands in the way."""
        self.health(package, number, well)
        self.deploy(package, number, When.NOW, Level.ACTIVE)
        if strike:
            self.disturbed_run(40 + number, Strike.KILL_AFTER)
        else:
            self.run()

    @rule(package=packages)
    def delete(self, package: Purl) -> None:
        """The owner wants it gone."""
        self.owner.sign(package, software=Software())

    @rule(package=packages)
    def forget(self, package: Purl) -> None:
        """Nobody names the package any more."""
        document = self.owner.document()
        rest = {key: entry for key, entry in document.packages.items() if key != package}
        self.owner.replace(document, packages=rest)

    @rule(held=seldom)
    def hold(self, held: bool) -> None:  # noqa: FBT001
        """The owner holds everything, or goes on."""
        self.owner.replace(self.owner.document(), hold="wait" if held else None)

    # -- the world

    @rule(package=packages, number=st.integers(0, 2), well=st.booleans())
    def health(self, package: Purl, number: int, well: bool) -> None:  # noqa: FBT001
        """A release turns out to be sick, or is well again."""
        digest = self.made[package][number][1]
        sick = self.device.hardware.probe.sick
        if well:
            sick.discard(digest)
        else:
            sick.add(digest)

    @rule(online=often)
    def network(self, online: bool) -> None:  # noqa: FBT001
        """It comes and goes."""
        self.device.hardware.source.online = online

    @rule(busy=seldom)
    def inhibit(self, busy: bool) -> None:  # noqa: FBT001
        """Somebody must not be disturbed."""
        holders = [Inhibition("baking", "a cake", START)] if busy else []
        self.device.hardware.inhibitors.holders = holders

    @rule(package=packages)
    def damage(self, package: Purl) -> None:
        """A byte changes behind the agent's back."""
        for name, digest in list(self.device.hardware.installer.trees):
            if name == package:
                self.device.hardware.installer.damage(package, digest)
                break

    @rule()
    def reboot(self) -> None:
        """The machine restarts."""
        self.device.reboot()

    @rule(minutes=st.integers(1, 300))
    def wait(self, minutes: int) -> None:
        """Time passes."""
        self.device.pass_time(minutes=minutes)

    # -- the agent

    @rule()
    def run(self) -> None:
        """One undisturbed run."""
        before = dict(self.device.hardware.services.runs)
        self.device.run(self.owner.view())
        self.check_health(before)
        self.check_report()

    @rule(at=st.integers(1, 150), strike=st.sampled_from(list(Strike)))
    def disturbed_run(self, at: int, strike: Strike) -> None:
        """One run that is struck somewhere, then one that is not."""
        faults = Faults(at, strike)
        before = dict(self.device.hardware.services.runs)
        with contextlib.ExitStack() as stack:
            for name, stand_in in frail_disk(faults).items():
                stack.enter_context(patch.object(durable, name, stand_in))
            with contextlib.suppress(Killed, OSError):
                self.device.run(self.owner.view(), faults)
        self.device.run(self.owner.view())
        self.check_health(before)
        self.check_report()

    @precondition(lambda self: self.device.engine is not None)
    @rule()
    def calm(self) -> None:
        """Nothing disturbs any more, and a good release is ordered: it always comes to run."""
        hardware = self.device.hardware
        hardware.source.online = True
        hardware.inhibitors.holders = []
        hardware.probe.sick.clear()
        self.owner.replace(self.owner.document(), hold=None)
        release, digest = self.made[TOASTER][2]
        self.owner.deploy((release, digest), accepts=Accepts(one_way=frozenset({digest})))
        self.owner.configure(None)
        self.ordered[TOASTER].add(digest)
        for _ in range(3):
            self.device.pass_time(minutes=30)
            self.device.run(self.owner.view())
        assert self.device.runs() == (digest, "default")
        self.check_report()

    # -- what must hold

    @invariant()
    def only_what_was_ordered_runs(self) -> None:
        """Whatever runs, the owner once ordered it active, and its configuration is one of theirs."""
        for package, (digest, text) in self.device.hardware.services.runs.items():
            assert digest in self.ordered[package]
            assert text in {"default", "one", "two", "sick"}

    @invariant()
    def sequences_have_one_content(self) -> None:
        """No sequence was used for two reports."""
        sequences = [report["sequence"] for report in self.device.said()]
        assert len(set(sequences)) == len(sequences)

    def check_health(self, before: dict[Purl, tuple[Digest, str]]) -> None:
        """What is new since `before` has proved its health; else the old would run."""
        for package, runs in self.device.hardware.services.runs.items():
            if runs != before.get(package):
                assert runs[0] not in self.device.hardware.probe.sick
                assert runs[1] != "sick"

    def check_report(self) -> None:
        """What the newest report calls active is what runs."""
        report = self.device.report
        if report is None:
            return
        for entry in report.packages:
            active = [one.digest for one in entry.releases if one.level == "active"]
            runs = self.device.runs(Purl(entry.package))
            assert active == ([] if runs is None else [runs[0]])
            assert entry.state in {"active", "installed", "transferred", "absent", "waiting"}


TestDeviceMachine = DeviceMachine.TestCase
TestDeviceMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
