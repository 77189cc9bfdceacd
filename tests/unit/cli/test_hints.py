"""What a failure says beyond its message, where the way out is another verb."""

from __future__ import annotations

import pytest

from allod import program
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
