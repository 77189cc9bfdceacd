"""A provider is distrusted from an entry of the log on, or gone and adopted."""

from __future__ import annotations

from tests.unit.cli.test_delegate import EXAMPLE, Owner, with_acme

from allod.cli.documents import newest
from allod.domain.ids import parse_provider
from allod.trust.keys import key_id

__all__ = ["with_acme"]  # a fixture


def test_distrust_from_an_entry_on(with_acme: Owner) -> None:
    """The index stands in the document; it is one that this machine has verified; followers are named."""
    with_acme.do(*EXAMPLE, "--yes")
    distrust = ("provider", "distrust", "acme", "--why", "stolen key")
    assert with_acme.refused(*distrust, "--after", "1000", "--yes") == "bad-arguments"
    done = with_acme.do(*distrust, "--after", "3", "--yes")
    assert done["remarks"] == ["acme-security: what acme/stable said after entry 3 does not count"]
    shown = with_acme.do("provider", "show", "acme")
    assert (shown["distrusted"], shown["distrustedAfter"]) == ("stolen key", 3)
    assert shown["channels"] == []


def test_adopting_puts_a_key_of_the_owner_in_the_place_of_theirs(with_acme: Owner) -> None:
    """Their keys count no more; who follows them is named; a second time changes nothing of the key."""
    with_acme.do(*EXAMPLE, "--yes")
    base = newest(with_acme.fleet())
    theirs = [key_id(key) for key in base.providers[parse_provider("acme")].keys]
    done = with_acme.do("provider", "adopt", "acme", "--why", "bankrupt", "--yes")
    assert any("acme-security follows" in one for one in done["remarks"])
    assert done["vouched"] == []
    shown = with_acme.do("provider", "show", "acme")
    assert shown["adopted"] == "bankrupt"
    assert not set(shown["keys"]) & set(theirs)
    held = with_acme.fleet().keys.records("provider:acme")
    assert [one.id for one in held] == shown["keys"]
    assert with_acme.refused("provider", "adopt", "nobody", "--why", "x", "--yes") == (
        "unknown-provider"
    )
