"""`allod release`: describe, build, sign, push, import, look at and verify releases."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allod.cli.release_push import PublishedRelease
    from allod.domain.release import Release
    from allod.packaging.draft import Draft

app = App(name="release", help="Describe, build, push, import, verify and withdraw releases.")
app.command(
    "allod.cli.release_provenance:provenance",
    name="provenance",
    help="Lay a builder's provenance beside a release.",
)
app.command(
    "allod.cli.release_sbom:sbom",
    name="sbom",
    help="Lay SBOMs beside a release, or show those that are there.",
)
app.command(
    "allod.cli.release_attested:verify",
    name="verify",
    help="Check a release from end to end, and what others attest of it or of a file.",
)
app.command(
    "allod.cli.vouch:vouch",
    name="vouch",
    help="Say for devices that releases were built as their owner asks.",
)
app.command(
    "allod.cli.release_withdraw:withdraw",
    name="withdraw",
    help="Recall a release, or take that back.",
)

Yes = Annotated[bool, Parameter(negative="")]


@app.command
def init(
    directory: Path = Path(),
    *,
    name: str | None = None,
    provider: str = "me",
    unit: Path | None = None,
    root: str = "",
    wheel: Path | None = None,
    dependencies: Path | None = None,
    entry: str | None = None,
    overwrite: Yes = False,
    options: Options = OPTIONS,
) -> None:
    """Write a first allod.toml, guessed from what is there.

    Args:
        directory: What is to be shipped; with --wheel, where to unpack it.
        name: The package's name; the directory's, unless given.
        provider: Whose release it will be.
        unit: Take command, environment and access from this systemd unit.
        root: With --unit, the directory on the old machine that is shipped as the tree.
        wheel: Take a pure-Python wheel.
        dependencies: With --wheel, a directory with the wheels that it needs.
        entry: With --wheel, the console script that starts the service.
        overwrite: Replace an allod.toml that is there.
        options: Options of every verb.
    """
    from allod.packaging.draft import draft_directory, write_draft
    from allod.packaging.unit_file import draft_unit
    from allod.packaging.wheel import draft_wheel

    if unit is not None and wheel is not None:
        raise InvalidInput("bad-arguments", "cannot take both --unit and --wheel")
    if wheel is not None:
        draft = draft_wheel(
            wheel, directory, dependencies=dependencies, entry=entry, provider=provider
        )
    elif unit is not None:
        draft = draft_unit(unit, root=root, provider=provider)
        directory.mkdir(parents=True, exist_ok=True)
    else:
        draft = draft_directory(directory, name=name, provider=provider)
    if name is not None:
        draft = _renamed(draft, name, provider)
    path = write_draft(draft, directory, overwrite=overwrite)
    lines = [f"Wrote {path}. Read it, then: allod release build {directory}", *draft.notes]
    options.output.result(
        {"file": str(path), "description": draft.table, "notes": list(draft.notes)},
        "\n".join(lines),
    )


def _renamed(draft: Draft, name: str, provider: str) -> Draft:
    from allod.domain.ids import parse_name
    from allod.packaging.draft import Draft, package_of

    table = draft.table | {"package": package_of(parse_name(name), provider)}
    if "service" in table:
        table["service"] = table["service"] | {"name": name}
    return Draft(table, draft.notes)


@app.command
def build(
    directory: Path = Path(),
    *,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    version: str | None = None,
    options: Options = OPTIONS,
) -> None:
    """Build what allod.toml describes, into an OCI image layout.

    The same directory always gives the same digest.

    Args:
        directory: Holds allod.toml.
        out: The layout to write; .allod/release in the directory, unless given.
        version: Instead of the one in allod.toml.
        options: Options of every verb.
    """
    from allod.packaging.build import build_directory

    with options.output.progress("Packing") as advance:
        built = build_directory(directory, out, version=version, progress=advance)
    release = built.release
    options.output.result(
        _summary(built.releases, built.digest) | {"layout": str(built.layout.directory)},
        f"Built {release.package} {release.version} of {release.provider}\n"
        f"  digest  {built.digest}\n  layout  {built.layout.directory}",
    )


def _summary(releases: Sequence[Release], digest: str) -> dict[str, Any]:
    first = releases[0]
    return {
        "package": first.package,
        "version": first.version,
        "provider": first.provider,
        "digest": digest,
        "architectures": [one.architecture or "any" for one in releases],
        "bytes": sum(layer.size for one in releases for layer in one.layers),
        "installed_bytes": [one.installed_size for one in releases],
    }


@app.command
def key(out: Path, *, provider: str, options: Options = OPTIONS) -> None:
    """Make a provider's key on this machine, and write its public half to a file.

    No fleet is needed for it: whoever builds releases keeps the key, and owners name its public
    half with 'allod provider add'.

    Args:
        out: The file to hand to the owners of devices.
        provider: The provider's name, as it stands in their releases.
        options: Options of every verb.
    """
    from allod.cli.options import now
    from allod.cli.signer import SignerStore
    from allod.domain.ids import parse_provider
    from allod.durable import write_atomic
    from allod.errors import Conflict
    from allod.wire.codec import encode

    name = parse_provider(provider)
    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    record = SignerStore.open(options.passphrase()).make_key(f"provider:{name}", now=now())
    write_atomic(out.absolute(), encode(record.public), mode=0o644)
    options.output.result(
        {"id": record.id, "file": str(out)},
        f"A key of {name}, {record.id[:16]}, lies on this machine; hand {out} to the owners: "
        f"allod provider add {name} --key {out.name} --namespace pkg:generic/{name}/",
    )


@app.command
def sign(source: Path = Path(), *, version: str | None = None, options: Options = OPTIONS) -> None:
    """Sign a release with its provider's keys on this machine, building it first; no fleet is needed.

    The statement is put into the release's OCI layout, which any tool may carry on.

    Args:
        source: A directory with allod.toml, or an OCI image layout.
        version: Instead of the one in allod.toml; or which release of a layout.
        options: Options of every verb.
    """
    from allod.cli.release_push import open_or_build
    from allod.cli.signer import local_provider_signers
    from allod.packaging.statement import sign_release

    built = open_or_build(source, version=version, out=options.output)
    release = built.release
    sign_release(built, local_provider_signers(release.provider, options.passphrase()))
    options.output.result(
        _summary(built.releases, built.digest) | {"layout": str(built.layout.directory)},
        f"Signed {release.package} {release.version} as {release.provider}\n"
        f"  digest  {built.digest}\n  layout  {built.layout.directory}",
    )


@app.command
def push(
    source: Path = Path(),
    *,
    version: str | None = None,
    provider: str | None = None,
    options: Options = OPTIONS,
) -> None:
    """Sign a release as its provider and push it to the fleet's registry, building it first.

    A layout that its provider signed elsewhere is pushed as it is, if the fleet trusts them. What
    broke off goes on where it stopped. A version that is there with other bytes is refused.

    Args:
        source: A directory with allod.toml, or an OCI image layout.
        version: Instead of the one in allod.toml; or which release of a layout.
        provider: Refuse a release of any other provider.
        options: Options of every verb.
    """
    from allod.cli.release_push import publish_release
    from allod.cli.release_verify import owner_says

    fleet = options.open()
    providers, _ = owner_says(options)
    published = publish_release(
        source,
        provider,
        lambda who: fleet.keys.signers(f"provider:{who}"),
        fleet.client,
        version=version,
        output=options.output,
        providers=providers,
    )
    _show_published(published, options)


def _show_published(published: PublishedRelease, options: Options) -> None:
    from allod.domain.ids import package_name

    what = "Pushed" if published.pushed else "Already there:"
    options.output.result(
        _summary(published.releases, published.digest) | {"pushed": published.pushed},
        f"{what} {published.purl} {published.version} of {published.release.provider}\n"
        f"  digest  {published.digest}\n"
        f"Deploy it with: allod deploy GROUP {package_name(published.purl)}@{published.version}",
    )


@app.command(name="import")
def import_(
    source: str,
    *,
    package: str | None = None,
    version: str | None = None,
    describe: Path | None = None,
    command: str = "",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    provider: str = "me",
    push: Annotated[bool, Parameter(negative="--no-push")] = True,
    options: Options = OPTIONS,
) -> None:
    """Take in foreign software as a release of your own, marked 'imported by the owner'.

    Args:
        source: A tarball, an OCI image layout, or docker://HOST/NAME:TAG.
        package: The package's identity, like pkg:generic/acme/toaster, or a short name.
        version: Its version; that of a foreign release, unless given.
        describe: An allod.toml with everything else.
        command: The command that runs its service, as a shell would split it.
        out: Where the imported release is written.
        provider: Which of your providers signs it.
        push: Sign it and push it to the fleet's registry.
        options: Options of every verb.
    """
    from allod.cli.release_import import Wanted, import_release
    from allod.cli.release_push import push_built

    wanted = Wanted(package, version, describe, tuple(shlex.split(command)), provider)
    target = out or Path(f"{package or 'imported'}".rpartition("/")[2] + ".release")
    built = import_release(source, wanted, target, options.output)
    if push:
        fleet = options.open()
        published = push_built(
            built,
            lambda who: fleet.keys.signers(f"provider:{who}"),
            fleet.client,
            options.output,
        )
        _show_published(published, options)
        return
    options.output.result(
        _summary(built.releases, built.digest) | {"layout": str(built.layout.directory)},
        f"Imported {built.release.package} {built.release.version} into {built.layout.directory}",
    )


@app.command
def inspect(reference: str, *, options: Options = OPTIONS) -> None:
    """Show everything that a release says of itself.

    Args:
        reference: PACKAGE@VERSION in the fleet's registry, a directory, or an OCI image layout.
        options: Options of every verb.
    """
    from allod.cli.output import outline
    from allod.cli.release_look import describe, look
    from allod.cli.release_verify import owner_says

    found = look(reference, options)
    value = describe(found, owner_says(options)[0])
    options.output.result(value, "\n".join(outline(value)))


@app.command(name="list")
def list_(package: str | None = None, *, options: Options = OPTIONS) -> None:
    """List the releases that the fleet's registry holds.

    Args:
        package: Only those of this package (its short name, or PROVIDER/NAME).
        options: Options of every verb.
    """
    from allod.cli.registry_client import RegistryClient, repositories

    client = options.open().client
    rows = [
        {"provider": repository.split("/")[0], "name": repository.split("/")[-1], "version": tag}
        for repository in repositories(client)
        if package in {None, repository, repository.split("/")[-1]}
        for tag in RegistryClient(client, repository).tags()
        if not tag.startswith("sha256-")  # where older tools keep what refers to a digest
    ]
    options.output.table(
        rows,
        ("provider", "package", "version"),
        [(row["provider"], row["name"], row["version"]) for row in rows],
        empty="The registry holds no release yet: 'allod release push' adds one.",
    )
