"""One look at a whole fleet, with its news: by a watcher, or as advisories come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from allod.cli.vulnerabilities.found import Looked, look_at
from allod.cli.vulnerabilities.monitor import News, news_of
from allod.cli.vulnerabilities.news import FlawEvent, unheard
from allod.cli.vulnerabilities.snapshot import load_snapshot, save_snapshot
from allod.errors import AllodError, Unavailable

if TYPE_CHECKING:
    from allod.advisories.store import AdvisoryStore
    from allod.cli.audit.hooks import Hook
    from allod.cli.fleet import LocalFleet
    from allod.cli.vulnerabilities.stored import Store


@dataclass(frozen=True, slots=True)
class Round:
    """What a look came to."""

    looked: Looked
    events: tuple[FlawEvent, ...]
    as_of: str = ""  #: when what runs was last seen; empty: now
    why: str = ""  #: why it was not seen now


def look_again(
    fleet: LocalFleet, known: AdvisoryStore, now: datetime, *, hooks: Sequence[str] = ()
) -> Round:
    """Look at what runs now, or ran last if the server cannot be asked; what is new is durable.

    Raises:
        AllodError: what the server shows does not hold, or nothing was ever seen.
    """
    from allod.cli.picture import take
    from allod.cli.vulnerabilities.running import Fleet
    from allod.cli.vulnerabilities.stored import Store

    try:
        picture = take(fleet, reading=True)
        whole = Fleet(picture)
        running = whole.running()
    except Unavailable as error:
        found = look_offline(fleet, known, now, hooks=hooks)
        if found is None:
            raise
        return replace(found, why=error.message)
    save_snapshot(fleet.directory, fleet.id, running, now)
    store = Store(picture, whole.bills, known)
    news = news_of(fleet.directory, fleet.id)
    looked = look_at(running, known)
    return Round(looked, _take(news, looked, now, hooks, store))


def look_offline(
    fleet: LocalFleet, known: AdvisoryStore, now: datetime, *, hooks: Sequence[str] = ()
) -> Round | None:
    """Look at what ran when it was last seen; None: it never was."""
    snapshot = load_snapshot(fleet.directory, fleet.id)
    if snapshot is None:
        return None
    looked = look_at(snapshot.running, known)
    news = news_of(fleet.directory, fleet.id)
    return Round(looked, _take(news, looked, now, hooks, None), snapshot.at)


def _take(
    news: News, looked: Looked, now: datetime, hooks: Sequence[str], store: Store | None
) -> tuple[FlawEvent, ...]:
    with news.alone():
        if store is not None:
            new = {id(line) for line in unheard(news.load().known, looked.lines)}
            lines = [store.mended(one) if id(one) in new else one for one in looked.lines]
            looked = replace(looked, lines=tuple(lines))
        return news.take(looked, now, hooks=hooks)


@dataclass(frozen=True, slots=True)
class FleetNews:
    """What an import is for one fleet."""

    fleet: str
    events: tuple[FlawEvent, ...] = ()
    as_of: str = ""
    trouble: str = ""
    undelivered: tuple[str, ...] = ()  #: why hooks did not take it


def after_import(
    known: AdvisoryStore, now: datetime, hooks: Sequence[Hook] = ()
) -> tuple[FleetNews, ...]:
    """Match what came in against what every fleet of this machine ran when it was last seen.

    It asks no server and no passphrase; hooks of watchers hear of what is new at their next look.

    Args:
        known: what is known now.
        now: when.
        hooks: that hear of it at once.
    """
    from allod.cli.fleet import LocalFleet, fleet_names, home_directory

    found: list[FleetNews] = []
    for name in fleet_names():
        try:
            fleet = LocalFleet.at(home_directory() / "fleets" / name)
            done = look_offline(fleet, known, now, hooks=[hook.name for hook in hooks])
            failed = bring(fleet, hooks)
        except AllodError as error:
            found.append(FleetNews(name, trouble=error.message))
            continue
        if done is not None:
            found.append(FleetNews(name, done.events, done.as_of, undelivered=failed))
    return tuple(found)


def bring(fleet: LocalFleet, hooks: Sequence[Hook]) -> tuple[str, ...]:
    """Bring what waits to hooks; why some could not be, in words."""
    if not hooks:
        return ()
    news = news_of(fleet.directory, fleet.id)
    with news.alone():
        return news.deliver(hooks)
