"""Which documents, such as SBOMs, a provider signed as those of a release (docs/spec/sbom.md).

Without it, whoever may write into a registry could lay another list beside a release, and what the
release is made of would be their word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from allod.domain.ids import Digest, parse_digest
from allod.errors import InvalidInput, Untrusted
from allod.trust.dsse import verify_envelope
from allod.trust.keys import to_key
from allod.trust.verified import Verified, seal
from allod.wire.envelope import IN_TOTO
from allod.wire.reference import REFERENCE_CAP, decode_reference
from allod.wire.trust import ProviderDocument

MAX_REFERENCES = 64


def verify_references(
    envelope: bytes, provider: ProviderDocument, release: Digest
) -> Verified[Mapping[Digest, str]]:
    """Check the provider's word about the documents of `release`.

    Args:
        envelope: as it lies beside the release.
        provider: the owner's document about the provider: keys and threshold.
        release: digest of the release's manifest or index.

    Returns:
        Digest -> media type of each.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-digest`.
    """
    what = f"the word of {provider.provider} on the documents of a release"
    keys = [to_key(key) for key in provider.keys]
    verified = verify_envelope(
        envelope, IN_TOTO, keys, provider.threshold, 2 * REFERENCE_CAP, what=what
    )
    statement = decode_reference(verified.value)
    if not statement.is_reference:
        raise Untrusted(
            "wrong-type", f"cannot accept {what}: it is {statement.predicate_type[:80]!r}"
        )
    subjects = (one.digest.get("sha256") for one in statement.subject)
    if release.removeprefix("sha256:") not in subjects:
        raise Untrusted("wrong-digest", f"cannot accept {what}: it is of another release")
    named = statement.predicate.references
    if len(named) > MAX_REFERENCES:
        raise InvalidInput("bad-document", f"cannot read {what}: more than {MAX_REFERENCES}")
    found = {
        parse_digest(f"sha256:{one.digest.get('sha256', '')}"): one.media_type for one in named
    }
    return seal(found, verified.by)


def signed_documents(
    envelopes: Iterable[bytes], provider: ProviderDocument, release: Digest
) -> Mapping[Digest, frozenset[str]]:
    """Digest -> the keys that signed it as a document of `release`; what does not hold is left out."""
    found: dict[Digest, frozenset[str]] = {}
    for envelope in envelopes:
        try:
            known = verify_references(envelope, provider, release)
        except (InvalidInput, Untrusted):
            continue
        for digest in known.value:
            found[digest] = found.get(digest, frozenset()) | known.by
    return found
