"""`allod release withdraw`: recall a release; devices install it no more, and keep what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from allod.cli.catalog import parse_package_version
from allod.cli.documents import WITHDRAWN_PATH
from allod.cli.options import OPTIONS, Options
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.domain.ids import Digest, parse_provider
from allod.errors import InvalidInput
from allod.wire.codec import encode
from allod.wire.trust import Withdrawal, WithdrawnDocument

if TYPE_CHECKING:
    from allod.cli.picture import Picture

_LONGEST = 500  #: characters of a reason


def withdraw(
    reference: str,
    *,
    why: str = "",
    replacement: str | None = None,
    back: Annotated[bool, Parameter(negative="")] = False,
    provider: str | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Recall a release: no device installs it any more; where it runs, it runs on, and is named.

    Args:
        reference: PACKAGE@VERSION.
        why: What is wrong with it; it is signed and shown on devices.
        replacement: What to take instead, like toaster@2.
        back: Take the recall back.
        provider: Whose release, if several have one of that name.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if back == bool(why.strip()):
        raise InvalidInput("bad-arguments", "cannot withdraw a release: give --why, or --back")
    if len(why) > _LONGEST or not why.isprintable():
        raise InvalidInput(
            "bad-note", f"cannot sign this reason: at most {_LONGEST} printable characters"
        )
    named = parse_package_version(reference)
    whose = None if provider is None else parse_provider(provider)
    instead = None if replacement is None else parse_package_version(replacement)

    def plan(picture: Picture) -> Change:
        found = picture.catalog.resolve(named, provider=whose)
        kept = [one for digest, one in picture.base.withdrawn.items() if digest != found.digest]
        if not back:
            better = None if instead is None else picture.catalog.resolve(instead).digest
            if better == found.digest:
                raise InvalidInput("bad-arguments", "cannot replace a release by itself")
            kept.append(Withdrawal(digest=found.digest, why=why.strip(), replacement=better))
        document = WithdrawnDocument(
            fleet=picture.base.fleet_id, releases=sorted(kept, key=lambda one: one.digest)
        )
        return Change(
            files={WITHDRAWN_PATH: encode(document)},
            remarks=() if back else _running(picture, found.digest),
        )

    publish_and_say(options, intent, plan)


def _running(picture: Picture, digest: Digest) -> tuple[str, ...]:
    """Where the release runs: it stays there until another is deployed."""
    running = [
        member.shown
        for member in picture.devices
        if member.actual is not None
        and any(
            package.active is not None and package.active.digest == digest
            for package in member.actual.packages.values()
        )
    ]
    if not running:
        return ()
    from allod.cli.phrases import choices

    return (f"! It runs, and goes on running, on {len(running)}: {choices(running)}.",)
