"""`allod provider built`: how a provider's releases have to be built, by a builder's signed word."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from allod.cli.documents import provider_path
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.domain.ids import parse_provider
from allod.errors import InvalidInput
from allod.wire.codec import encode
from allod.wire.trust import ProvenancePolicy


def built(
    name: str,
    *,
    builder: str = "",
    key: tuple[Path, ...] = (),
    source: str = "",
    ref: tuple[str, ...] = (),
    parameter: tuple[str, ...] = (),
    any_parameters: Annotated[bool, Parameter(negative="")] = False,
    anyhow: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Take a provider's releases only with provenance: by this builder, from this source.

    Devices then refuse what the provider's keys signed and this builder did not build so.

    Args:
        name: Which provider.
        builder: The builder's id, as SLSA provenance has it.
        key: A file with the builder's public key; several, if it has several.
        source: The repository, like git+https://github.com/acme/toaster.
        ref: Branches and tags that may be built, like 'refs/tags/v*'; several, if there are.
        parameter: NAME=VALUE, an external parameter of the build, like workflow.path=release.yml.
            Every parameter has to be named; a value that ends in '*' is a beginning.
        any_parameters: Do not look at the parameters.
        anyhow: The provider's own signature is enough again.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    provider = parse_provider(name)
    given = bool(builder or key or source or ref or parameter or any_parameters)
    if anyhow is given:
        raise InvalidInput(
            "bad-arguments",
            "cannot tell how they have to build: give --builder, --key, --source and --ref, "
            "or --anyhow",
        )
    policy = None
    if given:
        policy = _policy(builder, key, source, ref, None if any_parameters else parameter)

    def plan(picture: Picture) -> Change:
        known = picture.base.providers.get(provider)
        if known is None:
            raise InvalidInput(
                "unknown-provider", f"cannot ask {provider} anything: you name no such provider"
            )
        document = msgspec.structs.replace(known, provenance=policy)
        return Change(files={provider_path(provider): encode(document)})

    publish_and_say(options, intent, plan)


def _policy(
    builder: str,
    key: tuple[Path, ...],
    source: str,
    ref: tuple[str, ...],
    parameter: tuple[str, ...] | None,
) -> ProvenancePolicy:
    from allod.cli.ceremony import read_public_key
    from allod.trust.keys import from_key

    if not (builder and key and source and ref):
        raise InvalidInput(
            "bad-arguments",
            "cannot check provenance without --builder, --key, --source and --ref",
        )
    if parameter is not None and not all("=" in one for one in parameter):
        raise InvalidInput("bad-arguments", "cannot read a parameter: it is NAME=VALUE")
    pairs = None if parameter is None else (one.partition("=") for one in parameter)
    return ProvenancePolicy(
        builder=builder,
        keys=[from_key(read_public_key(path)) for path in key],
        source=source,
        refs=list(ref),
        parameters=None if pairs is None else {name: value for name, _, value in pairs},
    )
