"""Attack 17, 37: what a verifier finds that a release mends, and what nobody is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.attacks.evidence_world import LAB
from tests.unit.cli.vulnerabilities.shop import FLAW, Shop, known, sbom, waitress

from allod.cli.vouch_mends import _Voucher
from allod.cli.vulnerabilities.stored import Store
from allod.cli.vulnerabilities.ware import Release
from allod.errors import AllodError
from allod.trust.keys import from_key
from allod.wire.trust import Verifier, Withdrawal


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def found(
    shop: Shop, release: Release, *recalled: Release, sources: tuple[str, ...] = ()
) -> Mapping:
    """What a verifier would sign: version of the older release -> flaws."""
    withdrawn = {one.digest: Withdrawal(digest=one.digest, why="smoke") for one in recalled}
    base = SimpleNamespace(withdrawn=withdrawn)
    picture = SimpleNamespace(catalog=shop.catalog, base=base)
    store = Store(picture, shop.bills, known(), recalled=True)  # type: ignore[arg-type]
    public = from_key(LAB.public_key)
    lab = Verifier(name="lab", key=public, vouches=["mends"], sources=list(sources))
    before = _Voucher(picture, store, lab, LAB)._before(release)  # type: ignore[arg-type]
    return {digest: {one.flaw for one in mended} for digest, mended in before.items()}


def test_attack_17_what_was_recalled_mends_nothing_and_is_mended(shop: Shop) -> None:
    """A recalled release is vouched for no more; devices that run one are told what mends it."""
    old = shop.push("2.1.1", sbom(waitress("2.1.1")))
    new = shop.push("2.1.2", sbom(waitress("2.1.2")))
    assert found(shop, new, old) == {old.digest: {FLAW}}
    with pytest.raises(AllodError) as caught:
        found(shop, new, new)
    assert caught.value.code == "withdrawn"


def test_attack_37_what_is_not_known_is_not_vouched_for(shop: Shop) -> None:
    """A list of parts that nobody signed, a part without a version, and a release that merely leaves
    the list away, mend nothing; nor does one that has the flaw still.
    """
    old = shop.push("2.1.1", sbom(waitress("2.1.1")))
    shop.push("2.1.0", sbom(waitress("2.1.0")), sign=False)
    still = shop.push("2.1.1.1", sbom(waitress("2.1.1")))
    open_ = shop.push("2.1.3", sbom({"type": "library", "name": "waitress"}))
    assert found(shop, still) == {}
    assert found(shop, open_) == {}
    for version, signed in (("2.1.4", False), ("2.1.5", True)):
        silent = shop.push(version, *([] if signed else [sbom(waitress("2.1.2"))]), sign=False)
        with pytest.raises(AllodError) as caught:
            found(shop, silent)
        assert caught.value.code == "flaws-unknown"
    good = shop.push("2.1.6", sbom(waitress("2.1.2")))
    assert found(shop, good) == {old.digest: {FLAW}, still.digest: {FLAW}}


def test_attack_37_a_verifier_speaks_for_its_sources_only(shop: Shop) -> None:
    """Flaws that only other sources report are left out of what it signs."""
    old = shop.push("2.1.1", sbom(waitress("2.1.1")))
    new = shop.push("2.1.2", sbom(waitress("2.1.2")))
    assert found(shop, new, sources=("elsewhere",)) == {}
    reported = known()
    [source] = {
        one.advisory.source
        for many in reported.about([("PyPI", "waitress")]).values()
        for one in many
    }
    assert found(shop, new, sources=(source,)) == {old.digest: {FLAW}}
