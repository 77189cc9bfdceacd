"""Whose word counts on a device: read from the truth, naively.

This reads what every signed file said (`Book`) and which versions of them a device has
accepted (`Known`). It shares no code with `allod.domain.resolution`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from allod.testing.fleet_law import covers
from allod.testing.fleet_words import (
    OWNER,
    Entry,
    Grant,
    Known,
    Page,
    Plan,
    Rule,
    Shelf,
    Ware,
    Wish,
)

Running = tuple[str | None, str | None]  #: release and configuration document


@dataclass(slots=True)
class Book:
    """Everything that was ever signed: role -> digest of the file -> path -> what it says."""

    files: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    shelves: dict[str, Shelf] = field(default_factory=dict)  #: by digest
    wares: dict[str, Ware] = field(default_factory=dict)  #: by digest

    def said(self, known: Known, role: str, path: str) -> Any:
        """What a device with these files takes from `path` of `role`; None: nothing."""
        return self.files.get(role, {}).get(known.roles.get(role, ""), {}).get(path)


@dataclass(slots=True)
class Stint:
    """A release that ran well, from its activation to the newest report."""

    release: str | None
    since: datetime
    until: datetime


@dataclass(slots=True)
class Memory:
    """What was seen of one device, from outside."""

    device: str
    groups: tuple[str, ...]  #: of its invite
    own_role: str  #: that signs for its own page
    known: Known | None = None
    standing: dict[str, Running] = field(default_factory=dict)  #: what was last whole
    begun: dict[str, set[Running]] = field(default_factory=dict)  #: allowed when a run was cut
    seen: dict[str, datetime] = field(default_factory=dict)  #: release -> first wanted here
    boots: dict[str, int] = field(default_factory=dict)  #: boot in which it was first wanted
    boot: int = 1
    changed: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    consent: dict[str, bool] = field(default_factory=dict)  #: what was asked -> the answer
    gates: set[tuple[str, int]] = field(default_factory=set)  #: rollout and stage, shown to it
    #: package and release -> seconds for which it ran well at a stretch
    longest: dict[tuple[str, str], float] = field(default_factory=dict)
    stints: dict[str, Stint] = field(default_factory=dict)  #: package -> what runs, and how long
    ran: dict[str, set[str]] = field(default_factory=dict)  #: releases that ever stood
    rebooted: set[str] = field(default_factory=set)
    busy: bool = False  #: somebody must not be disturbed


@dataclass(frozen=True, slots=True)
class Word:
    """Whose word counts for the software of a package, and what it is."""

    scope: str
    manager: str
    wishes: tuple[Wish, ...]
    rules: tuple[Rule, ...]
    entry: Entry  #: the owner's: what is accepted and set aside
    votes: tuple[tuple[str, str], ...] = ()
    shelf: Shelf | None = None
    change: str = ""

    @property
    def active(self) -> Wish | None:
        """What is to run."""
        return next((wish for wish in self.wishes if wish.level == "active"), None)


@dataclass(frozen=True, slots=True)
class ConfigWord:
    """The same for the configuration."""

    scope: str
    manager: str
    document: str | None
    when: str
    rules: tuple[Rule, ...]
    entry: Entry
    votes: tuple[tuple[str, str], ...] = ()
    change: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Whose word counts on one device, by what it has accepted."""

    book: Book
    memory: Memory

    # Whose word counts

    def pages(self) -> list[tuple[str, Page]]:
        """The owner's pages that speak to the device, in the order in which they are read."""
        known, memory = self.known, self.memory
        found: list[tuple[str, Page]] = []
        own = f"devices/{memory.device}"
        page = self.book.said(known, memory.own_role, f"state/{own}.json")
        groups = memory.groups
        if page is not None:
            found.append((own, page))
            groups = memory.groups if page.groups is None else page.groups
        for group in groups:
            page = self.book.said(known, "targets", f"state/groups/{group}.json")
            if page is not None:
                found.append((f"groups/{group}", page))
        return found

    @property
    def known(self) -> Known:
        """What the device has accepted."""
        if self.memory.known is None:
            raise AssertionError("a device changed something before it knew anything")
        return self.memory.known

    def _named(self, package: str, half: str) -> tuple[str, Page, str, Entry] | None:
        for scope, page in self.pages():
            keys = [key for key in page.entries if covers(key, package)]
            keys.sort(key=lambda key: (key != package, -len(key), key))
            for key in keys:
                entry = page.entries[key]
                who = entry.manager if half == "software" else entry.config_manager
                if who is not None:
                    return scope, page, key, entry
        return None

    def rules(self) -> tuple[Rule, ...]:
        """The owner's own terms: of every scope that speaks to the device."""
        rules = [rule for _, page in self.pages() for rule in page.rules]
        return tuple(
            Rule("own-access", one.value) if one.kind == "access" else one for one in rules
        )

    def word(self, package: str) -> Word | None:
        """Whose word counts for the software; None: nobody's."""
        named = self._named(package, "software")
        if named is None:
            return None
        scope, _, key, entry = named
        if entry.manager != OWNER:
            return self._delegated(scope, key, package, entry)
        if key != package:
            return None
        wishes = self._reached(entry.plan, entry.wishes)
        votes, change = self._votes(entry), entry.change
        return Word(scope, OWNER, wishes, self.rules(), entry, votes, change=change)

    def _delegated(self, scope: str, key: str, package: str, entry: Entry) -> Word | None:
        grant = self.grant(entry.manager or "")
        if grant is None:
            return None
        rules = (*self.frame(grant, key, package), *self.rules())
        if grant.follows is not None:
            return self._from_shelf(grant, scope, package, rules, entry)
        theirs = self._theirs(grant, scope, package)
        if theirs is None or theirs.manager is None:
            return None
        wishes = self._reached(theirs.plan, theirs.wishes)
        change = theirs.change
        return Word(scope, grant.id, wishes, rules, entry, self._votes(theirs), change=change)

    def by(self, grant: Grant, scope: str) -> Page | None:
        """What a delegate wrote of a scope."""
        path = f"by/{grant.id}/{scope}.json"
        found = self.book.said(self.known, f"delegation-{grant.id}", path)
        return found if isinstance(found, Page) and scope in grant.scopes else None

    def _theirs(self, grant: Grant, scope: str, package: str) -> Entry | None:
        page = self.by(grant, scope)
        return None if page is None else page.entries.get(package)

    def grant(self, manager: str) -> Grant | None:
        """A delegation that is in force; None: there is none of that name."""
        grant = self.book.said(self.known, "targets", f"delegations/{manager}.json")
        return grant if isinstance(grant, Grant) else None

    def frame(self, grant: Grant, key: str, package: str) -> tuple[Rule, ...]:
        """What a delegate is held to: an entry's pattern `key` is another frame of packages."""
        frame = [
            Rule("scopes", grant.scopes),
            Rule("packages", grant.packages),
            Rule("verbs", grant.verbs),
            *grant.rules,
        ]
        if all(rule.kind != "access" for rule in grant.rules):
            frame.append(Rule("access", frozenset()))
        if key != package:
            frame.append(Rule("packages", (key,)))
        return tuple(frame)

    def _from_shelf(
        self, grant: Grant, scope: str, package: str, rules: tuple[Rule, ...], entry: Entry
    ) -> Word | None:
        follows = grant.follows or ""
        shelf = self.book.shelves.get(self.known.channels.get(follows, ""))
        if shelf is None or shelf.name != follows or package not in shelf.releases:
            return None
        if not package.startswith(f"pkg:generic/{shelf.provider}/"):
            return None
        version, digest, _ = shelf.releases[package]
        wish = Wish(shelf.provider, version, digest)
        rules = (*rules, Rule("until", shelf.expires))
        change = shelf.name
        return Word(scope, grant.id, (wish,), rules, entry, (), shelf, change)

    def config_word(self, package: str) -> ConfigWord | None:
        """Whose word counts for the configuration; None: nobody's."""
        named = self._named(package, "configuration")
        if named is None:
            return None
        scope, _, key, entry = named
        if entry.config_manager == OWNER:
            votes = self._votes(entry)
            return ConfigWord(
                scope,
                OWNER,
                entry.config,
                entry.config_when,
                self.rules(),
                entry,
                votes,
                entry.change,
            )
        grant = self.grant(entry.config_manager or "")
        theirs = None if grant is None else self._theirs(grant, scope, package)
        if grant is None or theirs is None or theirs.config_manager is None:
            return None
        rules = (*self.frame(grant, key, package), *self.rules())
        return ConfigWord(
            scope,
            grant.id,
            theirs.config,
            theirs.config_when,
            rules,
            entry,
            self._votes(theirs),
            theirs.change,
        )

    def question(self, package: str) -> str:
        """What somebody at the device is asked about a package: all that would change, by whom."""
        software, config = self.word(package), self.config_word(package)
        release, document = self.running(package)
        active = None if software is None else software.active
        if software is not None:
            release = None if active is None else active.digest
        if config is not None:
            document = config.document
        changes = [one.change for one in (software, config) if one is not None]
        return "|".join((package, release or "", document or "", *changes))

    def _votes(self, entry: Entry) -> tuple[tuple[str, str], ...]:
        fleet = self.book.said(self.known, "targets", "fleet.json") or {}
        return tuple(
            (one.kind, one.person)
            for one in entry.votes
            if one.good and one.kind in fleet.get("people", {}).get(one.person, ())
        )

    def _reached(self, plan: Plan | None, after: tuple[Wish, ...]) -> tuple[Wish, ...]:
        return after if plan is None or self.has_come(plan) else plan.before

    def has_come(self, plan: Plan) -> bool:
        """Whether a rollout has come to the device, at the time that it decided by."""
        device = self.memory.device
        place = int(hashlib.sha256(f"{plan.id}:{device}".encode()).hexdigest()[:8], 16)
        for number, stage in enumerate(plan.stages):
            if device in stage.canaries or place * 100 < stage.percent * 2**32:
                gate = number == 0 or number in self.known.gates.get(plan.id, frozenset())
                return gate and stage.at <= self.now
        return False

    def running(self, package: str) -> Running:
        """What last stood."""
        return self.memory.standing.get(package, (None, None))

    @property
    def now(self) -> datetime:
        """The time that the device decides by."""
        return self.known.decided
