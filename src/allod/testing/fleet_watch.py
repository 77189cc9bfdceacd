"""Whoever watches a simulated fleet: writes the trace, asks the oracle, and notes what was unlawful."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from allod.agent.acceptance import Acceptance
from allod.agent.journal import JournalStore
from allod.domain.ids import Digest, Purl
from allod.domain.machine import BETWEEN
from allod.errors import AllodError
from allod.testing.faults import Faults, Killed
from allod.testing.fleet_gates import lawful_gates
from allod.testing.fleet_oracle import Oracle
from allod.testing.fleet_reading import Memory, Running, Stint, Word
from allod.testing.fleet_wares import PACKAGES
from allod.testing.fleet_words import Known
from allod.testing.fleet_world import FleetWorld, Member
from allod.tlog.known import parse_known
from allod.tlog.merkle import leaf_hash, range_over
from allod.trust.floors import Floors

_NEVER: Final = frozenset({"floors-damaged", "binding-damaged"})  #: no fault here explains these


@dataclass(slots=True)
class Watcher:
    """Watches every device of a world.

    Attributes:
        trace: what happened, line by line; the same seed gives the same lines.
        violations: what should never happen.
        made: how many changes were judged and found lawful, by kind.
    """

    world: FleetWorld
    trace: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    _trial: dict[tuple[str, str], Running] = field(default_factory=dict)
    _floors: dict[str, Floors] = field(default_factory=dict)
    _rough: set[str] = field(default_factory=set)  #: devices on which something failed lately
    _stored: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    _removable: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Be told of every change on every device."""
        for name, member in self.world.members.items():
            member.device.told = partial(self._told, name)
            self._floors[name] = member.device.floors
            self._stored[name] = set()

    @property
    def digest(self) -> str:
        """Of the whole trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.world.now:%m-%d %H:%M} {text}")

    def blame(self, name: str, text: str) -> None:
        """Something that should never happen."""
        self.note(f"{name} VIOLATION {text}")
        self.violations.append(f"{name}: {text}")

    # A run

    def run(self, name: str, faults: Faults | None = None) -> None:
        """One run of a device's worker, watched."""
        member = self.world.members[name]
        member.memory.boot = member.device.hardware.clock.boot
        if faults is not None:
            self._rough.add(name)
        looked: list[Acceptance] = []

        def look(found: Acceptance) -> None:
            looked.append(found)
            self._looked(name, member, found)

        try:
            member.device.run(faults, look)
        except Killed as killed:
            self.note(f"{name} killed at {killed}")
            self._interrupted(name, member, looked=bool(looked))
            return
        except AllodError as error:
            self.note(f"{name} failed {error.code}")
            if error.code in _NEVER:
                self.blame(name, f"it came to {error.code}")
            self._interrupted(name, member, looked=bool(looked))
            return
        except OSError:
            self.note(f"{name} the disk failed")
            self._interrupted(name, member, looked=bool(looked))
            return
        self._settle(name, member)

    def _interrupted(self, name: str, member: Member, *, looked: bool) -> None:
        """What was allowed when it was cut may be brought to its end when it starts again."""
        if looked and member.memory.known is not None:
            oracle = self._oracle(member.memory)
            for package in PACKAGES:
                found = oracle.allowed(package)
                trial = self._trial.get((name, package))
                member.memory.begun.setdefault(package, set()).update(found)
                if trial is not None:
                    member.memory.begun[package].add(trial)
            self._removable.setdefault(name, set()).update(
                one for one in self._stored[name] if not oracle.may_delete(*one)
            )
        self._check_floors(name, member)

    def _oracle(self, memory: Memory) -> Oracle:
        return Oracle(self.world.book, memory)

    # What it accepted

    def _looked(self, name: str, member: Member, found: Acceptance) -> None:
        memory = member.memory
        if found.fresh and found.view is not None:
            self._accepted(name, member)
        elif memory.known is not None:
            now = max(member.device.now, memory.known.decided)
            memory.known = replace(memory.known, decided=now)
        code = "" if found.failure is None else found.failure.code
        self.note(f"{name} looked {'fresh' if found.fresh else 'stands'} {code}".rstrip())
        if memory.known is not None:
            self._remember(memory)

    def _accepted(self, name: str, member: Member) -> None:
        """What the device takes for the newest: by its own floors, looked up in the truth."""
        memory, floors = member.memory, member.device.floors
        files = member.device.transport.source.files
        now = max(member.device.now, floors.time)
        memory.gates |= {
            (parts[1], int(parts[2].removesuffix(".json")))
            for parts in (path.split("/") for path in files if path.startswith("gates/"))
        }
        memory.known = Known(
            self._newest(name, member, floors),
            now,
            channels={channel: one.digest for channel, one in floors.channels.items()},
            gates=lawful_gates(self.world, memory),
            witnessed=self._witnessed(name, files),
        )

    def _witnessed(self, name: str, files: Mapping[str, bytes]) -> datetime | None:
        """When the witnesses of the honest log vouched for what the device was shown."""
        log = self.world.sim.log
        if log is None or not log.witnesses:
            return None
        seen = self.world.cosigned.get(files.get(f"{log.prefix}/checkpoint", b""))
        if seen is None:
            self.blame(name, "accepted a history that no witness ever saw")
        return seen

    def _newest(self, name: str, member: Member, floors: Floors) -> dict[str, str]:
        """4. With an honest log nothing but the newest that counts is accepted."""
        known = dict(floors.digests)
        for role, version in self._logged(floors).items():
            accepted = floors.roles.get(role, version)
            if accepted == version:
                continue
            if role.startswith("delegation-"):
                known.pop(role)  # it was withheld: the delegate has no word
            elif role in {"targets", "devices", member.memory.own_role}:
                self.blame(name, f"accepted {role} {accepted}, the log has {version}")
        return known

    def _logged(self, floors: Floors) -> Mapping[str, int]:
        """Role -> the newest version that counts in the log as the device has seen it."""
        log = self.world.sim.log
        if log is None or log.origin not in floors.logs:
            return {}
        signed = parse_known(floors.logs[log.origin].encode()).signed
        past = [size for size in self.world.sizes if size <= signed.size]
        honest = range_over(map(leaf_hash, log.entries[: signed.size])).root()
        if not past or signed.size > len(log.entries) or signed.root != honest:
            return {}
        return self.world.sizes[max(past)]

    def _remember(self, memory: Memory) -> None:
        """When a release was wanted here for the first time, and in which boot."""
        oracle = self._oracle(memory)
        wanted: dict[str, int] = {}
        for package in PACKAGES:
            word = oracle.word(package)
            for wish in () if word is None else word.wishes:
                memory.seen.setdefault(wish.digest, oracle.now)
            for target, _ in oracle.targets(package):
                key = f"{package}|{target[0]}|{target[1]}"
                wanted[key] = memory.boots.get(key, memory.boot)
        memory.boots = wanted

    # What it did

    def _told(self, name: str, kind: str, package: str, digest: str | None) -> None:
        member = self.world.members[name]
        handlers = {
            "runs": self._runs,
            "transferred": self._came,
            "installed": self._came,
            "removed": self._went,
            "restarted": self._restarted,
        }
        handlers[kind](name, member, kind, package, digest)

    def _count(self, kind: str) -> None:
        self.made[kind] = self.made.get(kind, 0) + 1

    def _shown(self, digest: str | None) -> str:
        ware = self.world.book.wares.get(digest or "")
        return "nothing" if ware is None else f"{ware.package.rpartition('/')[2]} {ware.version}"

    def _configured(self, text: str) -> str | None:
        for digest, known in self.world.shop.documents.items():
            if known == text:
                return digest
        return None if text == "default" else f"unknown: {text}"

    def _runs(self, name: str, member: Member, kind: str, package: str, digest: str | None) -> None:
        del kind
        release, text = member.device.runs()[package]
        found: Running = (release, self._configured(text))
        memory = member.memory
        standing, trial = memory.standing.get(package), self._trial.get((name, package))
        if found in {standing, trial}:
            if found == standing and trial is not None:
                self._went_back(name, package, found)
            return
        if trial is not None:
            memory.standing[package] = trial
        self._judge(name, member, package, found)
        self._trial[name, package] = found

    def _went_back(self, name: str, package: str, found: Running) -> None:
        """12 to 14. Only what fails goes back."""
        trial = self._trial.pop((name, package))
        ware = self.world.book.wares.get(trial[0] or "")
        self.note(f"{name} went back to {self._shown(found[0])}")
        if (ware is None or not ware.sick) and name not in self._rough:
            self.blame(name, f"went back from {self._shown(trial[0])} for no reason")

    def _judge(self, name: str, member: Member, package: str, found: Running) -> None:
        memory = member.memory
        what = f"{package.rpartition('/')[2]} to {self._shown(found[0])} ({str(found[1])[7:11]})"
        if found in memory.begun.get(package, ()):
            self.note(f"{name} brought to its end: {what}")
            return
        if memory.known is None:
            self.blame(name, f"changed {what} before it knew anything")
            return
        oracle = self._oracle(memory)
        if found not in oracle.allowed(package):
            why = {
                str(target[0])[7:11]: oracle.objections(package, target, when)
                for target, when in oracle.targets(package)
            }
            self.blame(name, f"changed {what}; the oracle: {why or 'nobody wants anything'}")
            return
        self._changed(oracle, package, found)
        self.note(f"{name} changed {what}")

    def _changed(self, oracle: Oracle, package: str, found: Running) -> None:
        memory = oracle.memory
        same = found[0] == memory.standing.get(package, (None, None))[0]
        word = oracle.config_word(package) if same else oracle.word(package)
        manager = "" if word is None else word.manager
        memory.changed.setdefault(package, []).append((manager, oracle.now))
        self._count("configured" if same else "stopped" if found[0] is None else "activated")
        if manager not in {"", "owner"}:
            shelf = isinstance(word, Word) and word.shelf is not None
            self._count("by a channel" if shelf else "by a delegate")

    def _came(self, name: str, member: Member, kind: str, package: str, digest: str | None) -> None:
        place = (package, digest or "")
        if kind == "installed":
            if place in self._stored[name]:
                return
            self._stored[name].add(place)
            if name in self._rough:  # what comes while something fails may be taken back
                self._removable.setdefault(name, set()).add(place)
        if member.memory.known is None:
            self.blame(name, f"{kind} {self._shown(digest)} before it knew anything")
            return
        verb = "transfer" if kind == "transferred" else "install"
        why = self._oracle(member.memory).may_have(package, digest or "", verb)
        if why:
            self.blame(name, f"{kind} {self._shown(digest)} against {why}")
        else:
            self._count(kind)
            self.note(f"{name} {kind} {self._shown(digest)}")

    def _went(self, name: str, member: Member, kind: str, package: str, digest: str | None) -> None:
        place = (package, digest or "")
        if place not in self._stored[name]:
            return
        self._stored[name].remove(place)
        if place in self._removable.get(name, ()):
            return
        runs = member.device.runs().get(package)
        if runs is None:
            self._stopped(name, member, package)
        why = self._oracle(member.memory).may_delete(package, digest or "")
        if runs is not None and runs[0] == digest:
            why = [*why, "it runs"]
        if why:
            self.blame(name, f"{kind} {self._shown(digest)} against {why}")
        else:
            self._count(kind)
            self.note(f"{name} {kind} {self._shown(digest)}")

    def _stopped(self, name: str, member: Member, package: str) -> None:
        """Nothing of it runs any more, and on purpose."""
        nothing: Running = (None, None)
        standing = member.memory.standing.get(package, nothing)
        if nothing not in {standing, self._trial.get((name, package))}:
            self._judge(name, member, package, nothing)
            self._trial[name, package] = nothing

    def _restarted(
        self, name: str, member: Member, kind: str, package: str, digest: str | None
    ) -> None:
        del package, digest
        why = self._oracle(member.memory).may_restart()
        if why:
            self.blame(name, f"restarted against {why}")
        else:
            self._count(kind)
            self.note(f"{name} restarted")

    # How a run ended

    def _settle(self, name: str, member: Member) -> None:
        """What runs now stands; it is the old or the new, and whole."""
        journals = JournalStore(member.device.state)
        for package in PACKAGES:
            work = journals.load(Purl(package)).work
            if work is not None and work.state in BETWEEN:
                self.note(f"{name} still at {work.state}")
                continue
            self._stands(name, member, package)
        self._removable[name] = set()
        self._rough.discard(name)
        self._check_floors(name, member)

    def _stands(self, name: str, member: Member, package: str) -> None:
        memory = member.memory
        runs = member.device.runs().get(package)
        final: Running = (None, None) if runs is None else (runs[0], self._configured(runs[1]))
        standing = memory.standing.get(package, (None, None))
        trial = self._trial.get((name, package))
        if trial is not None and final == standing:
            self._went_back(name, package, final)
        elif final != (trial or standing):
            memory.standing[package] = trial or standing
            self._judge(name, member, package, final)
        self._trial.pop((name, package), None)
        memory.standing[package] = final
        memory.ran.setdefault(package, set()).add(final[0] or "")
        now = member.device.now if memory.known is None else memory.known.decided
        stint = memory.stints.get(package)
        since = now if stint is None or stint.release != final[0] else stint.since
        memory.stints[package] = Stint(final[0], since, now)
        place = (package, final[0] or "")
        lasted = (now - since).total_seconds()
        memory.longest[place] = max(memory.longest.get(place, 0.0), lasted)
        memory.begun.pop(package, None)
        if final[0] is not None:
            digest = Digest(final[0])
            whole = member.device.hardware.installer.measure(Purl(package), digest).ok
            if not whole:
                self.blame(name, f"{self._shown(digest)} runs and is not whole")
            if self.world.book.wares[digest].sick:
                self.blame(name, f"{self._shown(digest)} is sick and stays")

    def _check_floors(self, name: str, member: Member) -> None:
        """5. Floors never fall, and no time floor is ahead of true time."""
        before, after = self._floors[name], member.device.floors
        pairs = [
            ("root", before.root_version, after.root_version),
            ("trust", before.trust_number, after.trust_number),
            ("epoch", before.epoch, after.epoch),
            *((role, version, after.roles.get(role, 0)) for role, version in before.roles.items()),
        ]
        for what, old, new in pairs:
            if new < old:
                self.blame(name, f"the floor of {what} fell from {old} to {new}")
        if after.time < before.time:
            self.blame(name, f"the time floor fell from {before.time} to {after.time}")
        if after.time > self.world.now:
            self.blame(name, f"the time floor {after.time} is ahead of the true time")
        self._floors[name] = after
