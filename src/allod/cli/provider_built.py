"""`allod provider built`: how a provider's releases have to be built, and what must come with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from allod.cli.documents import provider_path
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.domain.ids import parse_provider
from allod.errors import InvalidInput
from allod.wire.codec import encode
from allod.wire.envelope import PublicKey
from allod.wire.trust import ProvenancePolicy, SigstoreIdentity, TrustedBuilder

HIGHEST: Final = 3  #: SLSA build level


def built(
    name: str,
    *,
    builder: tuple[str, ...] = (),
    key: tuple[Path, ...] = (),
    identity: tuple[str, ...] = (),
    issuer: tuple[str, ...] = (),
    source: tuple[str, ...] = (),
    ref: tuple[str, ...] = (),
    parameter: tuple[str, ...] = (),
    any_parameters: Annotated[bool, Parameter(negative="")] = False,
    level: int = 0,
    attestation: tuple[str, ...] = (),
    sbom: Annotated[bool, Parameter(negative="")] = False,
    anyhow: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Take a provider's releases only if they are built so, or with these documents.

    The server copies and publishes, and devices take, nothing else of this provider's any more,
    whatever its keys sign. Devices check plain keys themselves; with identities of Sigstore they
    need the word of a verifier ('allod verifier add', 'allod release vouch').

    Args:
        name: Which provider.
        builder: A builder's id, as SLSA provenance has it; 'ID=LEVEL' says which SLSA build level
            you take it to keep.
        key: A file with a builder's public key; several, if there are.
        identity: Who stands in the builder's certificate: a mail address or a URI; one that ends in
            '*' is a beginning. Each with its --issuer.
        issuer: Who vouches for that identity, like https://token.actions.githubusercontent.com.
        source: A repository, like git+https://github.com/acme/toaster.
        ref: Branches and tags that may be built, like 'refs/tags/v*'; several, if there are.
        parameter: NAME=VALUE, an external parameter of the build, like workflow.path=release.yml.
            Every parameter has to be named; a value that ends in '*' is a beginning.
        any_parameters: Do not look at the parameters.
        level: The least SLSA build level, 1 to 3.
        attestation: A kind of statement that must be there too, by its predicate type.
        sbom: A bill of materials must be there, bound by the provider's signature.
        anyhow: The provider's own signature is enough again.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    provider = parse_provider(name)
    asks = bool(builder or key or identity or issuer or source or ref or parameter)
    asks = asks or any_parameters or bool(level)
    given = asks or bool(attestation) or sbom
    if anyhow is given:
        raise InvalidInput(
            "bad-arguments",
            "cannot tell how they have to build: give --builder, --source, --ref and --key or "
            "--identity, or --sbom or --attestation, or --anyhow",
        )
    policy = None
    if given:
        policy = ProvenancePolicy(attestations=list(attestation), sbom=sbom)
    if policy is not None and asks:
        policy = msgspec.structs.replace(
            policy,
            builders=[_builder(one) for one in builder],
            keys=_keys(key),
            identities=_identities(identity, issuer),
            sources=list(source),
            refs=list(ref),
            parameters=None if any_parameters else _parameters(parameter),
            level=_level(level),
        )
        _whole(policy)

    def plan(picture: Picture) -> Change:
        known = picture.base.providers.get(provider)
        if known is None:
            raise InvalidInput(
                "unknown-provider", f"cannot ask {provider} anything: you name no such provider"
            )
        document = msgspec.structs.replace(known, provenance=policy)
        return Change(files={provider_path(provider): encode(document)})

    publish_and_say(options, intent, plan)


def _whole(policy: ProvenancePolicy) -> None:
    """Half a demand would let nothing through."""
    if not (
        policy.builders and policy.sources and policy.refs and (policy.keys or policy.identities)
    ):
        raise InvalidInput(
            "bad-arguments",
            "cannot check provenance without --builder, --source, --ref, and --key or --identity",
        )
    if max(one.level for one in policy.builders) < policy.level:
        raise InvalidInput(
            "bad-arguments",
            f"cannot ask for level {policy.level}: you take no builder to keep it; "
            "say --builder ID=LEVEL",
        )


def _builder(text: str) -> TrustedBuilder:
    name, _, level = text.rpartition("=")
    if name and level.isdecimal():
        return TrustedBuilder(id=name, level=_level(int(level)))
    return TrustedBuilder(id=text)


def _level(value: int) -> int:
    if not 0 <= value <= HIGHEST:
        raise InvalidInput(
            "bad-arguments", f"cannot use {value} as SLSA build level: it is 0 to {HIGHEST}"
        )
    return value


def _keys(paths: tuple[Path, ...]) -> list[PublicKey]:
    from allod.cli.ceremony import read_public_key
    from allod.trust.keys import from_key

    return [from_key(read_public_key(path)) for path in paths]


def _identities(subjects: tuple[str, ...], issuers: tuple[str, ...]) -> list[SigstoreIdentity]:
    if len(subjects) != len(issuers):
        raise InvalidInput("bad-arguments", "cannot use an --identity without its --issuer")
    return [
        SigstoreIdentity(issuer=issuer, subject=subject)
        for subject, issuer in zip(subjects, issuers, strict=True)
    ]


def _parameters(texts: tuple[str, ...]) -> dict[str, str]:
    if not all("=" in one for one in texts):
        raise InvalidInput("bad-arguments", "cannot read a parameter: it is NAME=VALUE")
    pairs = (one.partition("=") for one in texts)
    return {name: value for name, _, value in pairs}
