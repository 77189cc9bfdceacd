"""Hostile records against parts that they are about: matched, grouped, and written out again."""

from __future__ import annotations

import json
from dataclasses import replace

from allod.advisories.advisory import Advisory, Affected
from allod.advisories.assessing import assess
from allod.advisories.component import Component
from allod.advisories.cyclonedx_vex import encode_vex
from allod.advisories.finding import Wares
from allod.advisories.matching import Judge
from allod.advisories.names import normalise
from allod.advisories.orders import order_of
from allod.advisories.osv import decode_advisory
from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput
from allod.testing.advisories import MemoryAdvisories

PARTS = 40  #: that are asked about
PACKAGES = 4  #: whose events are turned round
PROBES = ("0", "1.0", "2.1.1", "1:2.3-4", "1.2.3-r4", "99999999999999999999", "~", "-")


def target(data: bytes) -> None:
    """Every part gets one answer, in whichever order events stand, that can be written down."""
    record = decode_advisory(data, source="s", file="f")
    for affected in record.affected[:PACKAGES]:
        turn_round(affected)
    parts = parts_of(record)
    found = assess(Wares(tuple(parts)), MemoryAdvisories([record, sibling(record)]))
    answered = {one.component for one in found.findings}
    answered |= {one.component for one in found.undecided}
    if found.clean + len(answered) + len(found.unmatchable) != len(set(parts)):
        raise RuntimeError("a part got no answer, or two")
    json.loads(encode_vex(found, at="2026-01-01T00:00:00Z", clean=parts))


def parts_of(record: Advisory) -> list[Component]:
    """What the record is about, at each end of its ranges: as `component_of` would make them."""
    found: list[Component] = []
    for affected in record.affected:
        ends = [event.version for each in affected.ranges for event in each.events]
        order = order_of(affected.ecosystem)
        for version in (*ends, *sorted(affected.versions)[:3], "1.0", "1:2.3-4"):
            try:
                if order is not None:
                    order.key(version)
            except InvalidInput:
                continue
            name = normalise(affected.ecosystem, affected.name)
            said = SbomComponent(affected.name, version)
            found.append(Component(affected.ecosystem, name, version, said))
    return found[:PARTS]


def turn_round(affected: Affected) -> None:
    """Events from the last to the first mean the same."""
    ranges = tuple(replace(one, events=one.events[::-1]) for one in affected.ranges)
    judges = Judge(affected), Judge(replace(affected, ranges=ranges))
    for version in PROBES:
        first, second = (judge.judge(version) for judge in judges)
        if (bool(first.matched), first.code) != (bool(second.matched), second.code):
            raise RuntimeError(f"the order of events decides about {version}")


def sibling(record: Advisory) -> Advisory:
    """Another record of the same flaw, with its names turned round."""
    return replace(record, id="CVE-2026-0001", aliases=(record.id,), upstream=record.related)
