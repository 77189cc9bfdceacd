"""Which release a name and a version mean, and what it says of itself.

The registry is nobody to believe: a manifest counts by its digest, and a name and a version mean
a digest only if the provider's own statement, under the keys that the owner's signed document
names, says so (attack 18, 19).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from allod.domain.ids import (
    Digest,
    ProviderName,
    Purl,
    Version,
    package_name,
    parse_digest,
    parse_name,
    parse_purl,
    parse_version,
    sha256,
)
from allod.domain.release import Release
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.wire.envelope import ENVELOPE_CAP
from allod.wire.oci import (
    MANIFEST_CAP,
    STATEMENT,
    Descriptor,
    Index,
    decode_document,
    decode_index,
    decode_manifest,
    release_manifest,
    statement_layer,
)
from allod.wire.release import CONFIG_CAP, decode_release

if TYPE_CHECKING:
    from allod.cli.client import ApiClient
    from allod.wire.trust import ProviderDocument

_ACCEPT: Final = {
    "accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
}


@dataclass(frozen=True, slots=True)
class PackageVersion:
    """What a user names: `toaster@2.1.2` or `pkg:generic/acme/toaster@2.1.2`."""

    package: str  #: a purl, or its last segment
    version: Version | None = None

    @property
    def purl(self) -> Purl | None:
        """The package, if it was named whole."""
        return parse_purl(self.package) if self.package.startswith("pkg:") else None

    @property
    def name(self) -> str:
        """Its repository's name."""
        purl = self.purl
        return package_name(purl) if purl is not None else self.package

    def __str__(self) -> str:
        return self.package + (f"@{self.version}" if self.version else "")


def parse_package_version(text: str) -> PackageVersion:
    """Read what a user names. Raises InvalidInput `bad-package`, `bad-version`, `bad-name`."""
    package, at, version = text.partition("@")
    named = PackageVersion(package, parse_version(version) if at else None)
    if named.purl is None:
        parse_name(package, "a package's name")
    return named


@dataclass(frozen=True, slots=True)
class Resolved:
    """A release that a provider vouches for by name and version."""

    provider: ProviderName
    package: Purl
    version: Version
    digest: Digest


