"""What devices would refuse of a change, and what it would wait for there, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from allod.cli.policy_met import evidence_in
from allod.domain.delegation import Delegate
from allod.domain.desired import ReleaseOrder, StateDocument
from allod.domain.foresight import Describe, Evidence, Foreseen, Known, Words, foresee
from allod.domain.ids import Digest, ProviderName, Purl, Scope, package_name
from allod.domain.judgement import ProviderLimits
from allod.domain.release import Release
from allod.domain.reported import Member, Remark
from allod.errors import AllodError
from allod.trust.approvals import approved_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allod.cli.catalog import Catalog
    from allod.wire.trust import FleetDocument, ProviderDocument, Withdrawal

REFUSED, WAITS = "would-refuse", "would-wait"

#: What a preview says of the change itself, whichever device it is for.
_TOLD: Final = frozenset(
    {
        "withdrawn",
        "constraint-not-accepted",
        "access-not-accepted",
        "one-way-not-accepted",
        "data-unreadable",
    }
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is needed to foresee what devices say."""

    now: datetime
    witnessed: datetime | None = None  #: that devices will have with the change
    delegates: Mapping[str, Delegate] = field(default_factory=dict)
    providers: Mapping[ProviderName, ProviderDocument] = field(default_factory=dict)
    fleet: FleetDocument | None = None  #: whose people approve; None: nobody's approval counts


def foreseen(
    documents: Mapping[Scope, StateDocument],
    before: Mapping[Scope, StateDocument],
    after: Mapping[Scope, StateDocument],
    members: Sequence[Member],
    catalog: Catalog,
    withdrawn: Mapping[Digest, Withdrawal],
    outlook: Outlook,
) -> Iterator[Remark]:
    """What is new with a change that some devices would refuse or wait with.

    Args:
        documents: the owner's, of all scopes, before.
        before: what is changed, as it was, whoever wrote it.
        after: the same as it will be.
        members: the devices.
        catalog: where releases are described.
        withdrawn: what was recalled.
        outlook: the rest.
    """
    was = Words(documents, outlook.delegates).with_documents(before)
    becomes = was.with_documents(after)
    found = foresee(
        _approved(was, outlook.fleet),
        _approved(becomes, outlook.fleet),
        [member for member in members if any(scope in member.scopes for scope in after)],
        Known(
            _describing(catalog),
            outlook.now,
            outlook.witnessed,
            {digest: entry.why for digest, entry in withdrawn.items()},
            {name: _limits(one) for name, one in outlook.providers.items()},
            _evidence(catalog, outlook.fleet),
        ),
    )
    for one in found:
        if not _TOLD.issuperset(one.codes):
            yield _remark(one)


def _approved(words: Words, fleet: FleetDocument | None) -> Words:
    """With those approvals that devices will let count."""
    if fleet is None:
        return words

    return Words(
        _read(words.documents, fleet),
        {
            name: replace(one, documents=_read(one.documents, fleet))
            for name, one in words.delegates.items()
        },
    )


def _read(
    documents: Mapping[Scope, StateDocument], fleet: FleetDocument
) -> dict[Scope, StateDocument]:
    return {scope: approved_state(one, fleet) for scope, one in documents.items()}


def _describing(catalog: Catalog) -> Describe:
    @cache
    def describe(package: Purl, digest: Digest, provider: ProviderName | None) -> Release | None:
        try:
            return None if provider is None else catalog.release(provider, package, digest)
        except AllodError:
            return None  # it is not known here

    return describe


def _evidence(catalog: Catalog, fleet: FleetDocument | None) -> Evidence:
    @cache
    def evidence(package: Purl, order: ReleaseOrder) -> Mapping[Digest, frozenset[tuple[str, str]]]:
        return {} if fleet is None else evidence_in(catalog, fleet, package, order)

    return evidence


def _limits(provider: ProviderDocument) -> ProviderLimits:
    access = None if provider.access is None else frozenset(provider.access)
    # Distrusted from an entry of the log on: which releases that bars is for devices to say.
    whole = provider.distrusted if provider.distrusted_after is None else None
    return ProviderLimits(whole or "", access)


def _remark(one: Foreseen) -> Remark:
    count = len(one.devices)
    devices = "1 device" if count == 1 else f"{count} devices"
    name = package_name(one.package)
    if one.waits:
        return Remark(WAITS, f"{name} would wait on {devices}: {one.says}")
    says = f"{name} would be refused on {devices} because of {one.codes[0]}: {one.says}"
    return Remark(REFUSED, says)
