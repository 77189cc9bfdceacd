"""What a preview says devices would refuse, and what they would wait with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from allod.cli.consequences import GRAVE, Surroundings, consequences
from allod.cli.foreseen import Outlook
from allod.domain import ids
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Delegate, Delegation
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.release import Kind, Release
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member
from allod.domain.terms import Approvals, NewAccess, VersionRule, Versions, Windows
from allod.errors import InvalidInput
from allod.wire.trust import ProviderDocument

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
FLEET = ids.FleetId("0" * 64)
HERE = ids.group_scope(ids.GroupName("here"))
ME = ids.ProviderName("me")
LAMP = ids.Purl("pkg:generic/me/lamp")
ACCESS = {"1.0.0": (), "2.0.0": (), "2.0.1": ("camera",)}


class Shelf:
    """Some releases."""

    def release(self, provider: ids.ProviderName, package: ids.Purl, digest: ids.Digest) -> Release:
        """The release of that digest."""
        for version, access in ACCESS.items():
            if ids.sha256(version.encode()) == digest and provider == ME:
                return Release(
                    package, ids.Version(version), provider, Kind.TREE, access=frozenset(access)
                )
        raise InvalidInput("no-such-release", "cannot find it")


def order(version: str) -> ReleaseOrder:
    """A release that is to run."""
    return ReleaseOrder(ME, ids.Version(version), ids.sha256(version.encode()), Level.ACTIVE)


def document(version: str | None, *terms: Term, author: str = "owner") -> StateDocument:
    """The group wants it."""
    wanted = {} if version is None else {LAMP: PackageEntry(Software(releases=(order(version),)))}
    return StateDocument(FLEET, HERE, wanted, terms=terms, author=author)


def member(letter: str, version: str) -> Member:
    """A device of the group that runs it."""
    runs = ActualRelease(ids.Version(version), ids.sha256(version.encode()), Level.ACTIVE)
    actual = Actual(NOW, 1, {}, {LAMP: ActualPackage(LAMP, "active", (runs,))})
    return Member(ids.DeviceId(letter * 64), 1, (ids.GroupName("here"),), actual=actual)


MEMBERS = (member("a", "1.0.0"), member("b", "1.0.0"), member("c", "2.0.0"))


def said(
    before: StateDocument,
    after: StateDocument,
    documents: dict[ids.Scope, StateDocument] | None = None,
    **outlook: Any,
) -> list[tuple[str, str]]:
    """Codes and words that only devices can say."""
    known = {HERE: before} if documents is None else documents
    around = Surroundings(MEMBERS, Shelf(), {}, known, Outlook(NOW, **outlook))  # type: ignore[arg-type]
    found = consequences({HERE: before}, {HERE: after}, around)
    return [(one.code, one.says) for one in found if one.code.startswith("would")]


def test_a_preview_names_the_term_and_counts_the_devices() -> None:
    """Those on which it would be too great a step, and no others."""
    rule = Versions(VersionRule.SAME_MINOR)
    why = "only patches of the same minor version: 2.0.0 is no patch of 1.0.0"
    assert said(document("1.0.0", rule), document("2.0.0", rule)) == [
        ("would-refuse", f"lamp would be refused on 2 devices because of version-rule: {why}")
    ]
    assert "would-refuse" in GRAVE


def test_a_preview_says_what_is_waited_for() -> None:
    """Not grave: it was asked for."""
    shut = Windows(())
    assert said(document("1.0.0", shut), document("2.0.0", shut)) == [
        (
            "would-wait",
            "lamp would wait on 2 devices: window: only in a window, and there is none: it never opens",
        )
    ]
    assert "would-wait" not in GRAVE


def test_what_the_change_itself_says_is_not_said_twice() -> None:
    """Access that is not accepted stands there already, for all devices."""
    assert said(document("2.0.0"), document("2.0.1")) == []
    strict = NewAccess(strict=True)
    told = said(document("2.0.0", strict), document("2.0.1", strict))
    assert [code for code, _ in told] == ["would-refuse"]
    assert "on 3 devices because of new-access" in told[0][1]


def test_a_delegates_change_is_held_to_its_delegation() -> None:
    """By the planner of the devices, before the delegate signs."""
    given = Delegation(
        "ops", frozenset({HERE}), (LAMP,), frozenset(Verb), (Approvals((("qa", 1),)),)
    )
    owners = StateDocument(FLEET, HERE, {LAMP: PackageEntry(Software("ops"))})
    theirs = document("1.0.0", author="ops")
    delegates = {"ops": Delegate(given, {HERE: theirs})}
    found = said(theirs, document("2.0.0", author="ops"), {HERE: owners}, delegates=delegates)
    assert [code for code, _ in found] == ["would-refuse"]
    assert "on 2 devices because of approvals-missing" in found[0][1]


def test_a_provider_who_is_distrusted_is_named() -> None:
    """Unless only from an entry of the log on: which releases that bars, devices know."""
    whole = ProviderDocument(fleet=FLEET, provider="me", keys=[], namespaces=[], distrusted="sold")
    found = said(document("1.0.0"), document("2.0.0"), providers={ME: whole})
    assert "because of provider-distrusted: me is distrusted: sold" in found[0][1]
    later = ProviderDocument(
        fleet=FLEET, provider="me", keys=[], namespaces=[], distrusted="sold", distrusted_after=4
    )
    assert said(document("1.0.0"), document("2.0.0"), providers={ME: later}) == []


def test_without_an_outlook_nothing_is_foreseen() -> None:
    """The rest of the preview stands by itself."""
    around = Surroundings(MEMBERS, Shelf(), {}, {})  # type: ignore[arg-type]
    terms = (Windows(()),)
    found = consequences(
        {HERE: document("1.0.0", *terms)}, {HERE: document("2.0.0", *terms)}, around
    )
    assert not [one for one in found if one.code.startswith("would")]


def test_a_release_that_cannot_be_read_here_is_not_foreseen() -> None:
    """That it is unknown is said already."""
    assert said(document("1.0.0"), document("3.0.0")) == []
