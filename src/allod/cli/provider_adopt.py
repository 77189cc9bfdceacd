"""`allod provider adopt`: the provider is gone; the owner signs for their names from now on.

A key of the owner takes the place of the provider's, for this fleet alone. So that devices can
still be given what the provider once signed, the owner's key vouches for every release of theirs
that documents name or devices have, once the provider's own statement was verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from allod.cli.documents import provider_path
from allod.cli.export_permission import entry_orders
from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish, say
from allod.domain.ids import Digest, ProviderName, Purl, package_name, parse_provider, sha256
from allod.errors import AllodError, InvalidInput
from allod.trust.papers import make_release_statement
from allod.trust.release import verify_release_statement
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.oci import Descriptor

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.cli.fleet import LocalFleet
    from allod.trust.release import ReleaseIdentity
    from allod.wire.envelope import PublicKey
    from allod.wire.trust import ProviderDocument


def adopt(name: str, *, why: str, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Sign for the names of a provider who is gone, with a key of your own. Their keys count no more.

    Args:
        name: Which provider.
        why: What devices and everybody else are told.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    provider = parse_provider(name)
    if not why.strip():
        raise InvalidInput("no-reason", f"cannot adopt the names of {provider} without saying why")
    vouched: list[ReleaseIdentity] = []

    def plan(picture: Picture) -> Change:
        known = picture.base.providers.get(provider)
        if known is None:
            raise InvalidInput(
                "unknown-provider", f"cannot adopt {provider}: you name no such provider"
            )
        vouched[:] = list(_vouched(picture, provider, known))
        document = msgspec.structs.replace(
            known,
            keys=[_own_key(picture.fleet, provider)],
            threshold=1,
            adopted=why,
            distrusted=None,
            distrusted_after=None,
            provenance=None,
        )
        return Change(
            files={provider_path(provider): encode(document)},
            remarks=tuple(_words(picture, provider, vouched)),
        )

    fleet = options.open()
    done = publish(options, intent, plan)
    if done is None:
        return
    signers = fleet.keys.signers(f"provider:{provider}")
    for identity in vouched:
        _vouch(fleet, identity, signers)
    say(options, done, vouched=[f"{one.package}@{one.version}" for one in vouched])


def _own_key(fleet: LocalFleet, provider: ProviderName) -> PublicKey:
    """The owner's key for their names; one that was made for a change that was not signed waits."""
    role = f"provider:{provider}"
    held = [one for one in fleet.keys.records(role) if one.file is not None]
    return (held[-1] if held else fleet.keys.generate(role, now=clock())).public


def _words(
    picture: Picture, provider: ProviderName, vouched: list[ReleaseIdentity]
) -> Iterator[str]:
    yield f"You sign for {provider} from now on, on these devices only; their keys count no more."
    for one in vouched:
        yield f"  vouched for by you: {package_name(one.package)} {one.version}"
    for delegation in picture.base.delegations.values():
        if delegation.follow is not None and delegation.follow.provider == provider:
            yield (
                f"! {delegation.id} follows {delegation.follow}: what the provider said there counts "
                "no more; revoke it, or publish that channel yourself"
            )


def _vouched(
    picture: Picture, provider: ProviderName, document: ProviderDocument
) -> Iterator[ReleaseIdentity]:
    """The releases of the provider that are named or held, and that they did sign."""
    wanted = {
        (Purl(key), order.digest)
        for state in (*picture.base.states.values(), *picture.base.delegated.values())
        for key, entry in state.packages.items()
        for order in entry_orders(entry)
        if order.provider == provider
    }
    wanted |= {
        (package, release.digest)
        for member in picture.devices
        if member.actual is not None
        for package, held in member.actual.packages.items()
        if any(package.startswith(prefix) for prefix in document.namespaces)
        for release in held.releases
    }
    for package, digest in sorted(wanted):
        found = _said(picture, provider, document, package, digest)
        if found is not None:
            yield found


def _said(
    picture: Picture,
    provider: ProviderName,
    document: ProviderDocument,
    package: Purl,
    digest: Digest,
) -> ReleaseIdentity | None:
    """What the provider's own statement says of a release; None: there is none that holds."""
    try:
        statements = picture.catalog.statements(provider, package_name(package), digest)
    except AllodError:
        return None
    for raw in statements:
        try:
            said = verify_release_statement(raw, document, digest, running=True).value
        except AllodError:
            continue
        if said.package == package:
            return said
    return None


def _vouch(fleet: LocalFleet, identity: ReleaseIdentity, signers: tuple[Signer, ...]) -> None:
    """Push the owner's own statement beside the release."""
    from allod.cli.registry_client import RegistryClient

    registry = RegistryClient(fleet.client, f"{identity.provider}/{package_name(identity.package)}")
    kind, raw = registry.manifest(identity.digest)
    subject = Descriptor(
        media_type=kind or oci.MANIFEST,
        digest=identity.digest,
        size=len(raw),
        artifact_type=oci.RELEASE,
    )
    envelope = make_release_statement(identity, signers)
    manifest = oci.encode_document(oci.statement_manifest(envelope, subject))
    for blob in (oci.EMPTY_BLOB, envelope):
        registry.push_blob(sha256(blob), len(blob), BytesIO(blob))
    registry.push_manifest(sha256(manifest), oci.MANIFEST, manifest)
