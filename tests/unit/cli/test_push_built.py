"""What a builder says of a release is asked already where a push brings it in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.attacks.test_attack_20_provenance import CI, POLICY, statement

from allod.cli.release_push import push_built
from allod.errors import Unavailable, Untrusted
from allod.packaging.build import Built, build_directory
from allod.testing.owner import key_from
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import ProviderDocument

ACME = key_from("acme")
DOCUMENT = ProviderDocument(
    fleet="f" * 64,
    provider="acme",
    keys=[from_key(ACME.public_key)],
    namespaces=["pkg:generic/acme/"],
    provenance=POLICY,
)


class Entered(Exception):
    """The registry was asked to take it."""


@pytest.fixture
def push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pushes a release with such provenance beside it, to a registry that only says it was asked."""
    (tmp_path / "allod.toml").write_text(
        'package = "pkg:generic/acme/toaster"\nversion = "1.0"\nprovider = "acme"\n', "utf-8"
    )
    built = build_directory(tmp_path, None)

    def asked(*_: object) -> None:
        raise Entered

    monkeypatch.setattr("allod.cli.release_push.push_layout", asked)
    monkeypatch.setattr("allod.cli.registry_client.RegistryClient.resolve", lambda *_: None)

    def pushed(document: ProviderDocument | None, **changes: object) -> None:
        if changes:
            lay(built, **changes)

        def providers(name: str) -> ProviderDocument:
            if document is None:
                raise Unavailable("unknown-provider", f"cannot find {name}")
            return document

        with pytest.raises(Entered):
            push_built(built, lambda _: [ACME], None, _Quiet(), providers)  # type: ignore[arg-type]

    return pushed


class _Quiet:
    """Says nothing."""


def lay(built: Built, builder: str = "", **_: object) -> None:
    """Lay provenance by the owner's builder beside a release, or by another one."""
    said = statement(built.digest)
    if builder:
        said["predicate"]["runDetails"]["builder"]["id"] = builder
    envelope = sign_envelope(encode(said), IN_TOTO, [CI])
    built.layout.put(oci.EMPTY_BLOB)
    built.layout.put(envelope)
    built.layout.attach(oci.statement_manifest(envelope, built.descriptor, kind=oci.PROVENANCE))


def test_attack_20_another_builder_is_refused_at_the_push(push: Callable[..., None]) -> None:
    """Good provenance by the wrong builder does not get in; by the right one, and none yet, it does."""
    push(DOCUMENT)
    with pytest.raises(Untrusted) as refused:
        push(DOCUMENT, builder="https://builds.example/rented")
    assert refused.value.code == "wrong-builder"
    push(DOCUMENT, builder=POLICY.builders[0].id)


def test_who_asks_nothing_or_needs_a_verifier_lets_it_in(push: Callable[..., None]) -> None:
    """Without a policy, or with one that only a verifier can judge, a push says nothing."""
    identities = msgspec.structs.replace(POLICY, identities=[_identity()])
    for document in (
        None,
        msgspec.structs.replace(DOCUMENT, provenance=None),
        msgspec.structs.replace(DOCUMENT, provenance=identities),
    ):
        push(document, builder="https://builds.example/rented")


def _identity():  # type: ignore[no-untyped-def]
    from allod.wire.trust import SigstoreIdentity

    return SigstoreIdentity(issuer="https://issuer.example", subject="somebody")
