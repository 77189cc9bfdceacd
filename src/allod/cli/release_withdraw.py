"""`allod release withdraw`: recall a release; devices install it no more, and keep what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from allod.cli.acceptance import Named
from allod.cli.catalog import Resolved, parse_package_version
from allod.cli.documents import WITHDRAWN_PATH
from allod.cli.options import OPTIONS, Options
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.recall import met, replaced
from allod.domain.ids import parse_provider
from allod.errors import InvalidInput
from allod.wire.codec import encode
from allod.wire.trust import Withdrawal, WithdrawnDocument

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.domain.desired import StateDocument
    from allod.domain.ids import Scope

_LONGEST = 500  #: characters of a reason


def withdraw(
    reference: str,
    *,
    why: str = "",
    replace: Annotated[str | None, Parameter(name=["--replace", "--replacement"])] = None,
    deploy: Annotated[bool, Parameter(negative="")] = False,
    override: tuple[str, ...] = (),
    accept: tuple[str, ...] = (),
    back: Annotated[bool, Parameter(negative="")] = False,
    provider: str | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Recall a release: no device installs it any more; where it runs, it runs on, and is named.

    Args:
        reference: PACKAGE@VERSION.
        why: What is wrong with it; it is signed and shown on devices.
        replace: What to take instead, like toaster@2.
        deploy: Let all groups and devices that want the recalled release have the other, at once.
        override: With --deploy, a term that does not count for it, like window; several times.
        accept: With --deploy, access or a constraint that the other asks for; several times.
        back: Take the recall back.
        provider: Whose release, if several have one of that name.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if back == bool(why.strip()):
        raise InvalidInput("bad-arguments", "cannot withdraw a release: give --why, or --back")
    if (deploy and (back or replace is None)) or ((override or accept) and not deploy):
        raise InvalidInput(
            "bad-arguments",
            "cannot deploy instead of a release: give --replace REFERENCE --deploy, and only with "
            "them --override and --accept",
        )
    if len(why) > _LONGEST or not why.isprintable():
        raise InvalidInput(
            "bad-note", f"cannot sign this reason: at most {_LONGEST} printable characters"
        )
    named = parse_package_version(reference)
    whose = None if provider is None else parse_provider(provider)
    instead = None if replace is None else parse_package_version(replace)

    def plan(picture: Picture) -> Change:
        found = picture.catalog.resolve(named, provider=whose)
        kept = [one for digest, one in picture.base.withdrawn.items() if digest != found.digest]
        better = None if instead is None else picture.catalog.resolve(instead)
        if not back:
            kept.append(_withdrawal(found, why, better))
        document = WithdrawnDocument(
            fleet=picture.base.fleet_id, releases=sorted(kept, key=lambda one: one.digest)
        )
        states: dict[Scope, StateDocument] = {}
        if deploy and better is not None:
            states = replaced(picture, found, better, Named(accept), override)
        return Change(
            states=states,
            files={WITHDRAWN_PATH: encode(document)},
            remarks=()
            if back
            else tuple(met(picture, found, better if deploy else None, frozenset(states))),
        )

    publish_and_say(options, intent, plan)


def _withdrawal(found: Resolved, why: str, better: Resolved | None) -> Withdrawal:
    digest = None if better is None else better.digest
    if digest == found.digest:
        raise InvalidInput("bad-arguments", "cannot replace a release by itself")
    return Withdrawal(digest=found.digest, why=why.strip(), replacement=digest)
