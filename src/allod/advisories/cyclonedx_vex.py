"""Findings as CycloneDX 1.6 with VEX (https://cyclonedx.org/capabilities/vex/), to be written.

One entry of `vulnerabilities` is one flaw about which one thing is said; `affects` names the
components with their version, and the version that mends it. What nobody can tell goes out too: an
undecided record as an entry `in_triage` whose versions are `unknown`, an unmatchable component with
the property `allod:unmatchable`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from allod.advisories.advisory import Advisory, Severity
from allod.advisories.component import Component, Unmatchable
from allod.advisories.finding import Assessment, Finding, Undecided, VexStatement, VexStatus
from allod.advisories.severity import WORDS, base_score, level_of
from allod.domain.sbom import ALLOD, SbomComponent
from allod.wire.codec import encode

#: CycloneDX's words for a status of OpenVEX.
STATES: Final = {
    VexStatus.NOT_AFFECTED: "not_affected",
    VexStatus.AFFECTED: "exploitable",
    VexStatus.FIXED: "resolved",
    VexStatus.UNDER_INVESTIGATION: "in_triage",
}
#: CycloneDX's words for a justification of OpenVEX.
JUSTIFICATIONS: Final = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_environment",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_KINDS: Final = frozenset(
    {
        "application",
        "framework",
        "library",
        "container",
        "platform",
        "operating-system",
        "device",
        "device-driver",
        "firmware",
        "file",
        "machine-learning-model",
        "data",
        "cryptographic-asset",
    }
)


def encode_vex(
    assessment: Assessment,
    *,
    at: str,
    subject: SbomComponent | None = None,
    clean: Iterable[Component] = (),
) -> bytes:
    """The document: the same assessment is always the same bytes.

    Args:
        assessment: what is known.
        at: now, as RFC 3339.
        subject: what was assessed.
        clean: components that were asked about, and have no flaw.
    """
    metadata: dict[str, Any] = {
        "timestamp": at,
        "tools": {"components": [{"type": "application", "name": ALLOD}]},
    }
    if subject is not None:
        metadata["component"] = _component(subject, "subject")
    matched = {one.component for one in assessment.findings}
    matched |= {one.component for one in assessment.undecided}
    references = {
        one: f"component-{number}" for number, one in enumerate(sorted({*matched, *clean}))
    }
    components = [_component(one.said, ref) for one, ref in references.items()]
    components += [
        _unmatchable(one, f"unknown-{number}")
        for number, one in enumerate(sorted(set(assessment.unmatchable)))
    ]
    return encode(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": metadata,
            "components": components,
            "vulnerabilities": [
                *_flaws(assessment.findings, references),
                *_open_questions(assessment.undecided, references),
            ],
        }
    )


def _component(said: SbomComponent, ref: str) -> dict[str, Any]:
    optional = {"version": said.version, "purl": said.purl, "cpe": said.cpe}
    return {
        "type": said.kind if said.kind in _KINDS else "library",
        "bom-ref": ref,
        "name": said.name,
        **{key: value for key, value in optional.items() if value},
    }


def _unmatchable(one: Unmatchable, ref: str) -> dict[str, Any]:
    said = [_property("unmatchable", one.code), _property("unmatchable:why", one.why)]
    return {**_component(one.said, ref), "properties": said}


def _flaws(
    findings: Iterable[Finding], references: Mapping[Component, str]
) -> Iterable[dict[str, Any]]:
    """One entry for all components that have a flaw, and of which the same is said."""
    grouped: dict[tuple[str, VexStatement | None], list[Finding]] = defaultdict(list)
    for one in findings:
        grouped[one.id, one.vex].append(one)
    for (name, vex), group in grouped.items():
        yield _flaw(name, vex, group, references)


def _flaw(
    name: str,
    vex: VexStatement | None,
    group: Sequence[Finding],
    references: Mapping[Component, str],
) -> dict[str, Any]:
    """One flaw."""
    records = _records(hit.advisory for one in group for hit in one.hits)
    source = {"name": records[0].source}
    others = sorted({alias for one in group for alias in one.aliases} - {name})
    scores = dict.fromkeys(severity for one in group for severity in one.severity)
    entry: dict[str, Any] = {
        "id": name,
        "source": source,
        "references": [{"id": alias, "source": source} for alias in others],
        "ratings": [_rating(severity) for severity in scores],
        **_times(records),
        "affects": [
            {"ref": references[one.component], "versions": _versions(one)}
            for one in sorted(group, key=lambda one: one.component)
        ],
        "properties": _properties(group),
    }
    summary = next((one.summary for one in group if one.summary), "")
    if summary:
        entry["description"] = summary
    mends = sorted({f"{one.component.name} {one.fixed[0]}" for one in group if one.fixed})
    if mends:
        entry["recommendation"] = f"Update to {', '.join(mends)}"
    if vex is not None:
        entry["analysis"] = _analysis(vex)
    return {key: value for key, value in entry.items() if value}


def _versions(one: Finding) -> list[dict[str, str]]:
    status = "unaffected" if not one.counts else "affected"
    mended = [{"version": version, "status": "unaffected"} for version in one.fixed]
    return [{"version": one.component.version, "status": status}, *mended]


def _properties(group: Sequence[Finding]) -> list[dict[str, str]]:
    """What has no place of its own: how it matched, KEV, EPSS."""
    first = group[0]
    said = {
        ("matched", f"{hit.component.name}: {hit.matched} ({hit.advisory.source})")
        for one in group
        for hit in one.hits
    }
    if first.exploited is not None:
        said.add(("kev:added", first.exploited.added))
        if first.exploited.due:
            said.add(("kev:due", first.exploited.due))
        said.add(("kev:ransomware", "known" if first.exploited.ransomware else "unknown"))
    if first.epss is not None:
        said.add(("epss:score", f"{first.epss.score:.5f}"))
        said.add(("epss:percentile", f"{first.epss.percentile:.5f}"))
    if first.vex is not None:
        said.add(("vex:author", first.vex.author))
    return [_property(name, value) for name, value in sorted(said)]


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"allod:{name}", "value": value}


def _rating(severity: Severity) -> dict[str, Any]:
    """A score as it was given; other kinds than CVSS by their word."""
    score = base_score(severity.kind, severity.score)
    if score is None:
        word = WORDS.get(severity.score.strip().lower())
        level = word.value if word is not None else "unknown"
        said = f"{severity.kind}: {severity.score}"
        return {"method": "other", "severity": level, "justification": said}
    method = {"CVSS_V2": "CVSSv2", "CVSS_V4": "CVSSv4"}.get(
        severity.kind, "CVSSv3" if severity.score.startswith("CVSS:3.0") else "CVSSv31"
    )
    return {
        "method": method,
        "score": score,
        "severity": level_of(severity.kind, score).value,
        "vector": severity.score,
    }


def _analysis(vex: VexStatement) -> dict[str, str]:
    """What somebody says of the flaw here."""
    said = f"{vex.author}: {vex.says}" if vex.says else vex.author
    analysis = {"state": STATES[vex.status], "detail": said}
    if vex.justification in JUSTIFICATIONS:
        analysis["justification"] = JUSTIFICATIONS[vex.justification]
    if _TIME.fullmatch(vex.at):
        analysis["lastUpdated"] = vex.at
    return analysis


def _open_questions(
    undecided: Iterable[Undecided], references: Mapping[Component, str]
) -> Iterable[dict[str, Any]]:
    """Records of which nobody can tell whether they mean a component."""
    for one in sorted(undecided, key=lambda one: (one.advisory.id, one.component, one.code)):
        version = {"version": one.component.version, "status": "unknown"}
        yield {
            "id": one.advisory.id,
            "source": {"name": one.advisory.source},
            **_times([one.advisory]),
            "affects": [{"ref": references[one.component], "versions": [version]}],
            "analysis": {
                "state": "in_triage",
                "detail": f"cannot tell whether it is meant: {one.why}",
            },
            "properties": [_property("undecided", one.code)],
        }


def _records(advisories: Iterable[Advisory]) -> list[Advisory]:
    """The records, each once."""
    return sorted(
        {(one.source, one.id): one for one in advisories}.values(),
        key=lambda one: (one.source, one.id),
    )


def _times(records: Sequence[Advisory]) -> dict[str, str]:
    """The first publication and the last change, of those that are times."""
    published = [one.published for one in records if _TIME.fullmatch(one.published)]
    updated = [one.modified for one in records if _TIME.fullmatch(one.modified)]
    said = {"published": min(published, default=""), "updated": max(updated, default="")}
    return {key: value for key, value in said.items() if value}
