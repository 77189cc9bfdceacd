"""Publishing a release: build or open, sign as its provider, push. Any step may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from allod.cli.output import Output
from allod.domain.ids import Digest, Purl, Version, package_name
from allod.domain.release import Release
from allod.durable import make_directory
from allod.errors import Conflict, InvalidInput, Unavailable, Untrusted
from allod.packaging.build import Built, build_directory, open_built
from allod.packaging.description import ME
from allod.packaging.layout import REF_NAME, Layout
from allod.packaging.origin import said_of_origin
from allod.packaging.statement import check_statements, sign_release, statements_in
from allod.wire import oci

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.cli.client import ApiClient
    from allod.wire.trust import ProviderDocument

#: Gives the signers of a provider; asked only once it is known what would be signed.
Signers = Callable[[str], Sequence["Signer"]]
#: Gives what the owner's newest documents say of a provider.
Providers = Callable[[str], "ProviderDocument"]
_UPLOADS: Final = ".uploads"  #: below a layout: where unfinished uploads stand


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A release that the fleet's registry holds, with its provider's statement."""

    purl: Purl
    version: Version
    digest: Digest
    release: Release  #: of the first platform
    releases: tuple[Release, ...]  #: one a platform
    pushed: bool = True  #: False: it was there already


def open_or_build(
    source: Path,
    *,
    version: str | None = None,
    output: Path | None = None,
    out: Output | None = None,
) -> Built:
    """The release in `source`: an OCI layout as it is, or a directory, built.

    Raises:
        InvalidInput: the description, the tree or the layout is at fault.
        Conflict: `changed-while-reading`.
    """
    if Layout(source).exists():
        return open_built(source, version)
    if not source.is_dir():
        raise InvalidInput("no-release", f"cannot find a release at {source}: it is no directory")
    with (out or Output(json=True)).progress("Packing") as advance:
        return build_directory(source, output, version=version, progress=advance)


def publish_release(
    source: Path,
    provider: str | None,
    signers: Signers,
    client: ApiClient,
    *,
    version: str | None = None,
    output: Output | None = None,
    providers: Providers | None = None,
) -> PublishedRelease:
    """Build (or open), sign and push a release.

    Args:
        source: a directory with `allod.toml`, or an OCI layout.
        provider: who it must be from; None: whoever it says.
        signers: gives the provider's signers.
        client: the fleet's server.
        version: overrides what the description says.
        output: shows progress.
        providers: gives what the owner says of a provider; then a release that its provider signed
            elsewhere needs no signer.

    Raises:
        Conflict: `version-taken`, the registry holds other bytes under this version.
        InvalidInput: `wrong-provider`, or what is wrong with the release.
        AllodError: the registry or a key can't be had.
    """
    out = output or Output(json=True)
    built = open_or_build(source, version=version, out=out)
    if provider is not None and built.release.provider != provider:
        raise InvalidInput(
            "wrong-provider",
            f"cannot publish {source} for {provider}: it is a release of {built.release.provider}",
        )
    return push_built(built, signers, client, out, providers)


def push_built(
    built: Built,
    signers: Signers,
    client: ApiClient,
    out: Output,
    providers: Providers | None = None,
) -> PublishedRelease:
    """Sign and push what was built. Raises as `publish_release`."""
    from allod.cli.registry_client import RegistryClient

    release = built.release
    registry = RegistryClient(client, f"{release.provider}/{package_name(release.package)}")
    present = registry.resolve(release.version)
    if present not in {None, built.digest}:
        raise Conflict(
            "version-taken",
            f"cannot push {release.package} {release.version}: the registry has other bytes under "
            "this version; give it a new one (version in allod.toml, or --version)",
            present=present,
            built=built.digest,
        )
    _sign(built, signers, providers)
    if providers is not None:
        _check_built(built, providers)
    push_layout(built, registry, out)
    return PublishedRelease(
        release.package, release.version, built.digest, release, built.releases, present is None
    )


