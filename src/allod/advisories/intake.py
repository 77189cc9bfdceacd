"""Taking a source of advisories in: file by file, in one transaction, nothing dropped silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from allod.advisories import epss, kev, openvex, osv
from allod.advisories.intake_archives import Found, Ignored
from allod.advisories.intake_files import files_of
from allod.advisories.intake_git import revision_of
from allod.advisories.names import normalise
from allod.advisories.reading import fault, read_json
from allod.advisories.reading_yaml import read_yaml
from allod.advisories.store import AdvisoryStore, RefusedFile, transaction
from allod.advisories.store_writer import Counts, Seen, SourceWriter
from allod.errors import InvalidInput, Refused
from allod.wire.codec import instant

_FEW: Final = 20  #: entries that may go unasked, however few are left
_STEP: Final = 250  #: files between two signs of progress


class Kind(StrEnum):
    """Formats that are read."""

    OSV = "osv"
    KEV = "kev"
    EPSS = "epss"
    VEX = "vex"


#: Bytes of one document.
CAPS: Final = {
    None: kev.KEV_CAP,
    Kind.OSV: osv.RECORD_CAP,
    Kind.KEV: kev.KEV_CAP,
    Kind.VEX: openvex.VEX_CAP,
}


@dataclass(frozen=True, slots=True)
class Intake:
    """What an import did, counted by record, or by line of a list."""

    added: int
    changed: int
    removed: int
    unchanged: int
    refused: tuple[RefusedFile, ...]  #: what could not be read; what it held before stays
    ignored: int  #: files that are no data by their names
    revision: str  #: the commit of a git checkout


def import_source(
    store: AdvisoryStore,
    path: Path,
    *,
    source: str,
    now: datetime,
    licence: str | None = None,
    kind: Kind | None = None,
    shrink: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Intake:
    """Let the store hold what `path` says now, under the name `source`; all of it or nothing.

    Args:
        store: the store, closed or open; it is open for writing afterwards.
        path: a directory, a git checkout, a zip, a tar (plain, .gz, .zst), or one file.
        source: what the owner calls it.
        now: for the record.
        licence: of the source; None: as it was.
        kind: what all its files are; None: each as it looks.
        shrink: most of what it held may go.
        progress: called with numbers of files.

    Raises:
        InvalidInput: `bad-archive`, `too-large`, `not-found`, `bad-name`; `nothing-there`.
        Refused: `source-shrinks`: it looks like another source.
        Conflict: `advisories-busy`.
        Unavailable: `local-io`.
    """
    store.open(readonly=False)
    ignored = Ignored()
    with store.faults(), transaction(store.connection):
        writer = SourceWriter(store.connection, source, normalise)
        refused = []
        files = 0
        for found in files_of(path, ignored):
            error = _take(writer, found, source, kind)
            if error is not None:
                writer.refuse(found.path, error)
                refused.append(RefusedFile(found.path, error.code, error.message))
            files += 1
            if files % _STEP == 0:
                progress(_STEP)
        if len(refused) == files:
            why = f"the first of {files}: {refused[0].why}" if refused else "it holds no data"
            raise InvalidInput("nothing-there", f"cannot import {path}: {why}")
        writer.finish(
            at=instant(now),
            origin=str(path),
            revision=revision_of(path),
            licence=licence,
            ignored=ignored.files,
        )
        if not shrink:
            _check_shrinking(writer.counts, path, source)
    progress(files % _STEP)
    counts = writer.counts
    return Intake(
        counts.added,
        counts.changed,
        counts.removed,
        counts.unchanged,
        tuple(refused),
        ignored.files,
        revision_of(path),
    )


def _check_shrinking(counts: Counts, path: Path, source: str) -> None:
    """Another source under the same name would silently take away what is known."""
    left = counts.changed + counts.unchanged
    if counts.removed > max(left, _FEW):
        raise Refused(
            "source-shrinks",
            f"cannot import {path} as {source}: {counts.removed} of the {counts.removed + left} "
            "entries that it held are not there; give it a name of its own, or --shrink if they "
            "are to go",
        )


def _take(
    writer: SourceWriter, found: Found, source: str, kind: Kind | None
) -> InvalidInput | None:
    """Take one file in; why it can't be, if so."""
    if found.fault is not None:
        return found.fault
    number, seen = writer.file(found.path, found.data)
    if seen is Seen.TWICE:
        return InvalidInput("bad-file", f"cannot read {found.path[:200]!r}: it stands there twice")
    if seen is Seen.UNCHANGED:
        return None
    try:
        _decode(writer, number, found, source, kind, new=seen is Seen.NEW)
    except InvalidInput as error:
        return error
    return None


def _decode(
    writer: SourceWriter, number: int, found: Found, source: str, kind: Kind | None, *, new: bool
) -> None:
    path, data = found.path, found.data
    if kind is Kind.EPSS or (kind is None and epss.is_epss(data)):
        writer.epss(number, list(epss.decode_epss(data, file=path)))
        return
    if path.lower().endswith(".csv"):
        raise fault(path, "it is CSV, and not that of EPSS")
    if path.lower().endswith((".yaml", ".yml")):
        value = read_yaml(data, file=path)
    else:
        value = read_json(data, cap=CAPS[kind], file=path)
    sort = kind or _sort_of(value, path)
    if sort is Kind.VEX:
        writer.statements(number, openvex.vex_of(value, source=source, file=path))
    elif sort is Kind.KEV:
        writer.exploited(number, kev.exploited_of(value, file=path))
    else:
        writer.advisory(number, osv.advisory_of(value, source=source, file=path), new=new)


def _sort_of(value: Any, path: str) -> Kind:
    """What a document is meant as."""
    if osv.is_advisory(value):
        return Kind.OSV
    if openvex.is_vex(value):
        return Kind.VEX
    if kev.is_exploited(value):
        return Kind.KEV
    raise fault(path, "it is no record of OSV (id, modified), no OpenVEX and no KEV")
