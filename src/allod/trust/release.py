"""The provider's signature on a release: provider, package and version, bound to one digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from allod.domain.ids import (
    Digest,
    ProviderName,
    Purl,
    Version,
    parse_digest,
    parse_provider,
    parse_purl,
    parse_version,
)
from allod.errors import InvalidInput, Refused, Untrusted
from allod.trust.dsse import verify_envelope
from allod.trust.keys import to_key
from allod.trust.verified import Verified, seal
from allod.wire.codec import decode
from allod.wire.envelope import IN_TOTO
from allod.wire.intoto import ReleaseStatement
from allod.wire.report import Alarm
from allod.wire.trust import ProviderDocument

STATEMENT_CAP: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ReleaseIdentity:
    """Whose release of what in which version these bytes are."""

    provider: ProviderName
    package: Purl
    version: Version
    digest: Digest


def verify_release_statement(
    envelope: bytes,
    provider: ProviderDocument,
    manifest: Digest,
    *,
    running: bool = False,
) -> Verified[ReleaseIdentity]:
    """Step 9: the provider's own word that `manifest` is their release (docs/spec/release.md).

    Args:
        envelope: the statement, as it lies beside the release in the registry.
        provider: the owner's document about the provider: keys, threshold, namespaces.
        manifest: digest of the OCI manifest that was found or is to be installed.
        running: it runs already; then a provider who is distrusted since is no obstacle.

    Raises:
        InvalidInput: the statement is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-digest`, `wrong-provider`, `wrong-namespace`.
        Refused: `provider-distrusted`.
    """
    what = f"the release statement of {provider.provider}"
    keys = [to_key(key) for key in provider.keys]
    verified = verify_envelope(
        envelope, IN_TOTO, keys, provider.threshold, STATEMENT_CAP, what=what
    )
    statement = decode(verified.value, ReleaseStatement, cap=STATEMENT_CAP, what=what)
    if len(statement.subject) != 1 or set(statement.subject[0].digest) != {"sha256"}:
        raise InvalidInput(
            "bad-document", f"cannot read {what}: it speaks of one SHA-256 digest only"
        )
    subject = statement.subject[0]
    identity = ReleaseIdentity(
        parse_provider(statement.predicate.provider),
        parse_purl(statement.predicate.package),
        parse_version(statement.predicate.version),
        parse_digest("sha256:" + subject.digest["sha256"]),
    )
    if subject.name != identity.package:
        raise InvalidInput("bad-document", f"cannot read {what}: subject and predicate differ")
    if identity.digest != manifest:
        # Same name and version, other bytes: the digest wins (18, 19).
        raise Untrusted(
            "wrong-digest", f"cannot accept {what}: it speaks of {identity.digest}", digest=manifest
        )
    if identity.provider != provider.provider:
        raise Untrusted("wrong-provider", f"cannot accept {what}: it names {identity.provider}")
    if not any(identity.package.startswith(prefix) for prefix in provider.namespaces):
        # A provider speaks for its own names only (18).
        raise Untrusted(
            "wrong-namespace",
            f"cannot accept {what}: {identity.package} is not in the provider's namespaces",
            package=identity.package,
        )
    if provider.distrusted is not None and not running:
        raise Refused(
            "provider-distrusted",
            f"cannot install from {provider.provider}: the owner distrusts this provider",
            reasons=(provider.distrusted,),
        )
    return seal(identity, verified.by)


def equivocation(known: Iterable[ReleaseIdentity], new: ReleaseIdentity) -> Alarm | None:
    """The alarm if a provider signed one version twice with different bytes (attack 19)."""
    for old in known:
        same = (old.provider, old.package, old.version) == (new.provider, new.package, new.version)
        if same and old.digest != new.digest:
            return Alarm(
                code="release-equivocation",
                says=f"{new.provider} signed {new.package} {new.version} twice:"
                f" {old.digest} and {new.digest}",
            )
    return None
