"""Releases and configuration documents from the fleet's registry (docs/explanation/acceptance.md, steps 9 and 10).

What is small comes first and is verified first: manifest and description by their digests, then
the provider's statement, then whether the release is the one that was ordered and fits the
device. Only then is a byte of the payload asked for (RFC 9124 REQ.USE.MFST.PRE_CHECK: less than
64 KiB for a release that does not fit). Port `ReleaseSource` of the engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from allod.agent.holdings import ReleaseRecord
from allod.agent.ports import Clock, Transport
from allod.agent.registry_files import Beside, RegistryFiles
from allod.agent.transfer import Bandwidth, Blobs
from allod.domain import configuration
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, ProviderName, Purl, package_name, parse_digest, sha256
from allod.domain.observed import Facts
from allod.domain.release import Release
from allod.errors import InvalidInput, Refused, Unavailable, Untrusted
from allod.trust.evidence import Mends, mended_by, verify_mends
from allod.trust.policy import ATTESTATION_CAP, check_policy, policy_mark
from allod.trust.release import STATEMENT_CAP, ReleaseIdentity, verify_release_statement
from allod.wire import oci
from allod.wire.evidence import EVIDENCE_CAP
from allod.wire.release import CONFIG_CAP, decode_release
from allod.wire.trust import FleetDocument, ProviderDocument

MAX_EVIDENCE: Final = 16  #: statements of verifiers that are kept of a release


class RegistrySource(RegistryFiles):
    """Fetches releases through a transport and keeps them as blobs.

    Args:
        transport: how to reach the fleet; None: nothing can be fetched in this run.
        blobs: the device's blobs.
        packages: `packages` of the state directory.
        fleet: the fleet's id, which is the first part of every repository's name.
        providers: the owner's documents about providers, as accepted (steps 4 to 7).
        house: the fleet's own document, whose verifiers count; None: nobody's word does.
        fitness: reads what the device is.
        clock: for the bandwidth cap.
    """

    def __init__(
        self,
        transport: Transport | None,
        blobs: Blobs,
        packages: Path,
        *,
        fleet: str,
        providers: Mapping[ProviderName, ProviderDocument],
        fitness: Callable[[], Facts],
        clock: Clock,
        house: FleetDocument | None = None,
    ) -> None:
        super().__init__(transport, blobs, packages)
        self._fleet = fleet
        self._providers = providers
        self._fitness = fitness
        self._clock = clock
        self._house = FleetDocument(fleet=fleet, name="") if house is None else house
        self._looked: set[tuple[Purl, Digest]] = set()

    # --- descriptions --------------------------------------------------------------------------

    def describe(self, package: Purl, order: ReleaseOrder) -> Release:
        """Fetch and keep the description, once everything about it is verified.

        Raises:
            Refused: `provider-distrusted`.
            Untrusted: `unknown-provider`, `wrong-namespace`, `wrong-digest`,
                `unsigned-release`, or what the check of the statement says.
            InvalidInput: the description can't be read, or `wrong-release`,
                `wrong-architecture`.
            Unavailable: it can't be had now.
        """
        known = self.described(package, order.digest)
        same = self._provider_of(package, order.digest) == order.provider
        if known is not None and same and self.vetted(package, order.digest):
            _same(package, order, known)
            return known
        self._fresh.clear()
        # 9a. The provider is one of the owner's, and the package lies in its namespace.
        provider = self._provider(package, order)
        repository = f"v2/{self._fleet}/{order.provider}/{package_name(package)}"
        # 9b. Manifest and description, by digest: whatever a registry answers for a name or a
        #     version is of no interest (attacks 18 and 19).
        manifest_digest, manifest = self._manifest(repository, order.digest)
        described = oci.release_manifest(manifest, what=f"release {order.version} of {package}")
        config = self._blob(repository, described.config, described.config_size, CONFIG_CAP)
        release = decode_release(config, described.layers)
        # 9c. It says that it is what was ordered, and fits (T3, T4).
        _same(package, order, release)
        self._fits(release)
        # 9d. The provider says so too, for exactly this digest.
        statement = self._statement(repository, package, order, provider)
        # 9e. And it was built, and comes, as the owner demands (attack 20).
        proofs = self._vet(repository, package, order, provider)
        needed = {order.digest, manifest_digest, described.config, statement, *proofs}
        for digest in needed & self._fresh.keys():
            self._blobs.discard(digest)  # a damaged one may stand in the way
            self._blobs.put(self._fresh[digest])
        record = ReleaseRecord(
            provider=order.provider,
            manifest=manifest_digest,
            statement=statement,
            policy=policy_mark(provider, self._house.verifiers),
            proofs=tuple(sorted(proofs)),
        )
        self._keep(package, order.digest, record)
        return release

    def vetted(self, package: Purl, digest: Digest) -> bool:
        """Whether what is kept was found to meet the policy that is in force now.

        A policy or verifiers that changed since make the device look again before it goes on.
        """
        record = self._record(package, digest)
        if record is None:
            return False
        provider = self._providers.get(ProviderName(record.provider))
        if provider is None:
            return not record.policy  # what met a demand that is not to be read any more: ask again
        return record.policy == policy_mark(provider, self._house.verifiers)

    def _provider(self, package: Purl, order: ReleaseOrder) -> ProviderDocument:
        provider = self._providers.get(order.provider)
        if provider is None:
            raise Untrusted(
                "unknown-provider",
                f"cannot take {package}: the owner knows no provider {order.provider}; "
                "add it with 'allod provider add'",
            )
        if provider.distrusted is not None and not _judged(provider):
            raise Refused(
                "provider-distrusted",
                f"cannot take {package} {order.version}: the owner distrusts {order.provider}",
                reasons=(provider.distrusted,),
            )
        if not any(package.startswith(prefix) for prefix in provider.namespaces):
            raise Untrusted(
                "wrong-namespace",
                f"cannot take {package}: it is outside what {order.provider} may provide",
            )
        return provider

    def _fits(self, release: Release) -> None:
        device = self._fitness()
        if release.architecture and release.architecture != device.architecture:
            raise InvalidInput(
                "wrong-architecture",
                f"cannot use {release.package} {release.version}: it is for {release.architecture}, "
                f"this device is {device.architecture}",
            )
        if release.hardware and not device.hardware.intersection(release.hardware):
            raise InvalidInput(
                "wrong-hardware",
                f"cannot use {release.package} {release.version}: it is for "
                f"{', '.join(release.hardware)}, this device is "
                f"{', '.join(sorted(device.hardware)) or 'unknown'}",
            )

    def _statement(
        self, repository: str, package: Purl, order: ReleaseOrder, provider: ProviderDocument
    ) -> Digest:
        """The digest of an envelope in which the provider vouches for the order, kept as a blob."""
        fault: Untrusted | InvalidInput | None = None
        for digest in self._referrers(repository, order.digest):
            try:
                referrer = self._blob_of_manifest(repository, digest)
                if referrer.subject is None or referrer.subject.digest != order.digest:
                    continue
                layer = oci.statement_layer(referrer)
                envelope = self._blob(repository, layer.digest, layer.size, STATEMENT_CAP)
                lawful = _judged(provider)
                said = verify_release_statement(
                    envelope, provider, order.digest, running=lawful
                ).value
            except (Untrusted, InvalidInput) as error:
                fault = error
                continue
            if (said.package, said.version, said.provider, said.digest) != (
                package,
                order.version,
                order.provider,
                order.digest,
            ):
                fault = Untrusted(
                    "wrong-release",
                    f"cannot take {package} {order.version}: the provider's statement is about "
                    f"{said.package} {said.version}",
                )
                continue
            return layer.digest
        if fault is not None:
            raise Untrusted(fault.code, fault.message, **fault.details) from fault
        raise Untrusted(
            "unsigned-release",
            f"cannot take {package} {order.version}: no statement of {order.provider} vouches for it; "
            "push the release again with its signature",
        )

    def _vet(
        self, repository: str, package: Purl, order: ReleaseOrder, provider: ProviderDocument
    ) -> tuple[Digest, ...]:
        """The envelopes by which the owner's policy on this provider is met."""
        if provider.provenance is None:
            return ()
        release = ReleaseIdentity(order.provider, package, order.version, order.digest)
        beside = Beside(ATTESTATION_CAP)
        envelopes = list(self._envelopes(repository, order.digest, oci.PROVENANCE, beside))
        try:
            return check_policy(provider, self._house.verifiers, release, envelopes).proofs
        except Untrusted:
            if beside.missing is not None:
                raise beside.missing from None
            raise

    def evidence(self, package: Purl, order: ReleaseOrder) -> Mends:
        """What verifiers say that the release mends, of each older one; looked for once a run.

        What was kept of it is judged by the verifiers that the owner names now.
        """
        kept = self._evidence_kept(package, order.digest)
        if self._transport is not None and (package, order.digest) not in self._looked:
            self._looked.add((package, order.digest))
            # Whatever a server answers here, what is known holds and all other work goes on.
            with contextlib.suppress(Unavailable, Untrusted, InvalidInput):
                kept = self._look_for_evidence(package, order, kept)
        return mended_by(kept, self._house, package, order.version, order.digest)

    def _look_for_evidence(
        self, package: Purl, order: ReleaseOrder, kept: list[bytes]
    ) -> list[bytes]:
        """What is beside the release now, with what was kept; what holds is kept, newest first."""
        repository = f"v2/{self._fleet}/{order.provider}/{package_name(package)}"
        beside = Beside(2 * EVIDENCE_CAP)
        found = self._envelopes(repository, order.digest, oci.EVIDENCE, beside)
        words: dict[bytes, datetime] = {}
        for envelope in (*kept, *found):
            with contextlib.suppress(Untrusted, InvalidInput):
                word = verify_mends(envelope, self._house, package, order.version, order.digest)
                words[envelope] = word.value.at
        newest = sorted(words, key=lambda one: (words[one], one), reverse=True)[:MAX_EVIDENCE]
        if newest:
            self._keep_evidence(package, order.digest, newest)
        return newest

    def _manifest(self, repository: str, digest: Digest) -> tuple[Digest, oci.Manifest]:
        """The release's manifest; of an index, the one for this device's architecture."""
        document = oci.decode_document(self._named(repository, digest))
        if isinstance(document, oci.Index):
            chosen = oci.select_platform(document, self._fitness().architecture)
            digest = parse_digest(chosen.digest)
            document = oci.decode_manifest(self._named(repository, digest))
        if not isinstance(document, oci.Manifest):
            raise InvalidInput("bad-manifest", "cannot read the release: an index within an index")
        return digest, document

    # --- payloads ------------------------------------------------------------------------------

    def fetch(self, package: Purl, digest: Digest, *, bandwidth: int | None) -> None:
        """Fetch and keep the payload of a release that is described, resuming what came before."""
        manifest = self._kept(package, digest)
        if manifest is None:
            raise Unavailable("not-described", f"cannot fetch {digest}: its description is gone")
        cap = Bandwidth(self._clock, bandwidth)
        repository = (
            f"v2/{self._fleet}/{self._provider_of(package, digest)}/{package_name(package)}"
        )
        for layer in manifest.layers:
            self._blobs.fetch(
                self._reach(),
                f"{repository}/blobs/{layer.digest}",
                layer.digest,
                layer.size,
                bandwidth=cap,
            )

    # --- configuration documents ---------------------------------------------------------------

    def document(self, digest: Digest, size: int) -> None:
        """Fetch and keep a configuration document.

        Raises:
            InvalidInput: `too-large`.
            Untrusted: `wrong-digest`.
            Unavailable: it can't be had now.
        """
        if size > configuration.DOCUMENT_CAP:
            raise InvalidInput(
                "too-large",
                f"cannot take the configuration {digest}: {size} bytes, "
                f"at most {configuration.DOCUMENT_CAP} are allowed",
            )
        if self.read_document(digest) is not None:
            return
        data = self._reach().get(f"blobs/{digest}", cap=size)
        if data is None:
            raise Unavailable("not-found", f"cannot find the configuration {digest} (yet)")
        if len(data) != size or sha256(data) != digest:
            raise Untrusted("wrong-digest", f"cannot take {digest}: what came is {sha256(data)}")
        self._keep_document(digest, data)


def _judged(provider: ProviderDocument) -> bool:
    """Whether distrust begins at a place in the log: then the plan has judged before (spec/trust)."""
    return provider.distrusted is not None and provider.distrusted_after is not None


def _same(package: Purl, order: ReleaseOrder, release: Release) -> None:
    """The description is that of the order: provider, package, version."""
    if (release.package, release.version, release.provider) != (
        package,
        order.version,
        order.provider,
    ):
        raise InvalidInput(
            "wrong-release",
            f"cannot take {package} {order.version} of {order.provider}: the release calls itself "
            f"{release.package} {release.version} of {release.provider}",
        )
