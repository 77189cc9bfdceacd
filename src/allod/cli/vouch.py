"""`allod release vouch`: look at how releases were built, and sign what was found.

What is looked at is everything that lies beside a release, with the whole of Sigstore's
cryptography; what is signed is that the owner's policy on its provider is met, and by which policy.
Nothing is signed that was not looked at now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allod.cli.options import OPTIONS, Options
from allod.domain.ids import Digest, parse_digest, sha256
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.wire import oci

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.attestation.collected import Looking, Lying
    from allod.cli.documents import Base
    from allod.cli.registry_client import RegistryClient
    from allod.cli.release_look import Found
    from allod.trust.release import ReleaseIdentity
    from allod.wire.trust import ProviderDocument, Verifier

_UNTRUSTED = Untrusted.branch.exit


def vouch(
    *reference: str,
    trust_root: Path | None = None,
    options: Options = OPTIONS,
) -> int:
    """Vouch that releases were built as the owner asks of their providers, as a verifier.

    Each is checked from end to end, with all that others attest of it; only what meets the owner's
    policy is vouched for, and what met it before and does so no more is taken back. Devices take
    that word until the policy changes. Exit status 5: some release does not meet it.

    Args:
        reference: PACKAGE@VERSION in the fleet's registry; all releases of providers of whom the
            owner asks something, unless given.
        trust_root: A Sigstore trust root other than the shipped one of the public-good instance.
        options: Options of every verb.
    """
    from allod.cli.documents import newest
    from allod.cli.release_attested import Asked, looking_of
    from allod.cli.release_look import in_registry
    from allod.cli.verifier import acting

    base = newest(options.open())
    verifier, signer = acting(base.fleet_document, "provenance", options)
    looking = looking_of(Asked(trust_root=trust_root))
    voucher = _Voucher(base, verifier, signer, looking)
    done = [
        voucher.look(registry, in_registry(registry, digest))
        for registry, digest in _wanted(reference, base, options)
    ]
    lines = [
        f"{'ok     ' if one['ok'] else 'FAILED '} {one['release']}: {one['says']}" for one in done
    ]
    options.output.result(done, "\n".join(lines) or "Of no provider's releases anything is asked.")
    return 0 if all(one["ok"] for one in done) else _UNTRUSTED


def _wanted(
    references: Sequence[str], base: Base, options: Options
) -> Iterator[tuple[RegistryClient, Digest]]:
    """The releases to look at: repository, and digest."""
    from allod.cli.registry_client import RegistryClient, repositories
    from allod.cli.release_look import find

    if references:
        for one in references:
            yield find(one, options)
        return
    client = options.open().client
    asked = {name for name, one in base.providers.items() if one.provenance is not None}
    for repository in repositories(client):
        if repository.partition("/")[0] in asked:
            registry = RegistryClient(client, repository)
            for tag in registry.tags():
                digest = registry.resolve(tag)
                if (
                    digest is not None
                    and digest not in base.withdrawn
                    and _is_release(registry, digest)
                ):
                    yield registry, digest


def _is_release(registry: RegistryClient, digest: Digest) -> bool:
    try:
        document = oci.decode_document(registry.manifest(digest)[1])
    except InvalidInput:
        return False
    return document.artifact_type == oci.RELEASE


@dataclass(frozen=True, slots=True)
class _Voucher:
    """Looks, and signs.

    Args:
        base: the owner's newest documents.
        verifier: as whom.
        signer: with which key.
        looking: with what attestations are looked at.
    """

    base: Base
    verifier: Verifier
    signer: Signer
    looking: Looking

    def look(self, registry: RegistryClient, found: Found) -> dict[str, Any]:
        """Check one release, and sign what was found of it."""
        from allod.trust.summary import Summary

        at = self.looking.now
        shown = f"{registry.repository}, {found.digest}"
        release: ReleaseIdentity | None = None
        try:
            release, provider = self._known(found)
            shown = f"{release.package} {release.version}"
            if provider.provenance is None:
                return {"release": shown, "ok": True, "says": "nothing is asked of its provider"}
            level, says, inputs = self._meets(found, release, provider)
            self._sign(registry, found, release, Summary(self.verifier.name, at, level), inputs)
        except AllodError as error:
            if release is not None and isinstance(error, Untrusted):
                self._take_back(registry, found, release, at)
            return {"release": shown, "ok": False, "code": error.code, "says": error.message}
        return {"release": shown, "ok": True, "says": says, "level": level}

    def _known(self, found: Found) -> tuple[ReleaseIdentity, ProviderDocument]:
        """Whose release of what it is, when every step of a device's own checks holds."""
        from allod.cli.release_verify import verify_found

        def provider(name: str) -> ProviderDocument:
            known = {str(one): document for one, document in self.base.providers.items()}
            if name not in known:
                raise Untrusted("unknown-provider", f"cannot vouch: the owner knows no {name}")
            return known[name]

        def withdrawn(digest: str) -> str | None:
            entry = self.base.withdrawn.get(parse_digest(digest))
            return None if entry is None else entry.why

        verdict = verify_found(found, provider, withdrawn)
        fault = next((step for step in verdict.steps if not step.ok), None)
        if fault is not None or verdict.known is None:
            says = "it is not known whose it is" if fault is None else fault.says
            raise InvalidInput("not-verified", f"cannot vouch for {found.digest}: {says}")
        return verdict.known, provider(verdict.known.provider)

    def _meets(
        self, found: Found, release: ReleaseIdentity, provider: ProviderDocument
    ) -> tuple[int, str, tuple[Digest, ...]]:
        """Level, words, and the attestations that it rests on. Raises AllodError why it does not."""
        from allod.attestation.collected import provenance_among, statement_among
        from allod.attestation.envelope import key_of
        from allod.attestation.policy import demands_of
        from allod.cli.attestations import attestations_beside, spoken

        policy = provider.provenance
        if policy is None:
            raise RuntimeError("a provider without a policy is not looked at")
        keys = (*self.looking.keys, *(key_of(key) for key in provider.keys))
        owners = replace(self.looking, demands=demands_of(policy), keys=keys)
        lying = attestations_beside(found)
        looked = [(one, owners.examine(one, spoken(release.digest))) for one in lying]
        examined = [one for _, one in looked]
        used, says, level = [], [], 0
        if policy.asks_provenance:
            good = provenance_among(examined)
            used.append(good)
            level = good.attested.level
            says.append(f"built by {good.attested.builder} from {good.attested.source}")
        for kind in policy.attestations:
            used.append(statement_among(examined, kind))
            says.append(kind)
        if policy.sbom:
            says.append(_sbom(found, lying, provider))
        inputs = {
            sha256(one.content) for one, known in looked if any(known is good for good in used)
        }
        return level, ", ".join(says), tuple(sorted(inputs))

    def _sign(
        self,
        registry: RegistryClient,
        found: Found,
        release: ReleaseIdentity,
        summary: Any,
        inputs: Sequence[Digest],
    ) -> None:
        from allod.trust.summary import make_summary

        provider = self.base.providers[release.provider]
        envelope = make_summary(provider, release, summary, [self.signer], inputs=inputs)
        push_beside(registry, found, envelope, oci.PROVENANCE)

    def _take_back(
        self, registry: RegistryClient, found: Found, release: ReleaseIdentity, at: datetime
    ) -> None:
        """Where our own earlier word still says otherwise, it is overtaken by one that says no."""
        from allod.cli.attestations import attestations_beside
        from allod.trust.summary import Summary, verify_summary

        provider = self.base.providers[release.provider]
        for one in attestations_beside(found):
            try:
                said = verify_summary(one.content, [self.verifier], provider, release).value
            except AllodError:
                continue
            if said.passed:
                no = Summary(self.verifier.name, at, 0, passed=False)
                self._sign(registry, found, release, no, ())
                return


