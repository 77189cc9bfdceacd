"""Attack 18, at the trust level: a name and a version resolve only through the provider's word."""

from __future__ import annotations

import pytest

from allod.domain.ids import ProviderName, Purl, Version, sha256
from allod.errors import InvalidInput, Refused, Untrusted
from allod.testing.repository import key_from
from allod.trust.keys import from_key
from allod.trust.papers import make_release_statement
from allod.trust.release import ReleaseIdentity, verify_release_statement
from allod.wire.trust import ProviderDocument

ACME = key_from("acme")
DIGEST = sha256(b"manifest")
TOASTER = ReleaseIdentity(
    ProviderName("acme"), Purl("pkg:generic/acme/toaster"), Version("2.0"), DIGEST
)


def document(**fields: object) -> ProviderDocument:
    """What the owner says of acme."""
    known = {
        "fleet": "f" * 64,
        "provider": "acme",
        "keys": [from_key(ACME.public_key)],
        "namespaces": ["pkg:generic/acme/"],
    }
    return ProviderDocument(**{**known, **fields})  # type: ignore[arg-type]


def test_attack_18_the_providers_word_is_needed_and_enough() -> None:
    """The right keys over the right digest give the identity, and say who signed."""
    verified = verify_release_statement(make_release_statement(TOASTER, [ACME]), document(), DIGEST)
    assert verified.value == TOASTER
    assert verified.by == {ACME.public_key.keyid}


@pytest.mark.parametrize(
    ("identity", "signer", "code"),
    [
        (TOASTER, key_from("mallory"), "auth"),
        (
            ReleaseIdentity(
                ProviderName("acme"), Purl("pkg:generic/other/toaster"), Version("2.0"), DIGEST
            ),
            ACME,
            "wrong-namespace",
        ),
        (
            ReleaseIdentity(ProviderName("me"), TOASTER.package, Version("2.0"), DIGEST),
            ACME,
            "wrong-provider",
        ),
        (
            ReleaseIdentity(ProviderName("acme"), TOASTER.package, Version("2.0"), sha256(b"x")),
            ACME,
            "wrong-digest",
        ),
    ],
)
def test_attack_18_somebody_elses_release_under_the_name(
    identity: ReleaseIdentity, signer: object, code: str
) -> None:
    """Another signer, a foreign namespace, another provider's name, other bytes: refused each."""
    envelope = make_release_statement(identity, [signer])  # type: ignore[list-item]
    with pytest.raises(Untrusted) as caught:
        verify_release_statement(envelope, document(), DIGEST)
    assert caught.value.code == code


def test_attack_18_a_distrusted_provider_installs_nothing_new() -> None:
    """What runs stays lawful; nothing new comes."""
    envelope = make_release_statement(TOASTER, [ACME])
    distrusted = document(distrusted="their key leaked")
    with pytest.raises(Refused) as caught:
        verify_release_statement(envelope, distrusted, DIGEST)
    assert caught.value.reasons == ("their key leaked",)
    assert verify_release_statement(envelope, distrusted, DIGEST, running=True).value == TOASTER


def test_attack_18_a_threshold_counts_keys_and_not_signatures() -> None:
    """Two of two keys are needed; one key under two names is one key."""
    twice = document(keys=[from_key(ACME.public_key), from_key(ACME.public_key)], threshold=2)
    with pytest.raises(Untrusted):
        verify_release_statement(make_release_statement(TOASTER, [ACME, ACME]), twice, DIGEST)
    second = key_from("acme/second")
    both = document(keys=[from_key(ACME.public_key), from_key(second.public_key)], threshold=2)
    envelope = make_release_statement(TOASTER, [ACME, second])
    assert len(verify_release_statement(envelope, both, DIGEST).by) == 2
    with pytest.raises(InvalidInput):
        verify_release_statement(b"{}", both, DIGEST)
