"""What an audit proved and found, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from allod.audit.findings import Finding
from allod.cli.audit.run import LogProof, Result

_SHOWN: Final = 50  #: of each kind of line
ALONE: Final = "without witnesses this does not prove that others are shown the same"


def as_data(result: Result) -> dict[str, Any]:
    """The answer of `--json`."""
    return {
        "fleet": result.fleet,
        "source": result.source,
        "at": result.at,
        "since": result.since,
        "logs": [
            {
                "origin": log.origin,
                "entries": log.entries,
                "new": log.fresh,
                "root": log.root,
                "proved": log.proved,
                "witnesses": [{"name": name, "at": at} for name, at in log.witnesses],
                "counts": log.counts,
            }
            for log in result.logs
        ],
        "counts": result.counts,
        "findings": [_finding(one) for one in result.findings],
        "earlier": [_finding(one) for one in result.earlier],
        "unchecked": result.unchecked,
        "notes": result.notes,
        "singletons": msgspec.to_builtins(result.singletons),
        "serverSays": msgspec.to_builtins(result.said),
        "witnessed": witnessed(result),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "subject": one.subject,
        "says": one.says,
        "index": one.index,
        "means": one.means,
        "do": one.do,
    }


def witnessed(result: Result) -> bool:
    """Whether somebody vouches for every log that was proved."""
    return bool(result.logs) and all(log.witnesses for log in result.logs if log.proved)


def in_words(result: Result) -> str:
    """The answer for people."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield f"Fleet {result.fleet}, as {result.source} shows it, {result.since} to {result.at}"
    for log in result.logs:
        yield from _log(log)
    counts = result.counts
    yield (
        f"Compared with the logs: {_many(counts.get('files', 0), 'file')} of roles, "
        f"{_many(counts.get('documents', 0), 'document')}, "
        f"{_many(counts.get('bindings', 0), 'binding')} of "
        f"{_many(counts.get('devices', 0), 'device')}, "
        f"{_many(counts.get('reports', 0), 'report')}, "
        f"{_many(counts.get('receipts', 0), 'receipt')}"
    )
    if alone := [_name(log) for log in result.logs if log.proved and not log.witnesses]:
        yield f"Note: nobody vouches for {', '.join(alone)}; {ALONE}."
    yield from _aside(result)
    yield from _found(result)


def _aside(result: Result) -> Iterator[str]:
    """What is no finding, and should be seen."""
    if result.singletons:
        yield f"Only one device has ({len(result.singletons)}; no alarm, for you to look at):"
        for single in result.singletons[:_SHOWN]:
            yield f"  {single.package} {single.version} {single.digest}: {single.device}"
    if result.said:
        yield f"The server logged ({len(result.said)}; its own word):"
        for said in result.said[-_SHOWN:]:
            yield f"  {said.at} {said.code} {said.subject}: {said.says}"
    for text in result.notes:
        yield f"Note: {text}."
    for text in result.unchecked:
        yield f"Not checked: {text}"


def _found(result: Result) -> Iterator[str]:
    if result.earlier:
        earlier = _many(len(result.earlier), "finding")
        yield f"{earlier} of earlier audits stand; --scratch says them anew."
    if not result.findings:
        yield "Nothing new was found." if result.earlier else "Nothing was found."
        return
    yield f"Found ({len(result.findings)}):"
    for one in result.findings[:_SHOWN]:
        where = "" if one.index is None else f" (entry {one.index})"
        yield f"! {one.code}: {one.subject}{where}: {one.says}"
        yield f"    {one.means}"
        yield f"    {one.do}"
    if len(result.findings) > _SHOWN:
        yield f"  and {len(result.findings) - _SHOWN} more; --json says them all."


def _name(log: LogProof) -> str:
    return log.origin.split("/", 3)[-1]


def _log(log: LogProof) -> Iterator[str]:
    name = _name(log)
    if not log.proved:
        yield f"Log {name}: {log.entries} entries are claimed, and not proved."
        return
    new = "all of them read now" if log.fresh == log.entries else f"{log.fresh} of them new"
    counts = log.counts
    told = (
        f"; {counts['counting']} of {counts['judged']} read now count"
        if "counting" in counts
        else ""
    )
    yield f"Log {name}: {_many(log.entries, 'entry')}, {new}; nothing was rewritten or left out{told}"
    for witness, at in log.witnesses:
        yield f"  {witness} vouched for it at {at}"


def _many(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{count} {plural}"
