"""Where a release that a user names lies, and how to read it there, all the same way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from allod.cli.release_push import open_or_build
from allod.cli.release_sbom import InRegistry, shown
from allod.domain.ids import Digest, package_name, parse_digest
from allod.domain.release import Layer, Release
from allod.errors import AllodError, InvalidInput
from allod.packaging.build import read_releases
from allod.packaging.layout import Layout
from allod.packaging.sboms import Beside, sboms_beside
from allod.packaging.statement import statements_in
from allod.wire import oci
from allod.wire.release import release_to_wire

if TYPE_CHECKING:
    from allod.cli.client import ApiClient
    from allod.cli.options import Options
    from allod.cli.registry_client import RegistryClient
    from allod.wire.trust import ProviderDocument


@dataclass(frozen=True, slots=True)
class Found:
    """A release, and how to read its parts.

    Args:
        digest: what names it.
        where: in words.
        small: gives a manifest or config by digest, checked.
        check: reads a layer and compares it with its digest.
        statements: the envelopes about it, unverified.
        beside: gives what refers to it.
    """

    digest: Digest
    where: str
    small: Callable[[str], bytes]
    check: Callable[[Layer], None]
    statements: Callable[[], tuple[bytes, ...]]
    beside: Beside

    def releases(self) -> tuple[Release, ...]:
        """What it says of itself, one a platform. Raises InvalidInput if it is malformed."""
        return read_releases(self.digest, self.small)


def look(reference: str, options: Options) -> Found:
    """Find a release by PACKAGE@VERSION, directory or layout.

    Raises:
        InvalidInput: `no-such-release`, `ambiguous-release`, `no-release`, `bad-package`.
    """
    path = Path(reference)
    if path.is_dir():
        built = open_or_build(path, out=options.output)
        return in_layout(built.layout, built.digest)
    return in_registry(*find(reference, options))


def find(reference: str, options: Options) -> tuple[RegistryClient, Digest]:
    """The repository of the fleet's registry and the digest of PROVIDER/PACKAGE@VERSION.

    Raises:
        InvalidInput: `no-such-release`, `ambiguous-release`, `bad-package`.
    """
    from allod.cli.catalog import parse_package_version

    provider, slash, rest = reference.rpartition("/")
    plain = bool(slash) and not reference.startswith("pkg:")
    named = parse_package_version(rest if plain else reference)
    if named.version is None:
        raise InvalidInput(
            "no-such-release",
            f"cannot find {reference[:200]!r}: name a directory, or {named}@VERSION",
        )
    return _find(options.open().client, provider if plain else None, named.name, named.version)


def in_layout(layout: Layout, digest: Digest) -> Found:
    """A release in an OCI image layout."""
    return Found(
        digest,
        str(layout.directory),
        layout.get,
        lambda layer: layout.check(layer.digest, layer.size),
        lambda: statements_in(layout, digest),
        layout,
    )


def _find(
    client: ApiClient, provider: str | None, name: str, version: str
) -> tuple[RegistryClient, Digest]:
    from allod.cli.registry_client import RegistryClient, repositories

    found = []
    for repository in repositories(client):
        owner, _, called = repository.partition("/")
        if called == name and provider in {None, owner}:
            registry = RegistryClient(client, repository)
            digest = registry.resolve(version)
            if digest is not None:
                found.append((registry, digest))
    if not found:
        raise InvalidInput(
            "no-such-release", f"cannot find {name}@{version} in the fleet's registry"
        )
    if len(found) > 1:
        choices = ", ".join(f"{registry.repository}@{version}" for registry, _ in found)
        raise InvalidInput(
            "ambiguous-release", f"cannot choose between {choices}; name one of them"
        )
    return found[0]


def in_registry(registry: RegistryClient, digest: Digest) -> Found:
    """A release in the fleet's registry."""

    def statements() -> tuple[bytes, ...]:
        envelopes = []
        for one in registry.referrers(digest, oci.STATEMENT):
            manifest = oci.decode_manifest(registry.small(one.digest))
            layer = oci.statement_layer(manifest)
            envelopes.append(registry.blob(parse_digest(layer.digest)))
        return tuple(envelopes)

    return Found(
        digest,
        f"the fleet's registry, {registry.repository}",
        registry.small,
        lambda layer: registry.check_blob(layer.digest, layer.size),
        statements,
        InRegistry(registry),
    )


def describe(
    found: Found, providers: Callable[[str], ProviderDocument] | None = None
) -> dict[str, Any]:
    """All that a release says, for `inspect`.

    Args:
        found: the release.
        providers: what the owner says of a provider; None, or if it fails: nobody's signature on an
            SBOM is known.
    """
    releases = found.releases()
    first = releases[0]
    said = msgspec.to_builtins(release_to_wire(first))
    try:
        signed = len(found.statements())
    except AllodError:
        signed = 0
    provider = _known(providers, first.provider)
    held = sboms_beside(found.beside, found.digest, provider)
    return {
        "name": package_name(first.package),
        "digest": found.digest,
        "where": found.where,
        "statements": signed,
        "sboms": [shown(one, known=provider is not None) for one in held],
        "architectures": [one.architecture or "any" for one in releases],
        "layers": [
            {"digest": layer.digest, "size": layer.size, "mediaType": layer.media_type}
            for one in releases
            for layer in one.layers
        ],
        **{key: value for key, value in said.items() if key not in {"type", "format", "name"}},
    }


def _known(
    providers: Callable[[str], ProviderDocument] | None, name: str
) -> ProviderDocument | None:
    if providers is not None:
        with contextlib.suppress(AllodError):
            return providers(name)
    return None