@dataclass(slots=True)
class Catalog:
    """The fleet's registry, read through the providers' keys.

    Args:
        client: the way to the server.
        fleet: the fleet's id.
        providers: as the owner's verified documents name them.
    """

    client: ApiClient
    fleet: str
    providers: Mapping[ProviderName, ProviderDocument]
    _releases: dict[Digest, Release] = field(default_factory=dict)

    def resolve(self, named: PackageVersion, provider: ProviderName | None = None) -> Resolved:
        """The one release that a trusted provider signed under that name and version.

        Raises:
            InvalidInput: `no-version`, `no-such-release`, `ambiguous-release`, `unknown-provider`.
            Untrusted: a provider's statement is not signed by its keys, or says something else.
        """
        if named.version is None:
            raise InvalidInput(
                "no-version",
                f"cannot tell which release of {named} is meant: say {named}@VERSION"
                + self._versions_hint(named),
            )
        if provider is not None and provider not in self.providers:
            raise InvalidInput(
                "unknown-provider",
                f"cannot find the provider {provider}; there are: "
                f"{', '.join(sorted(self.providers)) or 'none'}",
            )
        found = [
            resolved
            for name in ([provider] if provider is not None else sorted(self.providers))
            if (resolved := self._of_provider(name, named, named.version)) is not None
        ]
        if not found:
            raise InvalidInput(
                "no-such-release",
                f"cannot find {named} at any provider "
                f"({', '.join(sorted(self.providers)) or 'none is named'})"
                + self._versions_hint(named),
            )
        if len(found) > 1:
            raise InvalidInput(
                "ambiguous-release",
                f"cannot tell which {named} is meant: give --provider with one of "
                + ", ".join(f"{one.provider} ({one.package})" for one in found),
            )
        return found[0]

    def versions(self, provider: ProviderName, name: str) -> tuple[str, ...]:
        """The tags that the registry lists; a hint, nothing more."""
        from allod.wire.codec import parse_strict

        try:
            data = self.client.request(
                "GET", f"/v2/{self.fleet}/{provider}/{name}/tags/list", cap=MANIFEST_CAP
            )
            answer = parse_strict(data, cap=MANIFEST_CAP)
        except AllodError:
            return ()
        tags = answer.get("tags") if isinstance(answer, dict) else None
        named = (str(tag)[:128] for tag in tags or ())
        return tuple(tag for tag in named if not tag.startswith("sha256-"))  # no version: OCI's own

    def release(self, provider: ProviderName, package: Purl, digest: Digest) -> Release:
        """What the release of that digest says, for its first platform if there are several.

        Raises:
            InvalidInput: `no-such-release`, or it is malformed.
            Untrusted: `wrong-release` if it is another package's or provider's.
        """
        if digest not in self._releases:
            self._releases[digest] = self._fetch(provider, package, digest)
        return self._releases[digest]

    def _fetch(self, provider: ProviderName, package: Purl, digest: Digest) -> Release:
        name = package_name(package)
        data = self.manifest(provider, name, digest)
        document = decode_document(data)
        if isinstance(document, Index):
            if not document.manifests:
                raise InvalidInput("bad-manifest", f"cannot read {package}: its index is empty")
            inner = parse_digest(document.manifests[0].digest)
            document = decode_manifest(self.manifest(provider, name, inner))
        known = release_manifest(document)
        config = self._blob(provider, name, known.config, CONFIG_CAP)
        release = decode_release(config, known.layers)
        if (release.provider, release.package) != (provider, package):
            raise Untrusted(
                "wrong-release",
                f"cannot use {digest}: it says that it is {release.package} of {release.provider}, "
                f"not {package} of {provider}",
            )
        return release

    def manifest(self, provider: ProviderName, name: str, digest: Digest) -> bytes:
        """A manifest's bytes, checked by digest. Raises InvalidInput `no-such-release`."""
        data = self._get(f"{provider}/{name}/manifests/{digest}", MANIFEST_CAP)
        if data is None:
            raise InvalidInput(
                "no-such-release", f"cannot find the release {digest} of {provider}/{name}"
            )
        return _checked(data, digest)

    def statements(self, provider: ProviderName, name: str, digest: Digest) -> list[bytes]:
        """The envelopes of the provider's statements about a release, unverified."""
        found = []
        for entry in self.referrers(provider, name, digest):
            if entry.artifact_type != STATEMENT:
                continue
            referrer = self.manifest(provider, name, parse_digest(entry.digest))
            layer = statement_layer(decode_manifest(referrer))
            found.append(self._blob(provider, name, layer.digest, ENVELOPE_CAP))
        return found

    def referrers(self, provider: ProviderName, name: str, digest: Digest) -> list[Descriptor]:
        """What the registry lists beside a manifest; a hint until it was read by its digest."""
        data = self._get(f"{provider}/{name}/referrers/{digest}", MANIFEST_CAP)
        if data is None:
            return []
        return decode_index(data, what="the list of referrers").manifests

    def attached(
        self, provider: ProviderName, name: str, entry: Descriptor, *, cap: int
    ) -> bytes | None:
        """What a referrer with one layer carries, checked by digest; None: it has another form.

        Raises:
            InvalidInput: it is malformed, larger than `cap`, or not there.
            Untrusted: `wrong-digest`.
        """
        referrer = decode_manifest(self.manifest(provider, name, parse_digest(entry.digest)))
        if len(referrer.layers) != 1:
            return None
        return self._blob(provider, name, parse_digest(referrer.layers[0].digest), cap)

    def _of_provider(
        self, provider: ProviderName, named: PackageVersion, version: Version
    ) -> Resolved | None:
        from allod.trust.release import verify_release_statement

        data = self._get(f"{provider}/{named.name}/manifests/{version}", MANIFEST_CAP)
        if data is None:
            return None
        digest = sha256(data)
        document = self.providers[provider]
        failures: list[AllodError] = []
        for envelope in self.statements(provider, named.name, digest):
            try:
                said = verify_release_statement(envelope, document, digest).value
            except AllodError as error:
                failures.append(error)
                continue
            if said.version != version or named.purl not in {None, said.package}:
                continue
            if package_name(said.package) == named.name:
                return Resolved(provider, said.package, said.version, digest)
        if failures:
            raise failures[0]
        raise Untrusted(
            "no-statement",
            f"cannot use {named} of {provider}: nothing signed by {provider} says that "
            f"{digest} is that release",
        )

    def _versions_hint(self, named: PackageVersion) -> str:
        known = [
            f"{provider} has {', '.join(versions)}"
            for provider in sorted(self.providers)
            if (versions := self.versions(provider, named.name))
        ]
        return f"; {'; '.join(known)}" if known else self._names_hint(named.name)

    def _names_hint(self, name: str) -> str:
        """What the registry has under a name like this one; a hint, nothing more."""
        from difflib import get_close_matches

        from allod.cli.registry_client import repositories

        try:
            known = {path.rpartition("/")[2] for path in repositories(self.client)}
        except AllodError:
            return ""
        near = get_close_matches(name, sorted(known), n=3)
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def _blob(self, provider: ProviderName, name: str, digest: Digest, cap: int) -> bytes:
        data = self._get(f"{provider}/{name}/blobs/{digest}", cap)
        if data is None:
            raise InvalidInput("no-such-release", f"cannot find the part {digest} of {name}")
        return _checked(data, digest)

    def _get(self, path: str, cap: int) -> bytes | None:
        try:
            return self.client.request("GET", f"/v2/{self.fleet}/{path}", headers=_ACCEPT, cap=cap)
        except AllodError as error:
            if error.code == "not-found":
                return None
            raise


def _checked(data: bytes, digest: Digest) -> bytes:
    if sha256(data) != digest:
        raise Untrusted("wrong-digest", f"cannot use what the server gave for {digest}")
    return data
