"""Each new flaw is told once, durably, to people and to hooks; and when it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.advisories.finding import Exploited
from allod.cli.output import Output
from allod.cli.vulnerabilities.found import Looked, look_at
from allod.cli.vulnerabilities.monitor import News
from allod.cli.vulnerabilities.news import TOLD, FlawEvent
from allod.cli.vulnerabilities.ware import Kind, Place, Ware, gathered
from allod.cli.vulnerabilities.watch import Spoken
from allod.domain.ids import FleetId
from allod.domain.sbom import SbomComponent
from allod.errors import AllodError
from allod.testing.advisories import MemoryAdvisories, about, record, versions

FIRST, SECOND = "CVE-2030-1001", "CVE-2030-1002"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
HERE, THERE = Place("a" * 64, "here"), Place("b" * 64, "there")


@dataclass
class Taker:
    """A hook that takes what it is brought, or does not."""

    name: str = "command"
    why: str = ""
    taken: list[FlawEvent] = field(default_factory=list)

    def take(self, event: FlawEvent) -> str:
        if not self.why:
            self.taken.append(event)
        return self.why


def ware(*versions_: str, key: str = "1", unseen: bool = False) -> Ware:
    """Something that consists of a library in these versions."""
    parts = tuple(SbomComponent("lib", one, f"pkg:pypi/lib@{one}") for one in versions_)
    dark = (("no-sbom", "nothing lies beside it"),) if unseen else ()
    return Ware(key, Kind.RELEASE, f"toaster {key}", parts, unseen=dark)


def flaws(*names: str, aliases: tuple[str, ...] = (), **more: object) -> MemoryAdvisories:
    """Flaws of every version of the library."""
    affected = about("PyPI", "lib", versions("introduced 0"))
    made = [record(name, affected, aliases=aliases) for name in names]
    return MemoryAdvisories(made, **more)  # type: ignore[arg-type]


def seen(known: MemoryAdvisories, *running: tuple[Ware, Place]) -> Looked:
    """A look at what runs."""
    return look_at(gathered(list(running)), known)


@pytest.fixture
def news(tmp_path: Path) -> News:
    """Of a fleet, on a disk."""
    return News(tmp_path / "flaws" / "news.json", FleetId("f" * 64))


def codes(events: tuple[FlawEvent, ...]) -> list[tuple[str, str]]:
    """What was told."""
    return [(one.code, one.flaw) for one in events]


def test_a_flaw_is_told_once_and_when_it_is_gone(news: News) -> None:
    """Two looks at the same tell it once, whoever looks; on another device it is no news."""
    looked = seen(flaws(FIRST), (ware("1.0"), HERE))
    assert codes(news.take(looked, NOW)) == [("new-flaw", FIRST)]
    assert News(news.path, news.fleet).take(looked, NOW) == ()
    both = seen(flaws(FIRST), (ware("1.0"), HERE), (ware("1.0"), THERE))
    assert news.take(both, NOW) == ()
    nothing = seen(MemoryAdvisories(), (ware("1.0"), HERE))
    assert codes(news.take(nothing, NOW)) == [("flaw-gone", FIRST)]
    assert codes(news.take(looked, NOW)) == [("new-flaw", FIRST)]


def test_another_name_for_a_flaw_is_no_news(news: News) -> None:
    """A record gets a CVE later: the flaw is the one that was told."""
    news.take(seen(flaws("PYSEC-1"), (ware("1.0"), HERE)), NOW)
    renamed = seen(flaws("PYSEC-1", aliases=(FIRST,)), (ware("1.0"), HERE))
    assert news.take(renamed, NOW) == ()


def test_that_a_flaw_is_exploited_is_news(news: News) -> None:
    """It is told again, once, when KEV names it."""
    news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW)
    worse = seen(flaws(FIRST, exploited=[Exploited(FIRST, "2026")]), (ware("1.0"), HERE))
    assert codes(news.take(worse, NOW)) == [("flaw-exploited", FIRST)]
    assert news.take(worse, NOW) == ()


def test_what_is_not_seen_is_not_gone(news: News) -> None:
    """A device whose new release has no SBOM may have the flaw still."""
    news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW)
    dark = seen(flaws(FIRST), (ware(key="2", unseen=True), HERE))
    assert news.take(dark, NOW) == ()
    gone = seen(flaws(FIRST), (ware(key="2"), HERE))
    assert codes(news.take(gone, NOW)) == [("flaw-gone", FIRST)]


def test_a_hook_hears_of_each_event_once(news: News) -> None:
    """One that fails hears it later; what an import found meanwhile waits for it too."""
    hook = Taker(why="it is ill")
    news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW, hooks=["command"])
    assert news.deliver([hook]) == ("the command did not take the news: it is ill",)
    news.take(seen(flaws(FIRST, SECOND), (ware("1.0"), HERE)), NOW)  # an import: no hooks
    hook.why = ""
    assert news.deliver([hook]) == ()
    assert News(news.path, news.fleet).deliver([hook]) == ()
    assert [one.flaw for one in hook.taken] == [FIRST, SECOND]
    assert len({one.id for one in hook.taken}) == 2


def test_many_at_once_do_not_drown_anybody(news: News) -> None:
    """The worst are told one by one, the rest as a number; none of them is told again."""
    many = flaws(*(f"CVE-2030-{number:04}" for number in range(TOLD + 5)))
    events = news.take(seen(many, (ware("1.0"), HERE)), NOW)
    assert (len(events), events[-1].code, events[-1].count) == (TOLD + 1, "more-flaws", 5)
    assert news.take(seen(many, (ware("1.0"), HERE)), NOW) == ()


def test_a_damaged_memory_is_no_first_look(news: News) -> None:
    """Else everything would be told again."""
    news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW)
    news.path.write_bytes(news.path.read_bytes()[:-5])
    with pytest.raises(AllodError):
        news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW)


def test_a_watchers_output_hears_what_an_import_found(
    news: News, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two looks an import was told of a flaw: the watcher prints it as well, once."""
    spoken = Spoken(Output())
    news.take(seen(MemoryAdvisories(), (ware("1.0"), HERE)), NOW, hooks=[spoken.name])
    news.take(seen(flaws(FIRST), (ware("1.0"), HERE)), NOW)  # the import
    for _ in range(2):
        assert news.deliver([spoken]) == ()
    says = f"! {FIRST} (severity unknown) is in lib 1.0 on 1 device"
    assert capsys.readouterr().out.splitlines() == [says]


def test_events_do_not_wait_for_ever(news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a hook that was given once and never again, the newest are kept."""
    monkeypatch.setattr("allod.cli.vulnerabilities.monitor.WAITING", 2)
    for number in range(3):
        known = flaws(f"CVE-2030-{number:04}")
        news.take(seen(known, (ware("1.0"), HERE)), NOW, hooks=["command"])
    hook = Taker()
    news.deliver([hook])
    assert [one.event for one in hook.taken] == ["found", "gone"]
