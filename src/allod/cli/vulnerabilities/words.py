"""What was found, for people and for `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from allod.advisories.finding import Finding, Level
from allod.cli.output import printable
from allod.cli.phrases import choices, mending
from allod.cli.vulnerabilities.found import Line, Looked, Unknown
from allod.cli.vulnerabilities.ware import Release, Ware

if TYPE_CHECKING:
    from rich.console import Console

_LINES: Final = 50  #: flaws that are shown on a terminal
_NAMED: Final = 6  #: unknown parts that are named one by one
_SUMMARY: Final = 120  #: characters of what a flaw is
_COLOURS: Final = {
    Level.CRITICAL: "bold red",
    Level.HIGH: "red",
    Level.MEDIUM: "yellow",
    Level.LOW: "green",
}


def counts_says(looked: Looked) -> str:
    """How many flaws of each level, in words; empty: none."""
    return levels_say(looked.by_level)


def level_says(level: Level) -> str:
    """A level, where nothing else says that it is one."""
    return "severity unknown" if level is Level.UNKNOWN else str(level)


def levels_say(counts: Mapping[Level, int]) -> str:
    """How many of each level; empty: none."""
    said = {level: f"{count} {level}" for level, count in counts.items() if count}
    if Level.UNKNOWN in said:
        said[Level.UNKNOWN] = f"{counts[Level.UNKNOWN]} of unknown severity"
    return ", ".join(said.values())


# -- for programs ---------------------------------------------------------------------------------


def looked_data(looked: Looked) -> dict[str, Any]:
    """Everything for `--json`."""
    return {
        "counts": {str(level): count for level, count in looked.by_level.items()},
        "findings": [line_data(one) for one in looked.lines],
        "unknown": [_unknown_data(one) for one in looked.unknown],
        "undecided": [
            {
                "id": one.advisory.id,
                "source": one.advisory.source,
                "code": one.code,
                "why": one.why,
                "component": _component(one.component),
            }
            for one in looked.undecided
        ],
        "unseen": [
            {"where": one.where, "code": one.code, "why": one.why} for one in looked.running.blind
        ],
        "unasked": dict(looked.unasked),
        "clean": looked.clean,
        "parts": looked.parts,
        "devices": looked.running.devices,
    }


def line_data(line: Line) -> dict[str, Any]:
    """One flaw of one part."""
    return {
        **finding_data(line.finding),
        "where": [_ware_data(one) for one in line.wares],
        "devices": [{"device": one.device, "label": one.shown} for one in line.places],
        "releases": [_release_data(one) for one in line.releases],
    }


def finding_data(one: Finding) -> dict[str, Any]:
    """What is known of one flaw of one part."""
    exploited, epss, vex = one.exploited, one.epss, one.vex
    return {
        "id": one.id,
        "aliases": list(one.aliases),
        "level": str(one.level),
        "score": one.score,
        "severity": [{"type": said.kind, "score": said.score} for said in one.severity],
        "summary": one.summary,
        "counts": one.counts,
        "component": _component(one.component),
        "records": [
            {
                "id": hit.advisory.id,
                "source": hit.advisory.source,
                "file": hit.advisory.file,
                "place": hit.affected.place,
                "licence": hit.advisory.licence,
                "modified": hit.advisory.modified,
                "matched": hit.matched,
                "fixed": list(hit.fixed),
            }
            for hit in one.hits
        ],
        "fixed": list(one.fixed),
        "exploited": None
        if exploited is None
        else {
            "added": exploited.added,
            "due": exploited.due,
            "ransomware": exploited.ransomware,
        },
        "epss": None
        if epss is None
        else {"score": epss.score, "percentile": epss.percentile, "at": epss.at},
        "vex": None
        if vex is None
        else {
            "status": str(vex.status),
            "author": vex.author,
            "justification": vex.justification,
            "says": vex.says,
            "at": vex.at,
            "document": vex.document,
            "source": vex.source,
        },
    }


def _component(one: Any) -> dict[str, str]:
    return {
        "ecosystem": one.ecosystem,
        "name": one.name,
        "version": one.version,
        "purl": one.said.purl,
    }


def _ware_data(ware: Ware) -> dict[str, Any]:
    return {
        "kind": str(ware.kind),
        "name": ware.name,
        "listedBy": ware.listed_by,
        "release": None if ware.release is None else _release_data(ware.release),
    }


def _release_data(one: Release) -> dict[str, str]:
    return {
        "provider": one.provider,
        "package": one.package,
        "version": one.version,
        "digest": one.digest,
    }


def _unknown_data(one: Unknown) -> dict[str, Any]:
    return {
        "code": one.code,
        "why": one.why,
        "name": one.said.name,
        "version": one.said.version,
        "purl": one.said.purl,
        "where": [_ware_data(ware) for ware in one.wares],
    }


# -- for people -----------------------------------------------------------------------------------


def show(console: Console, looked: Looked, *, whole: bool = False) -> None:
    """Everything, worst first, and at the end what is not known.

    Args:
        console: where.
        looked: what was found.
        whole: every flaw is shown, and every part that nothing is known of is named.
    """
    from rich.text import Text

    shown = looked.lines if whole or not console.is_terminal else looked.lines[:_LINES]
    for line in shown:
        head, *more = line_lines(line)
        style = _COLOURS.get(line.finding.level, "") if line.finding.counts else "dim"
        console.print(Text(printable(head), style=style))
        for one in more:
            console.print(Text(f"  {printable(one)}"))
    if len(shown) < len(looked.lines):
        console.print(f"… and {len(looked.lines) - len(shown)} more: --all shows them")
    for says in (*_unknown_lines(looked, whole=whole), *summary_lines(looked)):
        console.print(Text(printable(says)))


def line_lines(line: Line) -> Iterator[str]:
    """One flaw, its head first."""
    one = line.finding
    component = one.component
    score = "" if one.score is None else f" {one.score:g}"
    cut = one.summary if len(one.summary) <= _SUMMARY else f"{one.summary[:_SUMMARY]}…"
    summary = f": {cut}" if cut else ""
    yield f"{one.id} ({level_says(one.level)}{score}) {component.name} {component.version}{summary}"
    if one.aliases:
        yield f"also {', '.join(one.aliases)}"
    yield from _said(one)
    ranges = {hit.matched: None for hit in one.hits}
    told = ", ".join(
        dict.fromkeys(f"{hit.advisory.id} of {hit.advisory.source}" for hit in one.hits)
    )
    yield f"{'; '.join(ranges)} ({component.ecosystem}, by {told})"
    yield f"in {choices(list(dict.fromkeys(ware.name for ware in line.wares)))}" + (
        f" on {_devices(line)}" if line.places else ""
    )
    yield _mended(line)


def _said(one: Finding) -> Iterator[str]:
    if one.exploited is not None:
        ransom = ", by ransomware too" if one.exploited.ransomware else ""
        yield f"! known to be exploited since {one.exploited.added}{ransom} (KEV)"
    if one.epss is not None:
        chance = f"{one.epss.score:.1%} within 30 days"
        yield f"exploited with a likelihood of {chance}, above {one.epss.percentile:.0%} of all (EPSS)"
    if one.vex is not None:
        status = str(one.vex.status).replace("_", " ")
        why = one.vex.justification.replace("_", " ") or one.vex.says
        yield f"{status}, says {one.vex.author}" + (f": {why}" if why else "") + " (VEX)"


def _devices(line: Line) -> str:
    count = len(line.places)
    word = "1 device" if count == 1 else f"{count} devices"
    return f"{word} ({choices([place.shown for place in line.places])})"


def _mended(line: Line) -> str:
    fixed = f"fixed in {', '.join(line.finding.fixed)}" if line.finding.fixed else "no fix is known"
    if line.releases:
        return f"{fixed}; in the store: {mending(one.shown for one in line.releases)}"
    if any(ware.release is not None for ware in line.wares):
        return f"{fixed}; no release in the store mends it"
    controls = dict.fromkeys(_controlled(one) for one in line.wares if one.control is not None)
    return "; ".join((fixed, *controls))


def _controlled(ware: Ware) -> str:
    from allod.cli.foreign import CONTROLLED

    return "" if ware.control is None else CONTROLLED[ware.control]


def _unknown_lines(looked: Looked, *, whole: bool) -> Iterator[str]:
    by_code: dict[str, list[Unknown]] = {}
    for one in looked.unknown:
        by_code.setdefault(one.code, []).append(one)
    for code, found in sorted(by_code.items()):
        if whole:
            for one in found:
                yield f"? {_part(one)}, in {_names(one.wares)}: {one.why} ({code})"
            continue
        names = [_part(one) for one in found[:_NAMED]]
        rest = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield f"? unknown ({code}): {', '.join(names)}{rest}"
    for missing in looked.running.blind:
        yield f"? {missing.where}: {missing.why} ({missing.code})"
    for undecided in looked.undecided:
        component = undecided.component
        yield (
            f"? {undecided.advisory.id} may mean {component.name} {component.version}: "
            f"{undecided.why} ({undecided.code})"
        )
    for ecosystem, count in looked.unasked.items():
        yield f"? no source that counts says anything of {ecosystem}: {_parts(count)} unasked"


def summary_lines(looked: Looked) -> Iterator[str]:
    """The last lines: how many there are, and what is known of how much."""
    counted = counts_says(looked)
    open_ = len(looked.unknown)
    unasked = sum(looked.unasked.values())
    known = looked.parts - open_ - unasked
    if not looked.parts and not looked.running.blind:
        yield "There is nothing to look at: nothing is known to run there."
        return
    if counted:
        yield f"Flaws: {counted}; {_parts(known)} looked at."
    else:
        yield f"No flaw is known in the {_parts(known)} that could be looked at."
    if open_ or unasked or looked.running.blind:
        where = len(looked.running.blind)
        beside = f" and {where} more things" if where else ""
        yield f"Nothing is known of {_parts(open_ + unasked)}{beside}: unknown is not clean."


def _part(one: Unknown) -> str:
    return " ".join(filter(None, (one.said.name, one.said.version)))


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"


def _names(wares: Sequence[Ware]) -> str:
    return choices(list(_distinct(ware.name for ware in wares)))


def _distinct(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(names)
