"""`allod provider`: whose releases may come onto the devices, and how far they are trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from allod.cli.documents import provider_path
from allod.cli.logbook import Place, read_logbook
from allod.cli.options import OPTIONS, Options
from allod.cli.output import outline
from allod.cli.phrases import choices
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.domain.access import parse_access
from allod.domain.ids import ProviderName, parse_provider, parse_purl
from allod.errors import Conflict, InvalidInput
from allod.trust.floors import channel_role
from allod.wire.codec import encode
from allod.wire.trust import ProviderDocument

app = App(name="provider", help="Whose releases may come onto your devices.")
app.command(
    "allod.cli.provider_adopt:adopt", name="adopt", help="Sign in place of one who is gone."
)
app.command(
    "allod.cli.provider_built:built", name="built", help="Say how their releases have to be built."
)


@app.command
def add(
    name: str,
    *,
    key: tuple[Path, ...],
    namespace: tuple[str, ...],
    access: tuple[str, ...] = (),
    any_access: Annotated[bool, Parameter(negative="")] = False,
    threshold: int = 1,
    replace: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Name a provider: their keys, the packages they speak for, the access they may ask for.

    Args:
        name: What you call them.
        key: A file with their public key (PEM, or as 'allod release key' writes it); several, if
            they have several.
        namespace: The beginning of the packages that are theirs, like pkg:generic/acme/.
        access: The most that their releases may need; may be given several times.
        any_access: Let them ask for any access; each release still shows what it needs.
        threshold: How many of their keys have to sign.
        replace: Change a provider who is named already.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    from allod.cli.ceremony import read_public_key
    from allod.trust.keys import from_key

    provider = parse_provider(name)
    if not key or not namespace:
        raise InvalidInput("bad-arguments", "cannot add a provider without --key and --namespace")
    if any_access == bool(access):
        raise InvalidInput(
            "bad-arguments", "cannot tell what they may ask for: give --access NAME or --any-access"
        )
    keys = [from_key(read_public_key(path)) for path in key]
    if not 1 <= threshold <= len(keys):
        raise InvalidInput(
            "bad-threshold", f"cannot let {threshold} of {len(keys)} keys sign their releases"
        )
    namespaces = sorted({parse_namespace(text) for text in namespace})
    allowed = None if any_access else sorted(parse_access(access))

    def plan(picture: Picture) -> Change:
        known = picture.base.providers
        if provider in known and not replace:
            raise Conflict(
                "exists", f"cannot add {provider}: they are named already; --replace changes them"
            )
        document = ProviderDocument(
            fleet=picture.base.fleet_id,
            provider=provider,
            keys=keys,
            threshold=threshold,
            namespaces=namespaces,
            access=allowed,
            provenance=known[provider].provenance if provider in known else None,
        )
        shared = sorted(
            f"{other} also speaks for {theirs}"
            for other, one in known.items()
            for theirs in one.namespaces
            for ours in namespaces
            if other != provider and (theirs.startswith(ours) or ours.startswith(theirs))
        )
        return Change(
            files={provider_path(provider): encode(document)},
            remarks=tuple(f"! {text}" for text in dict.fromkeys(shared)),
        )

    publish_and_say(options, intent, plan)


def parse_namespace(text: str) -> str:
    """The beginning of packages, ending in '/'. Raises InvalidInput `bad-package`."""
    if not text.endswith("/"):
        raise InvalidInput(
            "bad-package",
            f"cannot use {text[:80]!r} as a namespace: it ends in '/', like pkg:generic/acme/",
        )
    parse_purl(f"{text}x")
    return text


@app.command
def distrust(
    name: str,
    *,
    why: str,
    after: int | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Take no further releases of a provider; what runs stays lawful.

    Args:
        name: Which provider.
        why: What devices and everybody else are told.
        after: Only what they said after this entry of the fleet's log: what their channels named
            by then still counts. 'allod provider show' lists the entries.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """

    def plan(picture: Picture) -> Change:
        provider = _known(picture, name)
        if after is not None:
            _check_entry(picture, after)
        document = msgspec.structs.replace(
            picture.base.providers[provider], distrusted=why, distrusted_after=after
        )
        return Change(
            files={provider_path(provider): encode(document)},
            remarks=tuple(_followers(picture, provider, after)),
        )

    publish_and_say(options, intent, plan)


def _check_entry(picture: Picture, index: int) -> None:
    """An entry that this machine has verified. Raises InvalidInput `bad-arguments`."""
    book = read_logbook(picture.base.view)
    size = 0 if book is None else book.known.signed.size
    if not 0 <= index < size:
        last = f"its last entry is {size - 1}" if size else "the fleet has no log"
        raise InvalidInput("bad-arguments", f"cannot distrust from entry {index} on: {last}")


def _followers(picture: Picture, provider: ProviderName, after: int | None) -> Iterator[str]:
    for delegation in picture.base.delegations.values():
        if delegation.follow is None or delegation.follow.provider != provider:
            continue
        if after is None:
            yield f"{delegation.id}: no word of {delegation.follow} counts any more"
        else:
            yield f"{delegation.id}: what {delegation.follow} said after entry {after} does not count"


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the providers."""
    picture = take(options.open(), reports=False)
    known = picture.base.providers
    rows = [
        (name, ", ".join(one.namespaces), _access(one), one.distrusted or "")
        for name, one in sorted(known.items())
    ]
    options.output.table(
        {"providers": [_data(one) for one in known.values()]},
        ("provider", "speaks for", "may need", "distrusted because"),
        rows,
        empty="No providers.",
    )


@app.command
def show(name: str, *, options: Options = OPTIONS) -> None:
    """Show one provider.

    Args:
        name: Which.
        options: Options of every verb.
    """
    picture = take(options.open(), reports=False)
    provider = _known(picture, name)
    data = _data(picture.base.providers[provider])
    data["channels"] = [
        {"channel": place.role.partition("/")[2], "sequence": place.version, "entry": place.index}
        for place in _channel_entries(picture, provider)
    ]
    options.output.result(data, "\n".join(outline(data)))


def _channel_entries(picture: Picture, provider: ProviderName) -> list[Place]:
    """Where documents of their channels stand in the log, as far as they counted."""
    book = read_logbook(picture.base.view)
    places = () if book is None else book.places
    return [one for one in places if one.role.startswith(channel_role(f"{provider}/"))]


def _known(picture: Picture, name: str) -> ProviderName:
    provider = parse_provider(name)
    if provider not in picture.base.providers:
        raise InvalidInput(
            "unknown-provider",
            f"cannot find the provider {provider}; there are: "
            + choices(sorted(picture.base.providers)),
        )
    return provider


def _access(document: ProviderDocument) -> str:
    if document.access is None:
        return "any access"
    return ", ".join(document.access) or "none"


def _data(document: ProviderDocument) -> dict[str, Any]:
    from msgspec import to_builtins

    from allod.trust.keys import key_id

    return {
        "provider": document.provider,
        "keys": [key_id(key) for key in document.keys],
        "threshold": document.threshold,
        "namespaces": document.namespaces,
        "access": document.access,
        "distrusted": document.distrusted,
        "distrustedAfter": document.distrusted_after,
        "adopted": document.adopted,
        "provenance": None if document.provenance is None else to_builtins(document.provenance),
    }
