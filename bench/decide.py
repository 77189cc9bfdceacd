"""How often a second one order under 50 terms is decided.

    python bench/decide.py [--seconds 3]

Every kind of term stands among the 50, several of most kinds, as they come together from a
delegation and the scopes of a device. `all hold`: an activation that every term lets through, so
that each of them has looked at all its facts. `some wait` and `some refuse`: others where several
terms object. `a restart`: what only some of the terms have a say in. Processor time counts, of one
process. Goal: 20,000 a second, each.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, islice

from allod.domain.condition import AGENT, Change, ChangeFacts, Term, Verb
from allod.domain.decision import decide
from allod.domain.desired import Window
from allod.domain.ids import GroupName, ProviderName, Purl, Version, group_scope
from allod.domain.release import Kind, Release
from allod.domain.terms import (
    PROVIDER,
    Approvals,
    Consent,
    Lease,
    NewAccess,
    Packages,
    Rate,
    Scopes,
    Soak,
    Until,
    Verbs,
    VersionRule,
    Versions,
    Windows,
)

GOAL = 20_000
COUNT = 50
NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
PACKAGE = Purl("pkg:generic/acme/toaster")
ACME = ProviderName("acme")
SCOPES = frozenset(group_scope(GroupName(f"group-{n}")) for n in range(10))
HERE = group_scope(GroupName("group-3"))


def release(version: str) -> Release:
    """A release with some access."""
    access = frozenset({"network.outbound", "network.listen:tcp/8080", "path.read:/srv"})
    return Release(PACKAGE, Version(version), ACME, Kind.TREE, access=access)


def kinds() -> list[Term]:
    """One of each."""
    every_day = frozenset(range(7))
    return [
        Scopes(SCOPES),
        Packages(("pkg:generic/initech/*", "pkg:generic/acme/*")),
        Verbs(frozenset(Verb)),
        Versions(VersionRule.SECURITY, frozenset({PROVIDER})),
        Versions(VersionRule.SAME_MINOR),
        NewAccess(frozenset({"camera"})),
        NewAccess(strict=True),
        Soak(86_400),
        Windows((Window(every_day, 2 * 60, 120), Window(every_day, 11 * 60, 180))),
        Rate(3, 86_400),
        Approvals((("operations", 1), ("qa", 1))),
        Consent(),
        Lease(7 * 86_400),
        Until(NOW + timedelta(days=30)),
    ]


def cases() -> dict[str, tuple[Change, ChangeFacts]]:
    """What is decided."""
    change = Change(Verb.ACTIVATE, HERE, PACKAGE, release("2.1.3"))
    facts = ChangeFacts(
        running=release("2.1.2"),
        seen_since=NOW - timedelta(days=3),
        witnessed=NOW - timedelta(hours=1),
        activated=(NOW - timedelta(days=2), NOW - timedelta(hours=20)),
        approved={"qa": frozenset({"quinn"}), "operations": frozenset({"olu"})},
        consent=True,
        mends=frozenset({(PROVIDER, "CVE-2026-1001")}),
    )
    early = replace(facts, seen_since=NOW - timedelta(hours=1), consent=None)
    wrong = replace(facts, mends=frozenset(), approved={}, witnessed=None)
    return {
        "all hold": (change, facts),
        "some wait": (change, early),
        "some refuse": (change, wrong),
        "a restart": (Change(Verb.RESTART, HERE, AGENT), facts),
    }


def a_second(do: Callable[[], object], seconds: float) -> float:
    """How often it is done in a second of processor time."""
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for _ in range(200):
            do()
        count += 200
    return count / (time.process_time() - start)


def main() -> int:
    """Measure; 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of processor time, each")
    seconds = parser.parse_args().seconds
    terms = tuple(islice(cycle(kinds()), COUNT))
    print(f"{'one order, 50 terms':<24}{'allowed':>10}{'decisions/s':>16}")
    rates = []
    for name, (change, facts) in cases().items():
        allowed = decide(change, terms, facts, NOW).allowed
        rate = a_second(partial(decide, change, terms, facts, NOW), seconds)
        rates.append(rate)
        print(f"{name:<24}{'yes' if allowed else 'no':>10}{rate:>16,.0f}")
    print(f"\ngoal: {GOAL:,} a second, each")
    return 0 if min(rates) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
