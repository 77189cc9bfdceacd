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
    """Everything that was ever signed: role -> version -> path -> what it says."""

    files: dict[str, dict[int, Mapping[str, Any]]] = field(default_factory=dict)
    shelves: dict[tuple[str, int], Shelf] = field(default_factory=dict)
    wares: dict[str, Ware] = field(default_factory=dict)  #: by digest

    def said(self, known: Known, role: str, path: str) -> Any:
        """What a device with these versions takes from `path` of `role`; None: nothing."""
        version = known.roles.get(role)
        return None if version is None else self.files.get(role, {}).get(version, {}).get(path)


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
    consent: dict[tuple[str, str | None], bool] = field(default_factory=dict)
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
    page: Page | None = None

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
        scope, page, key, entry = named
        if entry.manager != OWNER:
            return self._delegated(scope, key, package, entry)
        if key != package:
            return None
        wishes = self._reached(entry.plan, entry.wishes)
        return Word(scope, OWNER, wishes, self.rules(), entry, self._votes(entry), page=page)

    def _delegated(self, scope: str, key: str, package: str, entry: Entry) -> Word | None:
        grant = self._grant(entry.manager or "")
        if grant is None:
            return None
        rules = (*self._frame(grant, key, package), *self.rules())
        if grant.follows is not None:
            return self._from_shelf(grant, scope, package, rules, entry)
        theirs = self._theirs(grant, scope, package)
        if theirs is None or theirs.manager is None:
            return None
        wishes = self._reached(theirs.plan, theirs.wishes)
        return Word(scope, grant.id, wishes, rules, entry, self._votes(theirs))

    def _theirs(self, grant: Grant, scope: str, package: str) -> Entry | None:
        page = self.book.said(self.known, f"delegation-{grant.id}", f"by/{grant.id}/{scope}.json")
        return None if page is None else page.entries.get(package)

    def _grant(self, manager: str) -> Grant | None:
        grant = self.book.said(self.known, "targets", f"delegations/{manager}.json")
        return grant if isinstance(grant, Grant) else None

    def _frame(self, grant: Grant, key: str, package: str) -> tuple[Rule, ...]:
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
        shelf = self.book.shelves.get((grant.follows or "", self._sequence(grant)))
        if shelf is None or package not in shelf.releases:
            return None
        version, digest, _ = shelf.releases[package]
        wish = Wish(shelf.provider, version, digest)
        rules = (*rules, Rule("until", shelf.expires))
        return Word(scope, grant.id, (wish,), rules, entry, self._votes(entry), shelf)

    def _sequence(self, grant: Grant) -> int:
        return self.known.channels.get(grant.follows or "", 0)

    def config_word(self, package: str) -> ConfigWord | None:
        """Whose word counts for the configuration; None: nobody's."""
        named = self._named(package, "configuration")
        if named is None:
            return None
        scope, _, key, entry = named
        if entry.config_manager == OWNER:
            votes = self._votes(entry)
            return ConfigWord(
                scope, OWNER, entry.config, entry.config_when, self.rules(), entry, votes
            )
        grant = self._grant(entry.config_manager or "")
        theirs = None if grant is None else self._theirs(grant, scope, package)
        if grant is None or theirs is None or theirs.config_manager is None:
            return None
        rules = (*self._frame(grant, key, package), *self.rules())
        return ConfigWord(
            scope, grant.id, theirs.config, theirs.config_when, rules, entry, self._votes(theirs)
        )

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

    @property
    def now(self) -> datetime:
        """The time that the device decides by."""
        return self.known.decided
