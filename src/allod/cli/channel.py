"""`allod channel`: what a provider says to all who follow them, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from allod.cli.channel_places import ENVELOPE_CAP, FleetPlace, Place, RegistryPlace, place_at
from allod.cli.channel_publish import (
    Named,
    Signed,
    following,
    keep_signed,
    parse_channel,
    previous,
    with_mends,
)
from allod.cli.fleet import fleet_names
from allod.cli.options import OPTIONS, Options, Sure
from allod.cli.options import now as clock
from allod.cli.phrases import parse_span
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.ids import ProviderName, Purl, package_name
from allod.errors import InvalidInput
from allod.wire.codec import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from allod.cli.documents import Base
    from allod.packaging.build import Built

app = App(name="channel", help="What providers publish once for all who follow them.")


@app.command
def publish(
    channel: str,
    *release: str,
    to: str | None = None,
    login: Path | None = None,
    expires: str = "90d",
    mends: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    sequence: int | None = None,
    yes: Sure = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    options: Options = OPTIONS,
) -> None:
    """Publish the next document of a channel, signed with the provider's keys on this machine.

    Args:
        channel: Which, like acme/stable.
        release: What it names from now on: a directory or OCI layout of 'allod release build', or
            PACKAGE@VERSION in the fleet's registry. What is not named stays as it was.
        to: Where: a registry's address (https://registry.acme.example/acme), which gets the
            releases of directories and layouts too, or a directory; the server of the fleet,
            unless given.
        login: A file with user:password for that registry.
        expires: After how long it changes nothing more, like 90d.
        mends: A flaw that a release mends besides those that it says itself, like
            toaster=CVE-2026-1; several times.
        drop: A package that it says nothing of any more; several times.
        sequence: Its number, where the documents before are lost.
        yes: Do not ask.
        dry_run: Show it and stop.
        options: Options of every verb.
    """
    from allod.cli.signer import local_provider_signers
    from allod.domain.ids import sha256
    from allod.trust.channels import make_channel

    provider, name = parse_channel(channel)
    if to is None and not fleet_names():
        raise InvalidInput(
            "bad-arguments",
            "cannot tell where to publish: this machine knows no fleet; give --to, a registry's "
            "address or a directory",
        )
    signers = local_provider_signers(provider, options.passphrase())
    place = _place(to, login, options)
    before = None if sequence is not None else previous(place, provider, name, signers)
    built = _built(release, options)
    found = with_mends([_named(text, provider, options, built) for text in release], mends)
    dropped = frozenset(_in_channel(before, text) for text in drop)
    made = following(
        before, provider, name, found,
        drop=dropped, now=clock(), life=parse_span(expires), sequence=sequence,
    )  # fmt: skip
    options.output.say("\n".join(_lines(made, before)))
    if dry_run:
        options.output.result({"published": False, **_data(made)}, "Nothing was published.")
        return
    options.output.confirm(f"Sign and publish this at {place.name}?", yes=yes)
    if isinstance(place, RegistryPlace):
        from allod.cli.foreign_push import push_beside

        for one in built.values():
            push_beside(one, place.files, signers, options.output)
    document = make_channel(made, signers)
    keep_signed(provider, name, Signed(sequence=made.sequence, digest=sha256(document)))
    place.put(provider, name, made.sequence, document)
    options.output.result(
        {"published": True, "to": place.name, **_data(made)},
        f"Published {channel} {made.sequence} at {place.name}.",
    )


def _place(text: str | None, login: Path | None, options: Options) -> Place:
    return FleetPlace(options.open()) if text is None else place_at(text, login)


def _built(texts: tuple[str, ...], options: Options) -> dict[str, Built]:
    """The releases that are given as directories or layouts."""
    from allod.cli.release_push import open_or_build

    return {
        text: open_or_build(Path(text), out=options.output) for text in texts if Path(text).is_dir()
    }


def _named(
    text: str, provider: ProviderName, options: Options, built: Mapping[str, Built]
) -> Named:
    """A release by directory, layout, or name and version in the fleet's registry."""
    if text in built:
        release, digest = built[text].release, built[text].digest
    else:
        if "@" not in text:
            raise InvalidInput(
                "no-file",
                f"cannot name {text[:200]!r}: there is no such directory; give a release's "
                "directory or layout, or PACKAGE@VERSION of the fleet's registry",
            )
        from allod.cli.catalog import parse_package_version
        from allod.cli.picture import take

        picture = take(options.open(), reports=False, reading=True)
        at = picture.catalog.resolve(parse_package_version(text), provider)
        digest = at.digest
        release = picture.catalog.release(provider, at.package, at.digest)
    if release.provider != provider:
        raise InvalidInput(
            "wrong-provider",
            f"cannot name {release.package} in a channel of {provider}: it is {release.provider}'s",
        )
    return Named(release.package, ChannelRelease(release.version, digest, tuple(release.mends)))


