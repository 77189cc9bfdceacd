"""Whether releases that a change orders meet what the owner asks of their providers.

By the function that devices and the server ask, of the statements that lie in the fleet's registry;
and what verifiers say there that releases mend, as devices will hear it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from allod.domain.desired import ReleaseOrder, StateDocument
from allod.domain.ids import Digest, ProviderName, Purl, Scope, Version, is_pattern, package_name
from allod.domain.reported import Remark
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.wire import oci

if TYPE_CHECKING:
    from allod.cli.catalog import Catalog
    from allod.cli.picture import Picture
    from allod.trust.evidence import Mends
    from allod.trust.policy import Met
    from allod.wire.trust import FleetDocument

MET, UNMET = "policy-met", "policy-unmet"
_MOST: Final = 64  #: statements of a kind that are looked at
_Documents = Mapping[Scope, StateDocument]


def policy_of_change(picture: Picture, before: _Documents, after: _Documents) -> tuple[Remark, ...]:
    """What is met and what is not, of each release that is newly ordered."""
    found: dict[tuple[Purl, ReleaseOrder], Remark] = {}
    for package, order in _new_orders(before, after):
        provider = picture.base.providers.get(order.provider)
        if provider is None or provider.provenance is None or (package, order) in found:
            continue
        shown = f"{package_name(package)} {order.version}"
        try:
            met = met_by(picture, package, order)
        except Untrusted as error:
            says = f"{shown}: no device will take it: {error.message}"
            found[package, order] = Remark(UNMET, says)
        except (InvalidInput, Unavailable) as error:
            says = (
                f"{shown}: what you ask of {order.provider} could not be checked: {error.message}"
            )
            found[package, order] = Remark(UNMET, says)
        else:
            found[package, order] = Remark(MET, f"{shown} {met_says(met)}")
    return tuple(found.values())


def _new_orders(before: _Documents, after: _Documents) -> Iterator[tuple[Purl, ReleaseOrder]]:
    for scope, document in sorted(after.items()):
        old = before.get(scope)
        for key, entry in document.packages.items():
            had = None if old is None else old.packages.get(key)
            known = () if had is None or had.software is None else had.software.releases
            digests = {one.digest for one in known}
            if entry.software is not None and not is_pattern(key):
                yield from (
                    (Purl(key), one) for one in entry.software.releases if one.digest not in digests
                )


def met_by(picture: Picture, package: Purl, order: ReleaseOrder) -> Met:
    """What meets the owner's policy on an order's provider.

    Raises:
        Untrusted: what is missing or wrong.
        InvalidInput, Unavailable: the registry's answer can't be read, or had.
    """
    from allod.trust.policy import ATTESTATION_CAP, check_policy
    from allod.trust.release import ReleaseIdentity

    release = ReleaseIdentity(order.provider, package, order.version, order.digest)
    near = _beside(
        picture.catalog, order.provider, package, order.digest, oci.PROVENANCE, ATTESTATION_CAP
    )
    provider = picture.base.providers[order.provider]
    return check_policy(provider, picture.base.fleet_document.verifiers, release, list(near))


def met_says(met: Met) -> str:
    """By what it is met, in words."""
    parts = []
    if met.built is not None:
        parts.append(f"was built by {met.built.builder} from {met.built.source} at {met.built.ref}")
    if met.summary is not None:
        parts.append(f"was built as you ask, as {met.summary.verifier} vouches")
    if met.sboms:
        parts.append("has an SBOM that its provider signed")
    return " and ".join(parts) or "comes with all that you ask for"


def _beside(
    catalog: Catalog, provider: ProviderName, package: Purl, digest: Digest, kind: str, cap: int
) -> Iterator[bytes]:
    """The envelopes of a kind beside a release, unverified; what cannot be read says nothing."""
    name = package_name(package)
    near = [one for one in catalog.referrers(provider, name, digest) if one.artifact_type == kind]
    for entry in near[:_MOST]:
        try:
            data = catalog.attached(provider, name, entry, cap=cap)
        except (InvalidInput, Untrusted):
            continue
        if data is not None:
            yield data


def evidence_in(
    catalog: Catalog, fleet: FleetDocument, package: Purl, order: ReleaseOrder
) -> Mends:
    """What verifiers say that a release mends, as a device of the fleet would hear it."""
    from allod.trust.evidence import mended_by
    from allod.wire.evidence import EVIDENCE_CAP

    try:
        near = list(
            _beside(catalog, order.provider, package, order.digest, oci.EVIDENCE, 2 * EVIDENCE_CAP)
        )
    except AllodError:
        return {}  # nobody could be asked, so nobody said anything
    return mended_by(near, fleet, package, Version(order.version), order.digest)
