"""Who allowed a change of a device: delegations, terms, approvals; checked in signed files."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from tests.unit.cli.conftest import START, Owner
from tests.unit.cli.people_at_work import KITCHEN, TOASTER, Works, deploy

from allod.audit.explaining import Step
from allod.cli.audit.allowed import Allowed, Clerk
from allod.cli.picture import take
from allod.cli.preview import path_of
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.ids import ProviderName, Version, sha256
from allod.testing.registry import Publisher
from allod.trust.channels import make_channel, verify_channel
from allod.wire.channel import channel_path
from allod.wire.report import ApprovalSeen, Authority, ChangeReport

REASONS = ["scopes: only in groups/kitchen", "window: it is open (the owner set it aside)"]


def told(owner: Owner, author: str, *approvals: ApprovalSeen, **more: Any) -> Allowed:
    """What is told of a device that activated the newest order under an author's document."""
    picture = take(owner.fleet(), reading=True)
    path = path_of(author, KITCHEN)
    data = picture.base.content(path)
    assert data is not None
    document = picture.base.by(author, KITCHEN)
    assert document is not None
    software = document.packages[TOASTER].software
    assert software is not None
    assert software.active is not None
    role = "targets" if author == "owner" else f"delegation-{author}"
    authority = Authority(
        document=path,
        digest=sha256(data),
        role=role,
        version=picture.base.view.versions[role],
        delegation=None if author == "owner" else author,
        reasons=REASONS,
        approvals=list(approvals),
    )
    ran = {"after": software.active.digest, **more}
    change = ChangeReport(
        at="2026-05-01T12:00:00Z", package=TOASTER, what="activated", authority=authority, **ran
    )
    clerk = Clerk(picture, SimpleNamespace(report=None))  # type: ignore[arg-type]
    allowed = clerk.allowed(Step(change, 1), TOASTER, change.after)
    assert allowed is not None
    return allowed


def test_pain_19_an_audit_names_delegation_terms_and_approvals(works: Works) -> None:
    """Consent of several people is evidence: who, as what, when, with which ticket, under which
    delegation and terms; each checked under the keys that the owner's signed document names.
    """
    ops = works.delegate("ops", "--approvals", "qa=1")
    ann = works.person("ann", "qa")
    change = deploy(ops, "toaster@1.0", "--as", "ops", "--propose", "-m", "breakfast")["proposal"]
    ann.do("change", "approve", change, "--ticket", "QA-7", "-m", "tasted it", "--yes")
    ops.do("change", "publish", change, "--yes")
    allowed = told(works.owner, "ops", ApprovalSeen(kind="qa", person="ann", ticket="QA-7"))
    assert allowed.doubts == ()
    assert allowed.orders is True
    data = allowed.data()
    assert data["delegation"] == "ops"
    assert data["reasons"] == REASONS
    assert data["change"]["id"] == change
    (approval,) = data["approvals"]
    assert (approval["person"], approval["kind"], approval["ticket"]) == ("ann", "qa", "QA-7")
    words = "\n".join(allowed.words())
    assert "decided by: the delegation ops" in words
    assert "approved by ann as qa" in words
    assert "[QA-7]: tasted it" in words
    assert "term: window: it is open (the owner set it aside)" in words


def test_approvals_that_nobody_gave_are_a_doubt(works: Works) -> None:
    """A device that names an approval which is not in the signed entry is not believed."""
    deploy(works.owner, "toaster@1.0")
    allowed = told(works.owner, "owner", ApprovalSeen(kind="qa", person="ann"))
    assert allowed.approved == ()
    assert any("the approval by ann as qa" in one for one in allowed.doubts)


def test_a_delegates_document_that_orders_something_else_is_a_doubt(works: Works) -> None:
    """The signed document decides, not what the device says of it."""
    ops = works.delegate("ops")
    deploy(ops, "toaster@1.0", "--as", "ops")
    allowed = told(works.owner, "ops", after=sha256(b"something else"))
    assert allowed.orders is False
    assert any("does not order this" in one for one in allowed.doubts)


def test_what_a_channel_said_is_checked_under_the_providers_keys(works: Works) -> None:
    """The device names the channel's document: signature and digest are checked here, and that it
    names the release which runs; another document than it acted on is a doubt.
    """
    works.owner.do(
        "delegate", "grant", "security", "--follow", "acme/stable", "--group", "kitchen",
        "--package", "pkg:generic/acme/*", "--until", "+90d", "--yes",
    )  # fmt: skip
    digest = sha256(b"1.1")
    channel = Channel(
        ProviderName("acme"), "stable", 1, START, START + timedelta(days=30),
        {TOASTER: ChannelRelease(Version("1.1"), digest)},
    )  # fmt: skip
    raw = make_channel(channel, [works.acme.key])
    path = channel_path("acme", "stable", 1)
    works.owner.served.lie[path] = raw
    document = works.acme.document
    signed = verify_channel(raw, document).value.digest

    def allowed(ran: str, acted_on: str) -> Allowed:
        authority = Authority(
            document=path, digest=acted_on, role="channel:acme/stable", version=1,
            delegation="security", reasons=REASONS,
        )  # fmt: skip
        change = ChangeReport(
            at="2026-05-01T12:00:00Z", package=TOASTER, what="activated", after=ran,
            authority=authority,
        )  # fmt: skip
        clerk = Clerk(take(works.owner.fleet(), reading=True), SimpleNamespace(report=None))  # type: ignore[arg-type]
        found = clerk.allowed(Step(change, 1), TOASTER, ran)
        assert found is not None
        return found

    good = allowed(digest, signed)
    assert (good.orders, good.doubts) == (True, ())
    words = "\n".join(good.words())
    assert "decided by: the delegation security" in words
    assert "acme's key" in words
    assert f"under: {path} in channel:acme/stable 1" in words
    assert allowed(sha256(b"2.0"), signed).orders is False
    assert any("another document" in one for one in allowed(digest, sha256(b"x")).doubts)
    works.owner.served.lie[path] = make_channel(channel, [Publisher().key])
    assert allowed(digest, signed).orders is None