def _sign(built: Built, signers: Signers, providers: Providers | None) -> None:
    """Sign here, or be content with the provider's own signature in the layout, verified."""
    try:
        sign_release(built, signers(built.release.provider))
    except Unavailable as error:
        signed = statements_in(built.layout, built.digest)
        if error.code != "key-elsewhere" or not signed or providers is None:
            raise
        check_statements(signed, built.release, built.digest, providers(built.release.provider))


def _check_built(built: Built, providers: Providers) -> None:
    """Provenance that comes along has to fit what the owner asks of the provider.

    Without any it may come in: somebody else can still lay it beside the release, or vouch. Where the
    owner named identities, only a verifier can tell.

    Raises:
        Untrusted: why what the builder says does not fit.
    """
    from allod.trust.policy import ATTESTATION_CAP, check_policy
    from allod.trust.release import ReleaseIdentity

    release = built.release
    beside = built.layout.referrers(built.digest, oci.PROVENANCE)
    if not beside or release.provider == ME:
        return
    try:
        document = providers(release.provider)
    except Unavailable:
        return  # nobody whom the owner named yet
    policy = document.provenance
    if policy is None or policy.identities:
        return
    envelopes = [
        built.layout.get(layer.digest, cap=ATTESTATION_CAP)
        for _, manifest in beside
        for layer in manifest.layers[:1]
    ]
    known = ReleaseIdentity(release.provider, release.package, release.version, built.digest)
    try:
        check_policy(document, (), known, envelopes)
    except Untrusted as error:
        if not error.code.startswith("no-"):
            raise


class Target(Protocol):
    """One repository that releases are pushed to."""

    def push_blob(
        self,
        digest: str,
        size: int,
        file: BinaryIO,
        *,
        progress: Callable[[int], Any] = ...,
        memory: Path | None = ...,
    ) -> None:
        """Push a blob unless it is there."""
        ...

    def push_manifest(self, reference: str, media_type: str, raw: bytes) -> None:
        """Push a manifest by digest or tag."""
        ...


def push_layout(built: Built, registry: Target, out: Output) -> None:
    """Blobs first, then what names them; all that is said of it before its version is known."""
    layout = built.layout
    _push_document(layout, registry, built.descriptor.digest, out)
    said = [*said_of_origin(layout, built.digest), *layout.all_about(built.digest)]
    # What refers to a referrer comes after it, and the provider's statement after all others.
    for descriptor, statement in sorted(
        said, key=lambda one: one[1].artifact_type == oci.STATEMENT
    ):
        for blob in (statement.config, *statement.layers):
            with layout.open(blob.digest) as file:
                registry.push_blob(blob.digest, blob.size, file)
        raw = layout.get(descriptor.digest)
        tag = (descriptor.annotations or {}).get(REF_NAME, descriptor.digest)
        registry.push_manifest(tag, descriptor.media_type, raw)
    raw = layout.get(built.digest)
    registry.push_manifest(built.release.version, built.descriptor.media_type, raw)


def _push_document(layout: Layout, registry: Target, digest: str, out: Output) -> None:
    raw = layout.get(digest)
    document = oci.decode_document(raw)
    if isinstance(document, oci.Index):
        for part in document.manifests:
            _push_document(layout, registry, part.digest, out)
        registry.push_manifest(digest, oci.INDEX, raw)
        return
    uploads = layout.directory / _UPLOADS
    make_directory(uploads)
    blobs = (document.config, *document.layers)
    with out.progress("Pushing", sum(blob.size for blob in blobs)) as advance:
        for blob in blobs:
            memory = uploads / blob.digest.removeprefix("sha256:")
            with layout.open(blob.digest) as file:
                registry.push_blob(blob.digest, blob.size, file, progress=advance, memory=memory)
    registry.push_manifest(digest, oci.MANIFEST, raw)
