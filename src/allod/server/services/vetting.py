"""Whether releases meet the owner's policy on their provider, by what lies in the fleet's registry.

The same function that devices ask (`trust.policy`), asked where a release enters and where an order
for it is published. A server that leaves it out changes nothing: devices look for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from allod.domain.desired import Level, ReleaseOrder, StateDocument
from allod.domain.ids import (
    Digest,
    FleetId,
    ProviderName,
    Purl,
    is_pattern,
    package_name,
    parse_digest,
)
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.server.registry.ports import FleetStore, FleetStores, Repository
from allod.server.registry.service import read_small, release_of
from allod.trust.policy import ATTESTATION_CAP, Met, check_policy
from allod.trust.release import ReleaseIdentity
from allod.wire import oci
from allod.wire.trust import ProviderDocument, Verifier

_LEVELS: Final = (Level.TRANSFERRED, Level.INSTALLED, Level.ACTIVE)
MOST: Final = 64  #: statements beside a release that are looked at


def statements_of(store: FleetStore, repository: Repository, release: Digest) -> Iterator[bytes]:
    """The envelopes of all in-toto statements beside a release, unverified."""
    rows = store.catalogue.referrers(repository, release)
    kind = [row for row in rows if row.artifact_type == oci.PROVENANCE]
    for row in kind[:MOST]:
        try:
            document = oci.decode_manifest(read_small(store, row.digest, oci.MANIFEST_CAP))
            layer = oci.provenance_layer(document)
            yield read_small(store, parse_digest(layer.digest), ATTESTATION_CAP)
        except AllodError:
            continue  # what cannot be read says nothing


class Vet:
    """Asks for releases that are in the fleet's registry.

    Args:
        stores: the registry of a fleet.
    """

    def __init__(self, stores: FleetStores) -> None:
        self._stores = stores

    def __call__(
        self, provider: ProviderDocument, verifiers: Iterable[Verifier], release: ReleaseIdentity
    ) -> Met:
        """What meets the policy.

        Raises:
            Untrusted: as `check_policy`.
        """
        store = self._stores(provider.fleet)
        if store is None:
            return check_policy(provider, verifiers, release, ())
        repository = Repository(provider.provider, package_name(release.package))
        envelopes = statements_of(store, repository, release.digest)
        return check_policy(provider, verifiers, release, envelopes)

    def orders(
        self,
        fleet: FleetId,
        before: StateDocument | None,
        after: StateDocument,
        providers: Mapping[ProviderName, ProviderDocument],
        verifiers: Iterable[Verifier],
    ) -> None:
        """Check every release that a document orders and the one before it did not.

        What stands there already, at that level or a higher one, is left alone, so that a demand that was made since stops no
        other change; devices hold it to the demand all the same. A release that is not here can
        be had from nobody yet, and devices look once it is.

        Raises:
            Untrusted: as `check_policy`, naming the document.
        """
        known = {
            (package, order.provider, order.digest): _LEVELS.index(order.level)
            for package, order in (() if before is None else _ordered(before))
        }
        store = self._stores(fleet)
        for package, order in _ordered(after):
            provider = providers.get(order.provider)
            if provider is None or provider.provenance is None or store is None:
                continue
            repository = Repository(order.provider, package_name(package))
            so_far = known.get((package, order.provider, order.digest), -1)
            if so_far >= _LEVELS.index(order.level) or _absent(store, repository, order.digest):
                continue
            release = ReleaseIdentity(order.provider, package, order.version, order.digest)
            try:
                self(provider, verifiers, release)
            except Untrusted as error:
                raise Untrusted(
                    error.code, f"cannot publish {after.scope}: {error.message}", **error.details
                ) from error


def _absent(store: FleetStore, repository: Repository, digest: Digest) -> bool:
    try:
        return release_of(store, repository, digest) is None
    except InvalidInput:
        return True


def _ordered(document: StateDocument) -> Iterator[tuple[Purl, ReleaseOrder]]:
    for key, entry in document.packages.items():
        if not is_pattern(key):
            before = None if entry.rollout is None else entry.rollout.before
            for software in (entry.software, before):
                for order in () if software is None else software.releases:
                    yield Purl(key), order
