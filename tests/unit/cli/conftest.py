"""An owner's machine in a directory, and its server without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
from tests.unit.cli.served import Moment, Served

from allod.cli.client import ApiClient
from allod.cli.fleet import LocalFleet
from allod.cli.options import another_clock
from allod.cli.passphrase import Passphrase
from allod.program import main

PASSPHRASE = "correct horse"
START = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Owner:
    """Somebody with a machine: runs `allod` in this process."""

    home: Path
    served: Served
    clock: Moment
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str | Path) -> int:
        """The exit status of a command; what it said lies in `said`."""
        self.monkeypatch.setenv("ALLOD_HOME", str(self.home))
        status = main([str(one) for one in arguments])
        captured = self.capsys.readouterr()
        self.out, self.said = captured.out, captured.err
        return status

    def do(self, *arguments: str | Path) -> Any:
        """The JSON answer of a command that must succeed."""
        status = self.run(*arguments, "--json")
        assert status == 0, (arguments, self.said)
        return json.loads(self.out)

    def refused(self, *arguments: str | Path) -> str:
        """The error code of a command that must fail."""
        assert self.run(*arguments, "--json") != 0, (arguments, self.out)
        return json.loads(self.said.strip().splitlines()[-1])["error"]["code"]

    def fleet(self, name: str = "home") -> LocalFleet:
        """The fleet on this machine."""
        return LocalFleet.at(self.home / "fleets" / name, passphrase=Passphrase.given(PASSPHRASE))

    def elsewhere(self, name: str) -> Owner:
        """The same person at another machine."""
        return Owner(
            self.home.parent / name, self.served, self.clock, self.capsys, self.monkeypatch
        )


@pytest.fixture
def clock() -> Moment:
    """The time of owner and server."""
    return Moment(START)


@pytest.fixture
def owner(
    tmp_path: Path,
    clock: Moment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Owner]:
    """Somebody who has nothing yet."""
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    monkeypatch.setenv("ALLOD_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.delenv("ALLOD_FLEET", raising=False)
    # The cost of a passphrase is measured elsewhere; here it would only make tests slow.
    monkeypatch.setattr("allod.cli.pkcs8.SCRYPT_N", 16)
    monkeypatch.setattr("allod.cli.pkcs8.SCRYPT_P", 1)
    served = Served(tmp_path / "server", clock)

    def exchange(client: ApiClient, *request: Any) -> bytes:
        return served.exchange(client, *request)

    monkeypatch.setattr(ApiClient, "_exchange", exchange)
    monkeypatch.setattr("allod.cli.client.FIRST_PAUSE", 0.0)
    monkeypatch.setenv("ALLOD_WITNESS_WAIT", "0s")
    monkeypatch.setattr("allod.cli.refresh.SETTLE", 0.0)
    with (
        another_clock(clock.now),
        capture_logs(),
    ):  # the server is in this process; its log is not the command's output
        yield Owner(tmp_path / "laptop", served, clock, capsys, monkeypatch)
    served.close()


@pytest.fixture
def begun(owner: Owner, tmp_path: Path) -> Owner:
    """Somebody with a fleet at home, its server running; the recovery key lies in a file."""
    owner.served.down = True
    owner.do("init", "home", "--server", tmp_path / "server", "--recovery-file", tmp_path / "paper")
    owner.served.down = False
    owner.served.restart()
    return owner


@pytest.fixture
def later(clock: Moment) -> Callable[[int], None]:
    """Lets days pass."""

    def pass_(days: int) -> None:
        clock.at += timedelta(days=days)

    return pass_


@pytest.fixture
def works(begun: Owner) -> Any:
    """A fleet with a group and a provider's releases, for several people."""
    from tests.unit.cli.people_at_work import Works

    return Works.begin(begun)
