"""What a failure says beyond its message, where the way out is another verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Owner

from allod import program
from allod.cli.client import ApiClient
from allod.errors import Untrusted


@pytest.mark.parametrize("code", ["rollback", "root-withheld"])
def test_a_server_that_went_back_is_told_with_the_way_out(
    code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a restore the owner meets this first; they are told what brings the server forward."""
    program._show(Untrusted(code, "cannot accept timestamp"), json=False)
    assert "allod server floors" in capsys.readouterr().err
    program._show(Untrusted(code, "cannot accept timestamp"), json=True)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stranger_at_the_servers_address_does_not_stop_the_beginning(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program over TLS on the port: the fleet waits in the inbox of its own server."""

    def stranger(*_request: Any) -> bytes:
        raise Untrusted("wrong-certificate", "cannot speak to it")

    monkeypatch.setattr(ApiClient, "_exchange", stranger)
    made = owner.do("init", "home", "--server", tmp_path / "s", "--recovery-file", tmp_path / "p")
    assert made["delivered"] == "inbox"
    assert list((tmp_path / "s" / "inbox").iterdir())
