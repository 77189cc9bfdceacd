"""`allod advisories`: what this machine knows of reported vulnerabilities, and from whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options, Sure
from allod.domain.ids import parse_name

if TYPE_CHECKING:
    from allod.advisories.advisory import Advisory, Affected
    from allod.advisories.intake import Intake
    from allod.advisories.store import AdvisoryStore, Source

app = App(name="advisories", help="Take in what is reported of software, and look it up.")

app.command(
    "allod.cli.vulnerabilities.watch:watch",
    name="watch",
    help="Match what runs again and again; say each new flaw once.",
)

app.command(
    "allod.cli.vouch_mends:vouch",
    name="vouch",
    help="Say for devices which flaws releases mend.",
)

_SHOWN: Final = 10  #: refused files that are shown with an import; the rest with `refused`


def _store() -> AdvisoryStore:
    from allod.advisories.store import AdvisoryStore
    from allod.cli.vulnerabilities.known import advisories_path

    return AdvisoryStore(advisories_path())


@app.command(name="import")
def import_(
    path: Path,
    *,
    source: str,
    licence: str | None = None,
    kind: Literal["osv", "kev", "epss", "vex"] | None = None,
    shrink: Annotated[bool, Parameter(negative="")] = False,
    on_finding: str | None = None,
    webhook: str | None = None,
    options: Options = OPTIONS,
) -> int:
    """Take in a source as it is now: what is no longer in it goes, all of it or nothing.

    What it is for what your devices ran when they were last looked at is said at once, and brought
    to hooks; the exit status is 6 if one did not take it.

    Args:
        path: A directory, a git checkout, a zip, tar, tar.gz or tar.zst, or one file.
        source: What you call it; the same name again brings it up to date.
        licence: Under which it is published.
        kind: What its files are; else each is taken for what it looks like.
        shrink: Most of what it held may go.
        on_finding: A command that gets each event as JSON, as with 'advisories watch'.
        webhook: An address that each event is posted to, as JSON.
        options: Options of every verb.
    """
    from allod.advisories.intake import Kind, import_source
    from allod.cli.audit.watch import UNDELIVERED, hooks_of
    from allod.cli.options import now
    from allod.cli.vulnerabilities.rounds import after_import
    from allod.cli.vulnerabilities.watch import import_data, import_lines

    hooks = hooks_of(on_finding, webhook)
    name = parse_name(source, "a source")
    with _store() as store:
        with options.output.progress(f"Reading {path}") as advance:
            done = import_source(
                store,
                path,
                source=name,
                now=now(),
                licence=licence,
                kind=None if kind is None else Kind(kind),
                shrink=shrink,
                progress=advance,
            )
        mark = store.mark()
        news = after_import(store, now(), hooks)
    options.output.result(
        {"source": name, "mark": mark, **_told(done), "news": import_data(news)},
        "\n".join((_words(name, done), *import_lines(news))),
    )
    return UNDELIVERED if any(one.undelivered for one in news) else 0


def _told(done: Intake) -> dict[str, Any]:
    return {
        "added": done.added,
        "changed": done.changed,
        "removed": done.removed,
        "unchanged": done.unchanged,
        "ignored": done.ignored,
        "revision": done.revision,
        "refused": [{"file": one.file, "code": one.code, "why": one.why} for one in done.refused],
    }


def _words(name: str, done: Intake) -> str:
    counts = f"{done.added} new, {done.changed} changed, {done.removed} gone"
    lines = [f"{name}: {counts}, {done.unchanged} as they were."]
    if done.ignored:
        lines.append(f"{_files(done.ignored)} left aside: by name no data.")
    if done.refused:
        lines.append(f"{_files(len(done.refused))} not read; what stood there before stays:")
        lines.extend(f"  {one.why} [{one.code}]" for one in done.refused[:_SHOWN])
        if len(done.refused) > _SHOWN:
            lines.append(f"  … 'allod advisories refused {name}' shows all.")
    return "\n".join(lines)


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


@app.command
def sources(
    *, count: tuple[str, ...] = (), ignore: tuple[str, ...] = (), options: Options = OPTIONS
) -> None:
    """Show the sources, how old they are, and which count; say which count.

    Args:
        count: Let this source count from now on; several times.
        ignore: Let it no longer count, and keep it; several times.
        options: Options of every verb.
    """
    from allod.advisories.store_sources import let_count

    with _store() as store:
        for names, counts in ((count, True), (ignore, False)):
            for name in names:
                let_count(store, name, counts=counts)
        found = store.sources() if store.path.exists() else []
    columns = ("source", "counts", "what", "entries", "not read", "taken in", "licence", "from")
    options.output.table(
        {"sources": found}, columns, [_row(one) for one in found], empty="No sources yet."
    )


def _row(one: Source) -> Sequence[str]:
    origin = f"{one.origin} at {one.revision[:12]}" if one.revision else one.origin
    counts = "yes" if one.counts else "no"
    kinds = ", ".join(one.kinds)
    numbers = (str(one.records), str(one.refused))
    return (one.name, counts, kinds, *numbers, one.at, one.licence or "unknown", origin)


@app.command
def show(name: str, *, options: Options = OPTIONS) -> None:
    """Show all that is known of a flaw or an advisory, also from sources that do not count.

    Args:
        name: Its id, or any other name of it.
        options: Options of every verb.
    """
    from allod.errors import InvalidInput

    with _store() as store:
        records = store.records(name)
        exploited = store.exploited([name]).get(name)
        epss = store.epss([name]).get(name)
        statements = store.statements([name])
        counted = {one.name for one in store.sources() if one.counts}
    if not (records or exploited or epss or statements):
        raise InvalidInput("not-found", f"cannot find {name[:60]!r} in any source")
    data = {
        "records": records,
        "exploited": exploited,
        "epss": epss,
        "statements": statements,
    }
    lines = [line for one in records for line in _record(one, counts=one.source in counted)]
    if exploited is not None:
        lines.append(
            f"Exploited, since {exploited.added} at least; to be mended by {exploited.due}."
        )
    if epss is not None:
        lines.append(f"EPSS {epss.score:.3f}, higher than {epss.percentile:.0%}; {epss.at}.")
    for said in statements:
        about = f"{len(said.products)} products, {said.products[0]}" if said.products else "nothing"
        lines.append(f"{said.author}, {said.at}: {said.status} ({said.justification}) of {about}")
    options.output.result(data, "\n".join(lines))


def _record(one: Advisory, *, counts: bool) -> Iterator[str]:
    yield f"{one.id}  ({one.source}{'' if counts else ', which does not count'}; {one.file})"
    if one.withdrawn:
        yield f"  withdrawn {one.withdrawn}"
    if one.summary:
        yield f"  {one.summary}"
    for word, names in (
        ("also", one.aliases),
        ("mends", one.upstream),
        ("related", one.related),
        ("severity", [f"{said.kind} {said.score}" for said in one.severity]),
        ("changed", [one.modified]),
        ("licence", [one.licence] if one.licence else []),
    ):
        if names:
            yield f"  {word}: {', '.join(names)}"
    for said in one.affected:
        yield f"  {said.ecosystem or 'no ecosystem'} {said.name or '(no package)'}: {_ranges(said)}"


def _ranges(said: Affected) -> str:
    parts = [
        f"{one.kind} {', '.join(f'{event.bound} {event.version}' for event in one.events)}"
        for one in said.ranges
    ]
    if said.versions:
        parts.append(f"{len(said.versions)} versions, enumerated")
    return "; ".join(parts) or "no versions said"


@app.command(name="list")
def list_(source: str, *, package: str = "", options: Options = OPTIONS) -> None:
    """Show what is in a source.

    Args:
        source: Which one.
        package: Only records about packages of this name.
        options: Options of every verb.
    """
    from allod.advisories.store_sources import entries

    with _store() as store:
        found = entries(store, source, package)
    rows = [(one.id, one.kind, "withdrawn" if one.withdrawn else "", one.file) for one in found]
    options.output.table({"entries": found}, ("id", "what", "", "file"), rows, empty="Nothing.")


@app.command
def refused(source: str, *, options: Options = OPTIONS) -> None:
    """Show which files of a source could not be read, and why.

    Args:
        source: Which one.
        options: Options of every verb.
    """
    with _store() as store:
        found = store.refused(source)
    rows = [(one.file, one.code, one.why) for one in found]
    options.output.table(
        {"refused": found}, ("file", "code", "why"), rows, empty="All of it was read."
    )


@app.command
def remove(source: str, *, yes: Sure = False, options: Options = OPTIONS) -> None:
    """Take a source out, with all that came from it.

    Args:
        source: Which one.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.advisories.store_sources import remove_source

    options.output.confirm(f"Remove the source {source}?", yes=yes)
    with _store() as store:
        gone = remove_source(store, source)
    options.output.result({"source": source, "removed": gone}, f"{source} is out: {gone} entries.")
