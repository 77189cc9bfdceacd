"""`allod group terms` and `allod group accept`: what binds the owner too, and what is taken on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from allod.cli.approving import unheld
from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.scopes import show_scope
from allod.cli.term_options import NO_TERMS, TermOptions
from allod.domain import edit_terms
from allod.domain.desired import Accepts
from allod.domain.ids import parse_digest
from allod.domain.terms import NewAccess
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.domain.condition import Term
    from allod.domain.desired import StateDocument


def terms(
    name: str,
    *,
    held: TermOptions = NO_TERMS,
    no_new_access: Annotated[bool, Parameter(negative="")] = False,
    none: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Hold whoever decides in a group or on a device to terms, yourself too.

    Without terms it shows those that hold. They take the place of those so far. For one change you
    set them aside by name, with --override; that is shown before you sign, and in the audit.

    Args:
        name: A group's name, or a device's label or the beginning of its id.
        held: What they are held to.
        no_new_access: No release with access that what runs does not have.
        none: No terms any more.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    wanted = _terms(held, no_new_access=no_new_access)
    if none and wanted:
        raise InvalidInput("bad-arguments", "cannot both set terms and take all of them away")
    if not none and not wanted:
        _show(name, options)
        return

    def plan(picture: Picture) -> Change:
        place = picture.scope(name)
        bound = edit_terms.bind(picture.document(place), wanted)
        return Change({place: bound}, remarks=unheld(picture.base.fleet_document, wanted))

    publish_and_say(options, intent, plan)


def _terms(held: TermOptions, *, no_new_access: bool) -> tuple[Term, ...]:
    if held.lease is not None or held.until is not None:
        raise InvalidInput(
            "bad-arguments", "cannot bind yourself by --lease or --until: those end a delegation"
        )
    found = [
        replace(one, strict=True) if isinstance(one, NewAccess) else one
        for one in held.terms(clock())
    ]
    if no_new_access and any(isinstance(one, NewAccess) for one in found):
        raise InvalidInput("bad-arguments", "cannot both allow new access and allow none")
    if no_new_access or held.access == ("same",):
        found.append(NewAccess(strict=True))
    return tuple(found)


def _show(name: str, options: Options) -> None:
    picture = take(options.open(), reports=False)
    scope = picture.scope(name)
    document: StateDocument = picture.document(scope)
    found = [{"term": one.name, "says": one.says} for one in document.terms]
    lines = [f"Whoever decides for {show_scope(scope, picture.devices)}:"]
    lines += [f"  {one.says}" for one in document.terms] or ["  is bound by no terms"]
    options.output.result({"scope": str(scope), "terms": found}, "\n".join(lines))


def accept(
    name: str,
    package: str,
    *,
    access: tuple[str, ...] = (),
    constraint: tuple[str, ...] = (),
    one_way: tuple[str, ...] = (),
    override: tuple[str, ...] | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Take on by name what a package may bring, also where somebody else decides on it.

    Args:
        name: A group's name, or a device's label or the beginning of its id.
        package: Which package, or the pattern by which it is handed over.
        access: Access that it may get, like microphone; several times.
        constraint: A constraint that it may put on you, by its id; several times.
        one_way: A release, by its digest, whose data cannot be taken back; several times.
        override: A term that does not count for it from now on, until it is changed again, like
            window; several times. 'none': all count again.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    from allod.domain.access import parse_access

    if not (access or constraint or one_way or override):
        raise InvalidInput("bad-arguments", "cannot tell what to accept: give --access or another")
    taken = Accepts(
        parse_access(access),
        frozenset(constraint),
        frozenset(parse_digest(one) for one in one_way),
    )

    def plan(picture: Picture) -> Change:
        place = picture.scope(name)
        document = picture.document(place)
        key = _key(picture, document, package)
        document = edit_terms.accept(document, key, taken)
        if override:
            names = frozenset[str]() if override == ("none",) else frozenset(override)
            document = edit_terms.set_aside(document, key, names)
        return Change({place: document})

    publish_and_say(options, intent, plan)


def _key(picture: Picture, document: StateDocument, package: str) -> str:
    from allod.cli.catalog import parse_package_version

    if package in document.packages:
        return package
    return picture.package(parse_package_version(package))
