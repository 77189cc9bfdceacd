"""`allod deploy`: want a release on a group or a device; and `allod delete`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from allod.cli.acceptance import Named, accepts_of
from allod.cli.catalog import PackageVersion, Resolved, parse_package_version
from allod.cli.configure import check_configuration
from allod.cli.consequences import formers_of
from allod.cli.options import OPTIONS, Options
from allod.cli.phrases import parse_span
from allod.cli.publish import (
    INTENT,
    Change,
    Intent,
    Published,
    publish,
    publish_and_say,
    say,
)
from allod.cli.schedule import AT_ONCE, Schedule
from allod.cli.staging import STAGING, Staging, staged
from allod.domain import edit
from allod.domain.desired import (
    OWNER,
    Accepts,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
    When,
)
from allod.domain.edit_terms import set_aside
from allod.domain.ids import (
    ProviderName,
    Purl,
    Scope,
    package_name,
    parse_digest,
    parse_provider,
)
from allod.domain.resolution import ResolvedSoftware, resolve
from allod.errors import AllodError, InvalidInput, Refused

if TYPE_CHECKING:
    from datetime import timedelta

    from allod.cli.fleet import LocalFleet
    from allod.cli.picture import Picture
    from allod.domain.release import Release

_LAYOUT: Final = "oci-layout"
_DESCRIPTION: Final = "allod.toml"
NOTHING: Final = Named()  #: is taken on by name


def deploy(
    scope: str,
    what: str,
    *,
    schedule: Schedule = AT_ONCE,
    staging: Staging = STAGING,
    install_only: Annotated[bool, Parameter(negative="")] = False,
    transfer_only: Annotated[bool, Parameter(negative="")] = False,
    accept: tuple[str, ...] = (),
    accept_one_way: Annotated[bool, Parameter(negative="")] = False,
    override: tuple[str, ...] = (),
    provider: str | None = None,
    version: str | None = None,
    wait: Annotated[bool, Parameter(negative="")] = False,
    timeout: str = "10m",
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Want a release on a group or a device.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        what: PACKAGE@VERSION, or a directory to build, sign, push and deploy.
        schedule: When it takes effect.
        staging: How it comes to devices stage by stage.
        install_only: Bring it onto the devices and unpack it; do not run it.
        transfer_only: Bring it onto the devices, no more.
        accept: Access or a constraint that it asks for; may be given several times.
        accept_one_way: Accept that its data cannot be taken back.
        override: A term that does not count for this change, like window; several times.
        provider: Whose release, where several have one of that name.
        version: Of a directory: instead of the one in its description.
        wait: Stay until the devices report it.
        timeout: How long to wait.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    level = _level(install_only=install_only, transfer_only=transfer_only)
    staging.check()
    patience = parse_span(timeout)
    when = schedule.when
    what_is = _named(what, provider, version, intent, options)
    found: list[Resolved] = []

    def plan(picture: Picture) -> Change:
        place = picture.scope(scope)
        resolved = picture.catalog.resolve(what_is[0], what_is[1])
        found[:] = [resolved]
        document = seeded(picture, place, resolved.package)
        changed = ordered(
            picture,
            document,
            resolved,
            level=level,
            when=when,
            named=Named(accept, accept_one_way),
            override=override,
        )
        changed, stages = staged(picture, document, changed, resolved.package, staging)
        return Change({place: changed}, remarks=(*_doubles(document, resolved), *stages))

    done = publish(options, intent, plan)
    if wait and not (intent.dry_run or intent.propose or intent.cosign):
        _wait(options, done, scope, found[0].package, patience)
    elif done is not None:
        say(options, done)


def ordered(
    picture: Picture,
    document: StateDocument,
    resolved: Resolved,
    *,
    level: Level = Level.ACTIVE,
    when: When = When.NOW,
    named: Named = NOTHING,
    override: tuple[str, ...] = (),
) -> StateDocument:
    """The document in which a release is wanted.

    Raises:
        Refused: `withdrawn`, `beyond-provider`, `managed-elsewhere`, `owners-word`, or what the
            owner has to accept by name.
        InvalidInput: the configuration does not fit it.
    """
    release = _checked(picture, resolved)
    changed = edit.deploy(
        document,
        resolved.package,
        ReleaseOrder(resolved.provider, resolved.version, resolved.digest, level, when),
        accepts=_accepted(picture, document, resolved, release, level, named),
        retention=_retention(picture, document),
    )
    changed = overridden(picture, changed, resolved.package, override)
    check_configuration(picture, document.scope, resolved.package, changed, release)
    return changed


def _accepted(
    picture: Picture,
    document: StateDocument,
    resolved: Resolved,
    release: Release,
    level: Level,
    named: Named,
) -> Accepts | None:
    """What the owner takes on by name; a delegate takes on nothing."""
    if picture.author != OWNER:
        if named != NOTHING:
            raise Refused(
                "owners-word",
                f"cannot accept anything as {picture.author}: only the owner takes it on by name",
            )
        return None
    entry = document.packages.get(resolved.package, PackageEntry())
    return accepts_of(
        release,
        resolved.digest,
        level,
        entry,
        formers_of(document.scope, resolved.package, entry, picture.surroundings),
        named,
        own=is_own(picture.fleet, resolved.provider),
    )


def overridden(
    picture: Picture, document: StateDocument, package: Purl, names: tuple[str, ...]
) -> StateDocument:
    """The document in which these terms do not count for the package, until it is changed again.

    Raises:
        Refused: `owners-word`: a delegate sets nothing aside.
    """
    if picture.author == OWNER:
        return set_aside(document, package, frozenset(names))
    if names:
        raise Refused(
            "owners-word",
            f"cannot override terms as {picture.author}: only the owner sets them aside",
        )
    return document


def _wait(
    options: Options, done: Published | None, scope: str, package: Purl, patience: timedelta
) -> None:
    """Stay until the devices are done, also where nothing had to change: they may still be at it.

    As JSON all of it is one answer.
    """
    from allod.cli.follow import follow
    from allod.cli.status import device_data

    if done is not None and not options.json:
        say(options, done)
    try:
        devices = follow(options, scope, package, patience)
    except AllodError:
        if done is not None and options.json:
            say(options, done)
        raise
    if not options.json:
        text = f"{package_name(package)} is on all {len(devices)} devices as wanted."
        options.output.result(None, text)
    elif done is not None:
        say(options, done, outcome=[device_data(one) for one in devices])


def _level(*, install_only: bool, transfer_only: bool) -> Level:
    if install_only and transfer_only:
        raise InvalidInput(
            "bad-arguments", "cannot both install and only transfer: give one of the two"
        )
    if transfer_only:
        return Level.TRANSFERRED
    return Level.INSTALLED if install_only else Level.ACTIVE


def _named(
    what: str, provider: str | None, version: str | None, intent: Intent, options: Options
) -> tuple[PackageVersion, ProviderName | None]:
    """What is deployed; a directory is built, signed and pushed for it first."""
    whose = None if provider is None else parse_provider(provider)
    if not is_directory(what):
        if version is not None:
            raise InvalidInput(
                "bad-arguments", f"cannot use --version with {what!r}: say PACKAGE@VERSION"
            )
        return parse_package_version(what), whose
    if intent.dry_run:
        raise InvalidInput(
            "bad-arguments",
            "cannot show what a directory would change without pushing it: run 'allod release push' "
            "first, then 'allod deploy … PACKAGE@VERSION --dry-run'",
        )
    from allod.cli.release_push import publish_release

    fleet = options.open()
    made = publish_release(
        Path(what),
        whose,
        lambda name: fleet.keys.signers(f"provider:{name}"),
        fleet.client,
        version=version,
        output=options.output,
    )
    return PackageVersion(made.purl, made.version), ProviderName(made.release.provider)


def is_directory(what: str) -> bool:
    """Whether a user means a directory and no package."""
    path = Path(what)
    if what.startswith("pkg:"):
        return False
    if what.startswith(("./", "../", "/", "~")) or what in {".", ".."}:
        return True
    return (path / _DESCRIPTION).is_file() or (path / _LAYOUT).is_file()


def is_own(fleet: LocalFleet, provider: ProviderName) -> bool:
    """Whether the provider's key lies on this machine: then its releases are the owner's own."""
    return any(record.file is not None for record in fleet.keys.records(f"provider:{provider}"))


def _checked(picture: Picture, resolved: Resolved) -> Release:
    """The release's description, if it may be deployed at all. Raises Refused."""
    if resolved.digest in picture.base.withdrawn:
        withdrawn = picture.base.withdrawn[resolved.digest]
        instead = _instead(picture, resolved, withdrawn.replacement)
        raise Refused(
            "withdrawn",
            f"cannot deploy {resolved.package} {resolved.version}: it was withdrawn{instead}",
            reasons=(withdrawn.why,),
        )
    release = picture.catalog.release(resolved.provider, resolved.package, resolved.digest)
    allowed = picture.base.providers[resolved.provider].access
    beyond = release.access - set(allowed) if allowed is not None else frozenset()
    if beyond:
        raise Refused(
            "beyond-provider",
            f"cannot deploy {resolved.package} {resolved.version}: you allow {resolved.provider} "
            "less; widen it with 'allod provider add --replace'",
            reasons=tuple(f"it needs {name}" for name in sorted(beyond)),
        )
    return release


