"""`allod delegate`: whom you let decide on what, within which terms, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.publish import INTENT, Intent
from allod.cli.term_options import NO_TERMS, TermOptions
from allod.domain.condition import Verb
from allod.errors import Conflict, InvalidInput

app = App(name="delegate", help="Let others decide, within terms that devices hold them to.")
app.command("allod.cli.delegate_revoke:revoke", name="revoke", help="End a delegation.")
app.command("allod.cli.delegate_show:list_", name="list", help="Show the delegations.")
app.command(
    "allod.cli.delegate_proposed:proposals",
    name="proposals",
    help="Show the delegations that devices proposed when they were bound.",
)
app.command("allod.cli.delegate_show:show", name="show", help="Show one, and where it is known.")


@app.command
def key(name: str, *, out: Path, options: Options = OPTIONS) -> None:
    """Make the keys of a delegate on this machine, and write their public halves to a card.

    Args:
        name: What to call yourself, like ops.
        out: The card to hand to the fleet's owner.
        options: Options of every verb.
    """
    from allod.cli.cards import DelegateCard, delegate_store, delegation_role, parse_delegate
    from allod.cli.options import now
    from allod.durable import write_atomic
    from allod.wire.codec import encode

    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    keys = delegate_store(parse_delegate(name), options.passphrase())
    if not (keys.directory / "index.json").exists():
        keys.create()
    found = []
    for role in (delegation_role(name), "api"):
        held = keys.records(role)
        found.append(held[-1] if held else keys.generate(role, now=now()))
    card = DelegateCard(name=name, role=found[0].public, api=found[1].public)
    write_atomic(out.absolute(), encode(card), mode=0o644)
    options.output.result(
        {"name": name, "key": found[0].id, "file": str(out)},
        f"Hand {out} to the owner of the fleet: allod delegate grant {name} --key {out.name} …\n"
        f"  key  {found[0].id}",
    )


@app.command
def grant(
    name: str,
    *,
    follow: str | None = None,
    source: str = "",
    key: tuple[Path, ...] = (),
    threshold: int = 1,
    group: Annotated[tuple[str, ...], Parameter(name=["--group", "-g"])] = (),
    device: tuple[str, ...] = (),
    package: tuple[str, ...] = (),
    verb: tuple[Verb, ...] = (),
    keep: tuple[str, ...] = (),
    about: str = "",
    proposed: str | None = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
    terms: TermOptions = NO_TERMS,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Let a provider's channel, or somebody with a key, decide on packages.

    Args:
        name: What to call the delegation, like acme-security or ops; a name is used once.
        follow: The channel that decides, like acme/stable.
        source: Where your server copies the channel from, like https://registry.acme.example/acme.
        key: Instead of a channel: the card of whoever is to give orders; several times.
        threshold: How many of those keys have to sign an order.
        group: In which group; several times.
        device: On which device; several times.
        package: Which package: pkg:generic/acme/toaster, or 'pkg:generic/acme/*'; several times.
            The agent itself, and what runs as root, only by its full name.
        verb: What may be ordered; unless given all but configure and restart (of a channel, also
            delete).
        keep: A package that stays yours though a pattern covers it; several times.
        about: A word on what it is for.
        proposed: Take what this device proposed when it was bound, as far as you say nothing else.
        replace: Change the terms of one that is there; its keys stay.
        terms: What it is held to.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    from allod.cli.delegate_grant import Wanted, grant_and_say

    ways = bool(follow) + bool(key) + bool(proposed)
    if ways != 1 and not (replace and not ways):
        raise InvalidInput(
            "bad-arguments",
            "cannot tell who is to decide: give one of --follow CHANNEL, --key CARD, --proposed DEVICE",
        )
    wanted = Wanted(
        name=name,
        follow=follow,
        source=source,
        cards=key,
        threshold=threshold,
        groups=group,
        devices=device,
        packages=package,
        verbs=verb,
        keep=keep,
        about=about,
        replace=replace,
        proposed=proposed,
        terms=terms,
    )
    grant_and_say(wanted, intent, options)


@app.command
def renew(
    name: str,
    *,
    until: str | None = None,
    lease: str | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Let a delegation last longer (or shorter); its other terms stay.

    Args:
        name: Which.
        until: When it ends: 2027-01-31, +90d.
        lease: The greatest age of the log's witnesses on which its word counts, like 7d.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    from allod.cli.delegate_grant import renew_and_say

    renew_and_say(name, until, lease, intent, options)


@app.command(name="join-file")
def join_file(name: str, *, out: Path, options: Options = OPTIONS) -> None:
    """Write what a delegate (or an approver) needs for 'allod join' on their own machine.

    Args:
        name: The delegation, or a name of 'allod people list'.
        out: The file to hand to them; it holds no secret.
        options: Options of every verb.
    """
    from allod.cli.delegations import find, people_of
    from allod.cli.documents import newest
    from allod.cli.join import make_join_file
    from allod.durable import write_atomic
    from allod.trust.keys import key_id

    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    base = newest(options.open(), reading=True)
    people = base.fleet_document.people
    if name in base.delegations:
        delegation = find(base, name)
        if delegation.follow is not None:
            raise InvalidInput(
                "bad-arguments",
                f"cannot let {name} join: it follows a channel, and gives no orders",
            )
        named, of = people_of(base, name), name
    else:
        named, of = [one for one in people if one.name == name], None
    if not named:
        raise InvalidInput(
            "not-found", f"cannot find a delegation or somebody called {name[:80]!r}"
        )
    data = make_join_file(base.view, {key_id(one.key): one.name for one in named}, of)
    write_atomic(out.absolute(), data, mode=0o644)
    options.output.result(
        {"file": str(out), "fleet": base.fleet_id, "delegation": of},
        f"Hand {out} to them: allod join {out.name}\n  fleet  {base.fleet_id}",
    )
