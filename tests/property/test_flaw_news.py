"""Whatever is looked at in whatever order: each new flaw is told once, and once when it is gone."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from allod.advisories.finding import Finding
from allod.cli.vulnerabilities.found import Line
from allod.cli.vulnerabilities.news import Known, step
from allod.cli.vulnerabilities.ware import Kind, Place, Ware
from allod.testing.advisories import part

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DEVICES = ("a" * 64, "b" * 64)
#: Flaws by number, each under several names; which of them it goes by changes.
NAMES = {number: (f"CVE-2030-100{number}", f"PYSEC-{number}") for number in range(3)}

Has = tuple[int, str]  #: a flaw, and the device that has it
looks = st.lists(
    st.tuples(
        st.frozensets(st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(DEVICES))),
        st.frozensets(st.sampled_from(DEVICES)),  # dark
        st.booleans(),  # which name comes first
    ),
    max_size=8,
)


def line(number: int, devices: list[str], *, swapped: bool) -> Line:
    """A flaw on devices."""
    first, second = reversed(NAMES[number]) if swapped else NAMES[number]
    finding = Finding(first, (second,), part("PyPI", "lib", "1"), ())
    ware = Ware("1", Kind.RELEASE, "toaster 1")
    return Line(finding, (ware,), tuple(Place(one, one[:4]) for one in devices))


@given(looks)
def test_each_is_told_once(turns: list[tuple[frozenset[Has], frozenset[str], bool]]) -> None:
    """Against a model of two lines: a flaw is over only if nobody who had it is in the dark."""
    known: list[Known] = []
    told: dict[int, set[str]] = {}
    for has, dark, swapped in turns:
        present = {number: {device for one, device in has if one == number} for number, _ in has}
        lines = [line(one, sorted(devices), swapped=swapped) for one, devices in present.items()]
        known, events = step(known, lines, dark, fleet="f" * 64, now=NOW)
        over = {one for one, where in told.items() if one not in present and not where & dark}
        numbers = {name: number for number, names in NAMES.items() for name in names}
        said = sorted((one.event, numbers[one.flaw]) for one in events)
        found = [("found", one) for one in present if one not in told]
        assert said == sorted([*found, *(("gone", one) for one in over)])
        told = {one: where for one, where in told.items() if one not in over} | present
        assert sorted(numbers[one.names[0]] for one in known) == sorted(told)