def _instead(picture: Picture, resolved: Resolved, replacement: str | None) -> str:
    """What to take in the place of a withdrawn release, by its version if it is the same package."""
    if replacement is None:
        return ""
    try:
        found = picture.catalog.release(
            resolved.provider, resolved.package, parse_digest(replacement)
        )
    except AllodError:
        return f"; take {replacement}"
    return f"; take {package_name(found.package)}@{found.version}"


def seeded(picture: Picture, scope: Scope, package: Purl) -> StateDocument:
    """The scope's document; where a group decided so far, a device's begins with that list."""
    document = picture.document(scope)
    entry = document.packages.get(package, PackageEntry())
    if scope.kind != "devices" or entry.software is not None or picture.author != OWNER:
        return document
    member = next((one for one in picture.devices if one.device == scope.name), None)
    if member is None:
        return document
    resolved = resolve(member.scopes, picture.members.documents()).packages.get(package)
    if resolved is None or not isinstance(resolved.software, ResolvedSoftware):
        return document
    software = resolved.software
    begun = replace(
        entry,
        software=Software(OWNER, software.releases),
        accepts=software.accepts,
        together=software.together,
    )
    return replace(document, packages={**document.packages, package: begun})


def _retention(picture: Picture, document: StateDocument) -> int:
    own = document.settings.retention_releases
    return picture.base.fleet_document.defaults.retention_releases if own is None else own


def _doubles(document: StateDocument, resolved: Resolved) -> tuple[str, ...]:
    """Attack 19: one version with other bytes is told, whatever the reason."""
    entry = document.packages.get(resolved.package)
    orders = entry.software.releases if entry is not None and entry.software is not None else ()
    return tuple(
        f"! {resolved.provider} gave the version {order.version} to other bytes before "
        f"({order.digest})"
        for order in orders
        if (order.provider, order.version) == (resolved.provider, resolved.version)
        and order.digest != resolved.digest
    )


def delete(
    scope: str,
    package: str,
    *,
    override: tuple[str, ...] = (),
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Want a package, or one version of it, gone from a group or a device.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        package: PACKAGE, or PACKAGE@VERSION for one version alone.
        override: A term that does not count for this change, like window; several times.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    named = parse_package_version(package)

    def plan(picture: Picture) -> Change:
        place = picture.scope(scope)
        known = picture.package(named)
        changed = edit.delete(seeded(picture, place, known), known, named.version)
        return Change({place: overridden(picture, changed, known, override)})

    publish_and_say(options, intent, plan)
