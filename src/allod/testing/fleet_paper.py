"""From what was said in plain values to the documents that say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from allod.domain import desired, rollout, terms
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Channel, ChannelRelease, Delegation, Follow
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Version,
    parse_scope,
)
from allod.domain.rollout import Needs
from allod.testing.fleet_words import Entry, Grant, Page, Plan, Rule, Shelf, Span, Wish
from allod.testing.owner import key_from
from allod.trust.approvals import make_approval


def window_of(span: Span) -> desired.Window:
    """A span of the week."""
    return desired.Window(span.days, span.start, span.minutes)


def term_of(rule: Rule, *, own: bool = False) -> Term:
    """A term; `own`: one that the owner binds themself by."""
    if rule.kind == "access":
        return terms.NewAccess(rule.value, own)
    return _TERMS[rule.kind](rule.value)


_TERMS: Final[Mapping[str, Callable[[Any], Term]]] = {
    "version": lambda value: terms.Versions(terms.VersionRule(value[0]), frozenset(value[1])),
    "soak": terms.Soak,
    "window": lambda value: terms.Windows(tuple(window_of(one) for one in value)),
    "rate": lambda value: terms.Rate(*value),
    "approvals": terms.Approvals,
    "consent": lambda value: terms.Consent(),
    "lease": terms.Lease,
    "until": terms.Until,
}


def order_of(wish: Wish) -> desired.ReleaseOrder:
    """One release of a list."""
    return desired.ReleaseOrder(
        ProviderName(wish.provider),
        Version(wish.version),
        Digest(wish.digest),
        desired.Level(wish.level),
        desired.When(wish.when),
    )


def plan_of(plan: Plan) -> rollout.Rollout:
    """A rollout."""
    return rollout.Rollout(
        plan.id,
        tuple(
            rollout.Stage(
                one.at,
                one.percent,
                frozenset(DeviceId(name) for name in one.canaries),
                Needs.SUCCESS if one.success else Needs.TIME,
                one.bake,
            )
            for one in plan.stages
        ),
        before=desired.Software(releases=tuple(order_of(one) for one in plan.before)),
    )


def _approved(
    entry: Entry, made: desired.PackageEntry, place: tuple[FleetId, str, str, str], at: datetime
) -> desired.PackageEntry:
    """The entry with what people signed about it, or about something like it."""
    fleet, scope, author, key = place
    raws = []
    for vote in entry.votes:
        about = made if vote.good else replace(made, overrides=frozenset({"something else"}))
        signer = key_from(f"people/{vote.person}")
        raws.append(
            make_approval(
                fleet,
                parse_scope(scope),
                author,
                key,
                about,
                kind=vote.kind,
                person=vote.person,
                at=at,
                signers=[signer],
            )
        )
    return replace(made, approvals=tuple(raws))


def entry_of(entry: Entry, at: datetime, number: int) -> desired.PackageEntry:
    """An entry, without approvals."""
    software = configuration = None
    if entry.manager is not None:
        software = desired.Software(entry.manager, tuple(order_of(one) for one in entry.wishes))
    if entry.config_manager is not None:
        digest = None if entry.config is None else Digest(entry.config)
        configuration = desired.ConfigurationOrder(
            entry.config_manager, digest, 64, when=desired.When(entry.config_when)
        )
    return desired.PackageEntry(
        software,
        configuration,
        accepts=desired.Accepts(entry.accepts),
        overrides=entry.overrides,
        rollout=None if entry.plan is None else plan_of(entry.plan),
        change=desired.ChangeNote(number, entry.change, at) if entry.change else None,
    )


def state_of(
    fleet: FleetId, scope: str, page: Page, at: datetime, number: int, author: str = desired.OWNER
) -> desired.StateDocument:
    """A document of desired state."""
    kind = parse_scope(scope)
    record = None
    if kind.kind == "devices" and author == desired.OWNER:
        groups = None if page.groups is None else tuple(GroupName(one) for one in page.groups)
        record = desired.DeviceRecord(1, groups=groups)
    windows = tuple(window_of(one) for one in page.windows) or None
    return desired.StateDocument(
        fleet,
        kind,
        {
            key: _approved(entry, entry_of(entry, at, number), (fleet, scope, author, key), at)
            for key, entry in page.entries.items()
        },
        settings=desired.Settings(windows=windows),
        restarts=tuple(desired.Restart(one.id, one.at, one.latest) for one in page.reboots),
        hold=page.hold,
        terms=tuple(term_of(rule, own=True) for rule in page.rules),
        author=author,
        device=record,
        change=desired.ChangeNote(number, f"change-{number}", at),
    )


def delegation_of(grant: Grant) -> Delegation:
    """A delegation."""
    follow = None
    if grant.follows is not None:
        provider, _, channel = grant.follows.partition("/")
        follow = Follow(ProviderName(provider), channel)
    return Delegation(
        grant.id,
        frozenset(parse_scope(one) for one in grant.scopes),
        grant.packages,
        frozenset(Verb(one) for one in grant.verbs),
        tuple(term_of(rule) for rule in grant.rules),
        follow,
    )


def channel_of(shelf: Shelf) -> Channel:
    """A channel's document."""
    return Channel(
        ProviderName(shelf.provider),
        shelf.channel,
        shelf.sequence,
        shelf.at,
        shelf.expires,
        {
            Purl(package): ChannelRelease(Version(version), Digest(digest), mends)
            for package, (version, digest, mends) in shelf.releases.items()
        },
    )
