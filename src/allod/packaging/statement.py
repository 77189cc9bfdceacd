"""The provider's statement about a release: made with handed-in signers, kept as a referrer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.errors import AllodError, Untrusted
from allod.packaging.build import Built
from allod.packaging.layout import Layout
from allod.packaging.sboms import sign_sboms
from allod.trust.dsse import sign_envelope, verify_envelope
from allod.trust.release import STATEMENT_CAP, ReleaseIdentity, verify_release_statement
from allod.trust.verified import Verified
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO
from allod.wire.intoto import ReleasePredicate, ReleaseStatement, Subject
from allod.wire.trust import ProviderDocument

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


def _payload(release: Release, digest: Digest) -> bytes:
    statement = ReleaseStatement(
        subject=[Subject(name=release.package, digest={"sha256": digest.removeprefix("sha256:")})],
        predicate=ReleasePredicate(
            provider=release.provider, package=release.package, version=release.version
        ),
    )
    return encode(statement)


def make_statement(release: Release, digest: Digest, signers: Sequence[Signer]) -> bytes:
    """The DSSE envelope that binds provider, package and version to `digest`."""
    return sign_envelope(_payload(release, digest), IN_TOTO, signers)


def sign_release(built: Built, signers: Sequence[Signer]) -> bytes:
    """Sign a built release, and which SBOMs are its own; the statements go into its layout.

    Returns:
        The envelope about the release. If the same keys signed the release before, it is that one again.
    """
    keys = [signer.public_key for signer in signers]
    payload = _payload(built.release, built.digest)
    sign_sboms(built, signers)
    for envelope in statements_in(built.layout, built.digest):
        with contextlib.suppress(AllodError):
            known = verify_envelope(envelope, IN_TOTO, keys, len(keys), STATEMENT_CAP)
            if known.value == payload:
                return envelope
    envelope = sign_envelope(payload, IN_TOTO, signers)
    manifest = oci.statement_manifest(envelope, built.descriptor)
    built.layout.put(oci.EMPTY_BLOB)
    built.layout.put(envelope)
    built.layout.attach(manifest)
    return envelope


def check_statements(
    envelopes: Sequence[bytes], release: Release, digest: Digest, provider: ProviderDocument
) -> Verified[ReleaseIdentity]:
    """The first of the statements that holds for this release, under the owner's word on its provider.

    Args:
        envelopes: at least one, as they lie beside the release.
        release: what its own config blob says.
        digest: of its manifest or index.
        provider: the owner's document about the provider.

    Raises:
        AllodError: none holds; the fault of the first.
    """
    faults: list[AllodError] = []
    for envelope in envelopes:
        try:
            known = verify_release_statement(envelope, provider, digest)
        except AllodError as error:
            faults.append(error)
            continue
        said = known.value
        if (said.package, said.version) == (release.package, release.version):
            return known
        faults.append(
            Untrusted("wrong-statement", f"cannot accept it for {said.package} {said.version}")
        )
    raise faults[0]


def statements_in(layout: Layout, digest: Digest) -> tuple[bytes, ...]:
    """The statements about `digest` that a layout holds, unverified.

    Raises:
        InvalidInput: one of them is malformed.
    """
    found = []
    for _, manifest in layout.referrers(digest, oci.STATEMENT):
        layer = oci.statement_layer(manifest)
        found.append(layout.get(layer.digest, cap=STATEMENT_CAP))
    return tuple(found)
