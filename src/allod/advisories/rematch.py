"""What runs is matched again when advisories change: by package, not by device.

Ten thousand devices have a few thousand packages between them. The inventory keeps each component
once, with who has it; a change of advisories looks at the packages that it names.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from allod.advisories.assessing import Besides, enriched, known_besides, lines, worst_first
from allod.advisories.component import Component
from allod.advisories.finding import (
    Advisories,
    Candidate,
    Finding,
    Hit,
    Undecided,
    VexStatement,
    Wares,
)
from allod.advisories.matching import Judge, outcome
from allod.advisories.names import base_of

Package = tuple[str, str]  #: (ecosystem, with release or without, normalised name)


@dataclass(frozen=True, slots=True)
class Struck:
    """A flaw of something that is in use, and who has it."""

    finding: Finding
    holders: tuple[str, ...]


class Rematched(NamedTuple):
    """What advisories say of what is in use."""

    struck: tuple[Struck, ...]  #: worst first
    undecided: tuple[tuple[Undecided, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A component, and the numbers of those who have it."""

    component: Component
    holders: array[int] = field(default_factory=lambda: array("I"))


class Inventory:
    """What is in use, by package."""

    def __init__(self) -> None:
        self._names: list[str] = []  # by number; empty: gone
        self._products: dict[int, frozenset[str]] = {}
        self._numbers: dict[str, int] = {}
        self._held: dict[tuple[str, str, str, str], Held] = {}
        self._same: dict[int, Held] = {}  # by the id of an object that its entry keeps alive
        self._packages: dict[Package, list[Held]] = defaultdict(list)

    def put(self, holder: str, wares: Wares) -> None:
        """Somebody (a device, a release) consists of these now, and of nothing else."""
        self.drop(holder)
        number = self._numbers[holder] = len(self._names)
        self._names.append(holder)
        if wares.products:
            self._products[number] = wares.products
        same = self._same
        for one in wares.components:
            entry = same.get(id(one)) or self._entry(one)
            entry.holders.append(number)

    def _entry(self, component: Component) -> Held:
        """The one entry of a component, however often it was read."""
        key = (component.ecosystem, component.name, component.version, component.said.purl)
        entry = self._held.get(key)
        if entry is None:
            entry = self._held[key] = self._same[id(component)] = Held(component)
            for ecosystem in {component.ecosystem, base_of(component.ecosystem)}:
                self._packages[ecosystem, component.name].append(entry)
        return entry

    def drop(self, holder: str) -> None:
        """Somebody is gone."""
        number = self._numbers.pop(holder, None)
        if number is not None:
            self._names[number] = ""
            self._products.pop(number, None)

    def having(self, packages: Iterable[Package]) -> list[Held]:
        """The components of packages, each once; a bare ecosystem means all its releases."""
        found: dict[int, Held] = {}
        for package in packages:
            for entry in self._packages.get(package, ()):
                found[id(entry)] = entry
        return list(found.values())

    @property
    def packages(self) -> list[Package]:
        """All packages in use, with their release."""
        return sorted({(ecosystem, name) for ecosystem, name, _, _ in self._held})

    def who(self, entry: Held) -> tuple[int, ...]:
        """The numbers of those who have a component now."""
        names = self._names
        return tuple(number for number in dict.fromkeys(entry.holders) if names[number])

    def called(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Names of holders, sorted."""
        return tuple(sorted(self._names[number] for number in numbers))

    def products(self, number: int) -> frozenset[str]:
        """What VEX may call a holder by."""
        return self._products.get(number, frozenset())


def rematch(
    inventory: Inventory,
    packages: Iterable[Package] | None,
    known: Advisories,
    *,
    authors: Collection[str] | None = None,
) -> Rematched:
    """What advisories say of components in use.

    Args:
        inventory: what is in use.
        packages: those about which records came in or changed; nothing: all.
        known: the advisories that count.
        authors: whose VEX counts; nothing: everybody's in a source that counts.
    """
    by_package: dict[Package, list[Held]] = defaultdict(list)
    for entry in inventory.having(inventory.packages if packages is None else packages):
        by_package[entry.component.ecosystem, entry.component.name].append(entry)
    hits: list[tuple[Component, Sequence[Hit]]] = []
    open_questions: list[tuple[Undecided, tuple[str, ...]]] = []
    who: dict[int, tuple[int, ...]] = {}  # by the component's id: each stands in one entry
    for package, candidates in known.about(sorted(by_package)).items():
        for entry, found in _outcomes(by_package[package], candidates):
            holders = inventory.who(entry)
            if not holders:
                continue
            if struck := [one for one in found if isinstance(one, Hit)]:
                hits.append((entry.component, struck))
                who[id(entry.component)] = holders
            undecided = [one for one in found if isinstance(one, Undecided)]
            open_questions += [(one, inventory.called(holders)) for one in undecided]
    bare = lines(hits, known)
    besides = known_besides(bare, known)
    every = [
        one
        for finding in bare
        for one in _by_word(finding, who[id(finding.component)], inventory, besides, authors)
    ]
    every.sort(key=lambda one: worst_first(one.finding))
    return Rematched(tuple(every), tuple(open_questions))


def _outcomes(
    entries: Iterable[Held], candidates: Iterable[Candidate]
) -> Iterator[tuple[Held, list[Hit | Undecided]]]:
    """What records about a package say of each of its versions in use."""
    judges = [(one, Judge(one.affected)) for one in candidates]
    for entry in entries:
        found = [outcome(entry.component, one, judge) for one, judge in judges]
        yield entry, [one for one in found if one is not None]


def _by_word(
    finding: Finding,
    holders: Sequence[int],
    inventory: Inventory,
    besides: Besides,
    authors: Collection[str] | None,
) -> Iterable[Struck]:
    """A finding for those who have it: apart where VEX says different things of them."""
    apart: dict[frozenset[str], list[int]] = defaultdict(list)
    for number in holders:
        apart[inventory.products(number) if besides.statements else frozenset()].append(number)
    together: dict[VexStatement | None, tuple[Finding, list[int]]] = {}
    for products, numbers in apart.items():
        said = enriched(finding, besides, products, authors)
        together.setdefault(said.vex, (said, []))[1].extend(numbers)
    return [Struck(one, inventory.called(numbers)) for one, numbers in together.values()]