def _in_channel(before: Channel | None, text: str) -> Purl:
    packages = [] if before is None else list(before.packages)
    found = [one for one in packages if text in {one, package_name(one)}]
    if len(found) != 1:
        raise InvalidInput(
            "not-in-channel", f"cannot drop {text[:80]!r}: the channel names no such"
        )
    return found[0]


def _lines(made: Channel, before: Channel | None = None) -> Iterator[str]:
    had = {} if before is None else before.packages
    yield (f"{made.provider}/{made.channel} {made.sequence}, good until {instant(made.expires)}:")
    for package, release in sorted(made.packages.items()):
        mark = " " if had.get(package) == release else "+" if package not in had else "~"
        mended = f", mends {', '.join(release.mends)}" if release.mends else ""
        yield f"  {mark} {package} {release.version} ({release.digest[:19]}…){mended}"
    for package in sorted(had.keys() - made.packages.keys()):
        yield f"  - {package}: said nothing of any more, devices keep what they have"


def _data(channel: Channel) -> dict[str, Any]:
    return {
        "provider": channel.provider,
        "channel": channel.channel,
        "sequence": channel.sequence,
        "at": instant(channel.at),
        "expires": instant(channel.expires),
        "packages": {
            package: {
                "version": release.version,
                "digest": release.digest,
                "mends": list(release.mends),
            }
            for package, release in sorted(channel.packages.items())
        },
    }


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the channels that the fleet follows, as its server sees them."""
    from allod.wire.api import ChannelList

    found = options.open().client.get("channels", ChannelList)
    rows = [
        (
            f"{one.provider}/{one.channel}",
            str(one.sequence or ""),
            one.expires or "",
            "yes" if one.witnessed else "",
            ", ".join(one.delegations),
            one.failure or one.source,
        )
        for one in found.channels
    ]
    columns = ("channel", "newest", "good until", "witnessed", "followed by", "from")
    options.output.table(found, columns, rows, empty="No channel is followed.")


@app.command
def show(
    channel: str,
    *,
    at: Annotated[str | None, Parameter(name="--from")] = None,
    sequence: int | None = None,
    login: Path | None = None,
    options: Options = OPTIONS,
) -> None:
    """Show what a channel says, checked by its provider's keys as you name them.

    Args:
        channel: Which, like acme/stable.
        at: A registry's address or a directory; the fleet's server, unless given.
        sequence: An earlier document.
        login: A file with user:password for that registry.
        options: Options of every verb.
    """
    found = _verified(_base(options), channel, _place(at, login, options), sequence)[1]
    over = found.expires <= clock()
    lines = list(_lines(found, found))
    options.output.result(
        {**_data(found), "over": over},
        "\n".join([*lines, *(["! It is over: it changes nothing more."] if over else [])]),
    )


@app.command
def copy(
    channel: str,
    source: str,
    *,
    login: Path | None = None,
    options: Options = OPTIONS,
) -> None:
    """Carry a channel's newest document to the fleet's server, which cannot reach its source.

    Its releases are carried by 'allod release push' or by any OCI tool.

    Args:
        channel: Which, like acme/stable.
        source: A directory or a registry's address.
        login: A file with user:password for that registry.
        options: Options of every verb.
    """
    provider, name = parse_channel(channel)
    fleet = options.open()
    raw, found = _verified(_base(options), channel, place_at(source, login), None)
    FleetPlace(fleet).put(provider, name, found.sequence, raw)
    options.output.result(
        {"copied": True, **_data(found)},
        f"The server has {channel} {found.sequence} now.",
    )


def _base(options: Options) -> Base:
    from allod.cli.documents import newest

    return newest(options.open(), reading=True)


def _verified(
    base: Base, channel: str, place: Place, sequence: int | None
) -> tuple[bytes, Channel]:
    """A document, and what it says under the owner's word about its provider.

    Raises:
        InvalidInput: `unknown-provider`, `unknown-channel`.
        Untrusted: it is not the provider's.
    """
    from allod.domain.delegation import Follow
    from allod.trust.channels import verify_channel

    provider, name = parse_channel(channel)
    document = base.providers.get(provider)
    if document is None:
        raise InvalidInput("unknown-provider", f"cannot check {channel}: you name no {provider}")
    raw = place.document(provider, name, sequence)
    if raw is None or len(raw) > ENVELOPE_CAP:
        which = "" if sequence is None else f" {sequence}"
        raise InvalidInput("unknown-channel", f"cannot find {channel}{which} at {place.name}")
    return raw, verify_channel(raw, document, Follow(provider, name)).value.channel
