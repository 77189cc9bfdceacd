"""Which names mean one flaw.

`aliases` are names of the same flaw, and so on through every record at hand (OSV schema 1.8,
"aliases"). `upstream` are the flaws whose fixes a distribution's advisory brings: one flaw joins
the advisory's line with it, several make the advisory stand in the line of each. `related` is
another flaw, always. A distribution's copy of a CVE ("DEBIAN-CVE-2022-1292") is that CVE.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from allod.advisories.advisory import Advisory

_CVE: Final = re.compile(r"CVE-([0-9]{4})-([0-9]{4,19})")
_COPY: Final = re.compile(r"(?:[A-Z][A-Z0-9]*-)+(CVE-[0-9]{4}-[0-9]{4,19})")
_PAIR: Final = 2


#: Tells what records that have one of some names call the same flaw.
Aliases = Callable[[Iterable[str]], Mapping[str, frozenset[str]]]


class Names:
    """Sets of names, each of one flaw, joined as records are heard."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}  # towards the name that leads

    def lead(self, name: str) -> str:
        """The name that stands for all names of a flaw."""
        above = self._above
        while (upper := above.setdefault(name, name)) != name:
            above[name] = above[upper]
            name = upper
        return name

    def join(self, names: Iterable[str]) -> bool:
        """Hear that these are names of one flaw; whether that is news."""
        lead, news = "", False
        for name in names:
            copy = _COPY.fullmatch(name)
            for one in (name, copy.group(1)) if copy is not None else (name,):
                other = self.lead(one)
                if lead and other != lead:
                    self._above[other] = lead
                    news = True
                lead = lead or other
        return news

    @property
    def heard(self) -> set[str]:
        """All names."""
        return set(self._above)

    def sets(self) -> Mapping[str, Sequence[str]]:
        """All names heard, by their lead."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in tuple(self._above):
            found[self.lead(name)].append(name)
        return found


def names_in(records: Iterable[Advisory], aliases: Aliases | None = None) -> Names:
    """The names of the flaws in some records.

    Args:
        records: what is to be named.
        aliases: tells what other records call a flaw of these names.
    """
    names = Names()
    bringing: list[Advisory] = []
    for record in records:
        names.join((record.id, *record.aliases))
        if record.upstream:
            bringing.append(record)
            for one in record.upstream:
                names.join((one,))
    if aliases is not None:
        _look_up(names, aliases)
    while sum(_follow(names, record) for record in bringing):
        pass  # what came together may leave fewer flaws upstream of another record
    return names


def _look_up(names: Names, aliases: Aliases) -> None:
    """Hear all other names of what has a name, and the other names of those."""
    heard: set[str] = set()
    while fresh := names.heard - heard:
        heard |= fresh
        for name, others in aliases(sorted(fresh)).items():
            names.join((name, *sorted(others)))


def flaws_of(record: Advisory, names: Names) -> tuple[str, ...]:
    """The leads of the flaws that a record is about: of its own, or of those that it mends."""
    mends = {names.lead(one) for one in record.upstream}
    own = names.lead(record.id)
    return tuple(sorted(mends)) if mends and own not in mends else (own,)


def _follow(names: Names, record: Advisory) -> bool:
    """Join a record with the one flaw upstream that it is about; whether that is news."""
    leads = {names.lead(one) for one in record.upstream}
    if len(leads) == 1:
        return names.join((record.id, record.upstream[0]))
    cves = {names.lead(one) for one in record.upstream if is_cve(one)}
    if len(leads) == _PAIR and len(cves) == 1:  # a CVE and another's name for it
        return names.join((record.id, *record.upstream))
    return False


def is_cve(name: str) -> bool:
    """Whether it is a CVE's number."""
    return _CVE.fullmatch(name) is not None


def called(names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """What a flaw is called by, and its other names: the lowest CVE, GHSA or other name leads."""
    ordered = sorted(set(names))
    first = min(ordered, key=_preference)
    return first, tuple(one for one in ordered if one != first)


def _preference(name: str) -> tuple[int, int, int, str]:
    number = _CVE.fullmatch(name)
    if number is not None:
        return (0, int(number.group(1)), int(number.group(2)), name)
    return (1 if name.startswith("GHSA-") else 2, 0, 0, name)
