"""`allod configure`: want a configuration for a package of a group or a device."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from allod.cli.catalog import parse_package_version
from allod.cli.contents import DOCUMENT_CAP, fetch_configuration
from allod.cli.options import OPTIONS, Options
from allod.cli.phrases import choices
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.schedule import AT_ONCE, Schedule
from allod.cli.scopes import touched
from allod.cli.staging import STAGING, Staging, staged
from allod.domain import edit
from allod.domain.desired import OWNER, PackageEntry, StateDocument
from allod.domain.ids import DeviceId, Purl, Scope, package_name, parse_name, sha256
from allod.domain.resolution import ResolvedConfiguration, ResolvedSoftware, resolve
from allod.errors import AllodError, InvalidInput, Refused
from allod.wire.codec import parse_strict

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.domain.release import Release

_STDIN: Final = Path("-")


def configure(
    scope: str,
    package: str,
    *,
    file: Annotated[
        Path | None, Parameter(name=["--file", "-f"], allow_leading_hyphen=True)
    ] = None,
    default: Annotated[bool, Parameter(negative="")] = False,
    show: Annotated[bool, Parameter(negative="")] = False,
    secret: tuple[str, ...] = (),
    override: tuple[str, ...] = (),
    schedule: Schedule = AT_ONCE,
    staging: Staging = STAGING,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Want a configuration for a package of a group or a device.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        package: Which package.
        file: The configuration, as JSON; - reads it from standard input.
        default: Go back to the release's own.
        show: Show what is wanted now, and change nothing.
        secret: A secret of the device that the package may use; may be given several times.
        override: A term that does not count for this change, like window; several times.
        schedule: When it takes effect.
        staging: How it comes to devices stage by stage.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if (file is not None) + default + show != 1:
        raise InvalidInput(
            "bad-arguments", "cannot tell what to configure: give one of -f FILE, --default, --show"
        )
    if show:
        _show(scope, package, options)
        return
    staging.check()
    document = None if file is None else read_configuration(file)
    granted = frozenset(parse_name(name, "a secret's name") for name in secret)
    when = schedule.when
    named = parse_package_version(package)

    def plan(picture: Picture) -> Change:
        from allod.cli.deploy import overridden
        from allod.domain.configuration import canonical

        place = picture.scope(scope)
        known = picture.package(named)
        state = picture.document(place)
        entry = state.packages.get(known, PackageEntry())
        secrets = entry.secrets | granted
        data = b"" if document is None else canonical(document)
        digest = None if document is None else sha256(data)
        changed = edit.configure(state, known, digest, size=len(data), when=when, secrets=secrets)
        changed = overridden(picture, changed, known, override)
        changed, stages = staged(picture, state, changed, known, staging)
        if document is None or digest is None:
            return Change({place: changed}, remarks=stages)
        remarks = _check(picture, place, known, changed, document, secrets)
        return Change({place: changed}, blobs={digest: data}, remarks=(*remarks, *stages))

    publish_and_say(options, intent, plan)


def read_configuration(file: Path) -> Mapping[str, Any]:
    """Read a configuration document strictly. Raises InvalidInput."""
    try:
        data = sys.stdin.buffer.read(DOCUMENT_CAP + 1) if file == _STDIN else _read(file)
    except OSError as error:
        raise InvalidInput(
            "no-file", f"cannot read the configuration {file}: {error.strerror}"
        ) from error
    name = "standard input" if file == _STDIN else str(file)
    document = parse_strict(data, cap=DOCUMENT_CAP, what=name)
    if not isinstance(document, dict):
        raise InvalidInput("bad-configuration", f"cannot use {name}: it must be a JSON object")
    return document


def _read(file: Path) -> bytes:
    """The file, or enough of it to see that it is too large."""
    with file.open("rb") as opened:
        return opened.read(DOCUMENT_CAP + 1)


def _check(
    picture: Picture,
    scope: Scope,
    package: Purl,
    state: StateDocument,
    document: Mapping[str, Any],
    secrets: frozenset[str],
) -> tuple[str, ...]:
    """Hold a new document against the release that it is for; remarks, if there is none yet."""
    from allod.domain.configuration import references

    named = references(document)
    if picture.author != OWNER:
        secrets |= picture.owners(scope).packages.get(package, PackageEntry()).secrets
    lacking = named.secrets - secrets
    if lacking:
        raise Refused(
            "secret-not-granted",
            f"cannot configure {package_name(package)}: the document uses secrets that the package "
            "is not granted",
            reasons=tuple(f"grant it with --secret {name}" for name in sorted(lacking)),
        )
    remarks = _lacking_facts(picture, scope, named.facts)
    release = wanted_release(picture, scope, package, state)
    if release is None:
        unchecked = (
            "No release of it is wanted here yet, so the configuration could not be checked."
        )
        return (*remarks, unchecked)
    validate_for(release, document)
    return remarks


def _lacking_facts(picture: Picture, scope: Scope, named: frozenset[str]) -> tuple[str, ...]:
    """Devices that would refuse the configuration, since it names what they do not know."""
    concerned = {member.device for member in touched(scope, picture.devices)}
    lacking: dict[str, list[str]] = {}
    known: set[str] = set()
    for device in picture.members.devices:
        if device.member.device in concerned:
            facts = device.binding.record.facts
            known.update(facts)
            for name in named - facts.keys():
                lacking.setdefault(name, []).append(device.member.shown)
    return tuple(
        f"! {choices(who)} said nothing of a fact {name!r} when bound, and would refuse this; "
        f"there are: {choices(sorted(known))}."
        for name, who in sorted(lacking.items())
    )


def validate_for(release: Release, document: Mapping[str, Any]) -> None:
    """Hold a document against a release's schema.

    Raises:
        InvalidInput: `bad-configuration`, `write-only-value`, `not-configurable`.
    """
    from allod.domain.configuration import validate

    if release.configuration is None:
        raise InvalidInput(
            "not-configurable",
            f"cannot configure {release.package} {release.version}: it takes no configuration",
        )
    validate(document, release.configuration.schema)


def wanted_release(
    picture: Picture, scope: Scope, package: Purl, state: StateDocument
) -> Release | None:
    """The release that is to run in the scope, or else the newest prepared one."""
    entry = state.packages.get(package)
    if picture.author != OWNER and (entry is None or entry.software is None):
        state = picture.owners(scope)
    documents = {**picture.members.documents(), scope: state}
    scopes: tuple[Scope, ...] = (scope,)
    if scope.kind == "devices":
        member = next((one for one in picture.devices if one.device == scope.name), None)
        scopes = member.scopes if member is not None else scopes
    resolved = resolve(scopes, documents).packages.get(package)
    if resolved is None or not isinstance(resolved.software, ResolvedSoftware):
        return None
    orders = resolved.software.releases
    order = resolved.software.active or (orders[0] if orders else None)
    if order is None:
        return None
    return picture.catalog.release(order.provider, package, order.digest)


def check_configuration(
    picture: Picture, scope: Scope, package: Purl, state: StateDocument, release: Release
) -> None:
    """Whether the configuration that is wanted already fits a release that is to be deployed.

    Raises:
        InvalidInput: `bad-configuration`: devices would refuse the two together.
    """
    order = state.packages[package].configuration
    if order is None and picture.author != OWNER:
        order = picture.owners(scope).packages.get(package, PackageEntry()).configuration
    if order is None and scope.kind == "devices":
        order = _inherited(picture, DeviceId(scope.name), package)
    if order is None or order.manager != OWNER or order.digest is None:
        return
    document = fetch_configuration(picture.fleet.client, order.digest)
    try:
        validate_for(release, document)
    except AllodError as error:
        raise InvalidInput(
            error.code,
            f"{error.message}; it is the configuration that {package_name(package)} has here: "
            "change it first with 'allod configure'",
        ) from error


def _inherited(picture: Picture, device: DeviceId, package: Purl) -> Any:
    member = next((one for one in picture.devices if one.device == device), None)
    if member is None:
        return None
    resolved = resolve(member.scopes, picture.members.documents()).packages.get(package)
    if resolved is None or not isinstance(resolved.configuration, ResolvedConfiguration):
        return None
    return resolved.configuration.order


def _show(scope: str, package: str, options: Options) -> None:
    import json

    from allod.cli.picture import take
    from allod.cli.scopes import show_scope

    picture = take(options.open(), reports=False)
    place = picture.scope(scope)
    known = picture.package(parse_package_version(package))
    entry = picture.document(place).packages.get(known, PackageEntry())
    order = entry.configuration
    if order is None:
        options.output.result(
            {"scope": str(place), "package": known, "configuration": None},
            f"{show_scope(place, picture.devices)} says nothing of the configuration of {known}.",
        )
        return
    document = None
    if order.digest is not None:
        document = fetch_configuration(picture.fleet.client, order.digest)
    data = {
        "scope": str(place),
        "package": known,
        "manager": order.manager,
        "digest": order.digest,
        "when": order.when,
        "secrets": sorted(entry.secrets),
        "change": None if entry.change is None else entry.change.number,
        "configuration": document,
    }
    text = "The release's default." if document is None else json.dumps(document, indent=2)
    options.output.result(data, text)
