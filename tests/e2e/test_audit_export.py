"""What an export holds for auditors, and when it holds nothing for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.home import Home

pytestmark = pytest.mark.timeout(180)


def names(stick: Path) -> set[str]:
    """The directories below the fleet."""
    (fleet,) = (stick / "f").iterdir()
    return {path.relative_to(fleet).as_posix() for path in fleet.rglob("*") if path.is_dir()}


@pytest.mark.slow
def test_only_a_whole_export_is_for_auditors(home: Home) -> None:
    """A stick for some devices, or for devices alone, tells nobody what the others report; a whole
    one does, and written again it writes nothing.
    """
    device = home.device("audited", "pantry")
    home.do("deploy", "pantry", home.app("scale", "1"), "-y")
    device.converge()
    some, plain, whole = (home.place / f"stick-{name}" for name in ("some", "plain", "whole"))
    home.do("export", some, "--scope", "pantry")
    home.do("export", plain, "--devices-only")
    home.do("export", whole)
    assert home.do("export", whole)["written"] == 0
    for stick in (some, plain):
        assert "log/authority/tile/entries" in names(stick)
        assert not any(
            name.startswith(("log/activity", "bindings", "devices")) for name in names(stick)
        )
    assert {
        "log/activity/tile/0",
        f"bindings/{device.id}",
        f"devices/{device.id}/reports/1",
    } <= names(whole)
    device.run("run", "--once", "--from", whole, code=None)
    assert home.row(device, "scale")["state"] == "as wanted"
