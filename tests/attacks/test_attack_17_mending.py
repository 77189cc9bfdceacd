"""Attack 17: a release that was recalled is offered as what mends a flaw."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.vulnerabilities.shop import FLAW, Shop, known, sbom, waitress
from tests.unit.domain.plan_world import did, digest, followed, refused

from allod.advisories.assessing import assess
from allod.cli.vulnerabilities.found import Line, wares_of
from allod.cli.vulnerabilities.stored import Store
from allod.domain.terms import PROVIDER, VersionRule, Versions
from allod.wire.trust import Withdrawal


@pytest.mark.parametrize("listed", [True, False], ids=["by its SBOM", "by its provider's word"])
def test_attack_17_a_recalled_release_is_not_offered_as_the_cure(
    tmp_path: Path, listed: bool
) -> None:
    """It would mend the flaw, and for a while it was offered: recalled, it is passed over for the
    next one, although nothing else about it changed.
    """
    shop, advisories = Shop(tmp_path), known()
    runs = shop.push("1.0", sbom(waitress("2.1.1")))
    cures = [
        shop.push(version, sbom(waitress("2.1.2")))
        if listed
        else shop.push(version, mends=f"{FLAW} X")
        for version in ("1.1", "1.2")
    ]
    ware = shop.bills.ware(runs)
    (finding,) = assess(wares_of(ware), advisories).findings
    withdrawn: dict[str, Withdrawal] = {}
    picture: Any = SimpleNamespace(catalog=shop.catalog, base=SimpleNamespace(withdrawn=withdrawn))

    def offered() -> list[str]:
        line = Store(picture, shop.bills, advisories).mended(Line(finding, (ware,)))
        return [release.version for release in line.releases]

    assert offered() == ["1.1", "1.2"]
    withdrawn[cures[0].digest] = Withdrawal(digest=cures[0].digest, why="it burns bread")
    assert offered() == ["1.2"]
    withdrawn[cures[1].digest] = Withdrawal(digest=cures[1].digest, why="it burns bread too")
    assert offered() == []


def test_attack_17_a_recalled_fix_is_not_taken() -> None:
    """Whoever takes security fixes takes none that was recalled, whatever it mends."""
    world = followed(Versions(VersionRule.SECURITY, frozenset({PROVIDER})), mends=(FLAW,))
    assert did(world.plan()) == ["Transfer"]
    found = world.plan(withdrawn={digest("2.0.2"): "it burns bread"})
    assert (did(found), refused(found)) == ([], ["withdrawn"])