def _sbom(found: Found, lying: Sequence[Lying], provider: ProviderDocument) -> str:
    """A bill of materials that lies there and that the provider bound to the release."""
    from allod.trust.policy import SBOM_TYPES
    from allod.trust.references import signed_documents

    bound = signed_documents([one.content for one in lying], provider, found.digest)
    for kind in sorted(SBOM_TYPES):
        for _, manifest in found.beside.referrers(found.digest, kind):
            if any(parse_digest(layer.digest) in bound for layer in manifest.layers):
                return "its SBOM"
    raise Untrusted(
        "no-sbom", f"cannot vouch: no SBOM that {provider.provider} signed lies beside it"
    )


def push_beside(registry: RegistryClient, found: Found, envelope: bytes, kind: str) -> None:
    """Lay an envelope beside a release in the fleet's registry."""
    import io

    raw = found.small(found.digest)
    document = oci.decode_document(raw)
    media_type = oci.INDEX if isinstance(document, oci.Index) else oci.MANIFEST
    about = oci.Descriptor(media_type=media_type, digest=found.digest, size=len(raw))
    manifest = oci.statement_manifest(envelope, about, kind=kind)
    for data in (oci.EMPTY_BLOB, envelope):
        registry.push_blob(sha256(data), len(data), io.BytesIO(data))
    encoded = oci.encode_document(manifest)
    registry.push_manifest(sha256(encoded), oci.MANIFEST, encoded)
