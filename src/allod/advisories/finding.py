"""What is found: flaws of components, and what nothing could be found out about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from allod.advisories.advisory import Advisory, Affected, Severity
from allod.advisories.component import Component, Unmatchable


class Level(StrEnum):
    """Qualitative severity (CVSS v3.1, 5); `unknown` where nobody scored it."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"
    UNKNOWN = "unknown"


class VexStatus(StrEnum):
    """OpenVEX 0.2.0, status."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


@dataclass(frozen=True, slots=True)
class VexStatement:
    """What somebody says about a flaw in a product."""

    flaws: tuple[str, ...]  #: its names
    products: tuple[str, ...]  #: purls (without version: all) or digests
    status: VexStatus
    author: str
    at: str
    justification: str = ""
    says: str = ""  #: impact or action, in words
    subcomponents: tuple[str, ...] = ()
    document: str = ""  #: its @id
    source: str = ""  #: by which name the owner took it in


@dataclass(frozen=True, slots=True)
class Exploited:
    """Known to be exploited (KEV)."""

    cve: str
    added: str  #: date
    due: str = ""
    ransomware: bool = False


@dataclass(frozen=True, slots=True)
class Epss:
    """How likely it is to be exploited within 30 days."""

    cve: str
    score: float  #: 0 … 1
    percentile: float  #: 0 … 1
    at: str = ""  #: date of the model's run


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that says that a component has its flaw."""

    component: Component
    advisory: Advisory  #: without `affected`
    affected: Affected
    matched: str  #: the range or version, in words: "introduced 0, fixed 2.1.2"
    fixed: tuple[str, ...] = ()  #: versions that mend it, those above the component's first


@dataclass(frozen=True, slots=True)
class Undecided:
    """One record of which nobody can tell whether it means a component."""

    component: Component
    advisory: Advisory
    code: str  #: `bad-range`, `no-range`, `only-commits`, `no-order` (`matching` explains them)
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw of one component, under all its names."""

    id: str  #: the name that it is called by: a CVE if it has one
    aliases: tuple[str, ...]  #: its other names, sorted
    component: Component
    hits: tuple[Hit, ...]
    severity: tuple[Severity, ...] = ()  #: as given, best known kind first
    score: float | None = None  #: base score of the best known CVSS
    level: Level = Level.UNKNOWN
    exploited: Exploited | None = None
    epss: Epss | None = None
    vex: VexStatement | None = None  #: the newest of those that count
    fixed: tuple[str, ...] = ()  #: versions that mend it
    summary: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is to be looked at: nobody whose word counts says that it does no harm."""
        harmless = {VexStatus.NOT_AFFECTED, VexStatus.FIXED}
        return self.vex is None or self.vex.status not in harmless

    @property
    def names(self) -> frozenset[str]:
        """All names of the flaw."""
        return frozenset((self.id, *self.aliases))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of some components, and what is not."""

    findings: tuple[Finding, ...]  #: worst first
    unmatchable: tuple[Unmatchable, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    clean: int = 0  #: components that were asked about and have none

    @property
    def by_level(self) -> Mapping[Level, int]:
        """How many flaws that count there are of each level."""
        counted = dict.fromkeys(Level, 0)
        for one in self.findings:
            counted[one.level] += one.counts
        return counted


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record's word about a package; whether a version is meant is still to be found."""

    advisory: Advisory  #: without `affected`
    affected: Affected  #: its name normalised


class Advisories(Protocol):
    """What the owner's machine knows of advisories (`advisories.store`).

    Only sources that count answer; withdrawn records do not.
    """

    def about(
        self, packages: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[Candidate]]:
        """The records about (ecosystem with release, normalised name); absent: none.

        Also those about the ecosystem without a release, under the package that was asked for.
        """
        ...

    def aliases(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """What records that have one of these as id or alias call the same flaw."""
        ...

    def scores(self, names: Iterable[str]) -> Mapping[str, Sequence[Severity]]:
        """How bad records call the flaws of these names: as a whole, not in one package.

        Those that have one as id or alias, or bring the fix of it alone.
        """
        ...

    def told_of(self, ecosystems: Iterable[str]) -> frozenset[str]:
        """Those of these ecosystems (with release) that any record is about."""
        ...

    def exploited(self, cves: Iterable[str]) -> Mapping[str, Exploited]:
        """What is known to be exploited of these."""
        ...

    def epss(self, cves: Iterable[str]) -> Mapping[str, Epss]:
        """How likely these are to be exploited."""
        ...

    def statements(self, flaws: Iterable[str]) -> Sequence[VexStatement]:
        """VEX statements that name any of these flaws, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Wares:
    """What is assessed: the components of one thing, and under which products VEX may name it."""

    components: tuple[Component, ...]
    unmatchable: tuple[Unmatchable, ...] = ()
    products: frozenset[str] = field(default=frozenset())  #: purls and digests of the whole
