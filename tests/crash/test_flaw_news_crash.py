"""A command that is cut off while it tells news of flaws: nothing is lost, nothing told anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.cli.vulnerabilities import monitor
from allod.cli.vulnerabilities.found import look_at
from allod.cli.vulnerabilities.monitor import News
from allod.cli.vulnerabilities.news import FlawEvent
from allod.cli.vulnerabilities.ware import Kind, Place, Ware, gathered
from allod.domain.ids import FleetId
from allod.domain.sbom import SbomComponent
from allod.durable import write_atomic
from allod.testing.advisories import MemoryAdvisories, about, record, versions

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PART = SbomComponent("lib", "1.0", "pkg:pypi/lib@1.0")
RUNNING = gathered([(Ware("1", Kind.RELEASE, "toaster", (PART,)), Place("a" * 64, "here"))])
FLAWS = ("CVE-2030-1001", "CVE-2030-1002", "CVE-2030-1003")
#: What is known at each look: a flaw comes, another, the first goes.
LOOKS = (FLAWS[:1], FLAWS[:2], FLAWS[1:2], FLAWS[1:])


class PowerCut(Exception):
    """The command ends here."""


@dataclass
class Disk:
    """Fails the n-th write, before it persists or after."""

    at: int
    after: bool
    writes: int = 0

    def __call__(self, path: Path, data: bytes) -> None:
        self.writes += 1
        fails = self.writes == self.at
        if not fails or self.after:
            write_atomic(path, data)
        if fails:
            raise PowerCut


@dataclass
class Hook:
    """Takes everything."""

    name: str = "command"
    taken: list[FlawEvent] = field(default_factory=list)

    def take(self, event: FlawEvent) -> str:
        self.taken.append(event)
        return ""


@pytest.mark.parametrize("after", [False, True], ids=["not persisted", "persisted"])
@pytest.mark.parametrize("at", range(1, 10))
def test_news_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    """Each event reaches the hook, in order; at most the one under way twice, with the same id."""
    monkeypatch.setattr(monitor, "write_atomic", Disk(at, after))
    hook = Hook()
    for names in LOOKS:
        affected = about("PyPI", "lib", versions("introduced 0"))
        looked = look_at(RUNNING, MemoryAdvisories([record(one, affected) for one in names]))
        while True:
            news = News(tmp_path / "news.json", FleetId("f" * 64))
            try:
                news.take(looked, NOW, hooks=[hook.name])
                news.deliver([hook])
                break
            except PowerCut:
                continue
    once = list({one.id: one for one in hook.taken}.values())
    assert [(one.event, one.flaw) for one in once] == [
        ("found", FLAWS[0]),
        ("found", FLAWS[1]),
        ("gone", FLAWS[0]),
        ("found", FLAWS[2]),
    ]
    assert len(hook.taken) - len(once) <= 1
