"""`allod change`: changes that several people decide on, from machines of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options, Sure
from allod.cli.options import now as clock
from allod.errors import Conflict, InvalidInput, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Signer

    from allod.cli.change_proposal import Examined
    from allod.cli.fleet import LocalFleet
    from allod.cli.keystore import KeyRecord, KeyStore
    from allod.cli.picture import Picture
    from allod.cli.publish import Change
    from allod.wire.envelope import Envelope
    from allod.wire.proposal import ProposalSummary
    from allod.wire.trust import Person

app = App(name="change", help="Changes that people approve before they count.")

Verdict = Literal["approve", "reject"]


@app.command
def propose(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True, show=True)],
) -> int:
    """Hand a change in for people to approve: 'allod VERB … --propose', in another order.

    Args:
        words: deploy, delete, configure or undo, and what stands behind it.
    """
    inner = App(
        name="allod change propose",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
    )
    for name, where in _VERBS.items():
        inner.command(where, name=name)
    if not words or words[0] not in _VERBS:
        raise InvalidInput(
            "bad-arguments",
            f"cannot propose that: say {', '.join(_VERBS)} and what stands behind it",
        )
    answer = inner([*words, "--propose"])
    return answer if isinstance(answer, int) else 0


_VERBS = {
    "deploy": "allod.cli.deploy:deploy",
    "delete": "allod.cli.deploy:delete",
    "configure": "allod.cli.configure:configure",
    "undo": "allod.cli.history:undo",
}


@app.command(name="list")
def list_(
    *,
    all: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002 - the option's own word
    options: Options = OPTIONS,
) -> None:
    """Show what waits for people, by the server's word.

    Args:
        all: Also what was published, rejected or withdrawn.
        options: Options of every verb.
    """
    found = listed(options.open(), everything=all)
    rows = [
        (
            one.id,
            one.state,
            one.by,
            one.author,
            "; ".join(one.packages),
            str(one.approvals),
            one.message,
        )
        for one in found
    ]
    columns = ("id", "state", "by", "decides", "about", "words", "message")
    options.output.table({"proposals": found}, columns, rows, empty="Nothing waits for anybody.")


def listed(fleet: LocalFleet, *, everything: bool) -> list[ProposalSummary]:
    """The proposals that the server lists."""
    from allod.wire.proposal import ProposalList

    found: list[ProposalSummary] = []
    query = "" if everything else "state=open"
    after = ""
    while True:
        words = "&".join(part for part in (query, f"after={after}" if after else "") if part)
        page = fleet.client.get("proposals" + (f"?{words}" if words else ""), ProposalList)
        found += page.proposals
        if page.next is None or page.next == after:
            return found
        after = page.next


@app.command
def show(proposal: str, *, options: Options = OPTIONS) -> None:
    """Show a proposal: what it changes on the newest base, and who said what about it.

    Args:
        proposal: Its id, from 'allod change list'.
        options: Options of every verb.
    """
    from allod.cli.change_proposal import examine
    from allod.cli.change_words import words_about

    examined = examine(options.open(), proposal, reading=True)
    words = words_about(examined)
    lines = [f"Proposal {proposal}, {examined.status.state}", *examined.lines(), *words.lines()]
    options.output.result({**examined.data(), **words.data()}, "\n".join(lines))


@app.command
def approve(
    proposal: str,
    *,
    kind: str | None = None,
    message: Annotated[str, Parameter(name=["--message", "-m"])] = "",
    ticket: str = "",
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Sign that a change is right, after this machine computed what it changes.

    Args:
        proposal: Its id, from 'allod change list'.
        kind: As whom, if the owner lets you approve as several: qa, operations, …
        message: What you have to say about it; it is signed along.
        ticket: Where it was decided; it is signed along.
        yes: Do not ask.
        options: Options of every verb.
    """
    _speak("approve", proposal, kind, (message, ticket), options, yes=yes)


@app.command
def reject(
    proposal: str,
    *,
    message: Annotated[str, Parameter(name=["--message", "-m"])],
    kind: str | None = None,
    ticket: str = "",
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Sign that a change is not to be; that closes its proposal.

    Args:
        proposal: Its id, from 'allod change list'.
        message: Why; it is signed along.
        kind: As whom, if the owner lets you approve as several: qa, operations, …
        ticket: Where it was decided; it is signed along.
        yes: Do not ask.
        options: Options of every verb.
    """
    _speak("reject", proposal, kind, (message, ticket), options, yes=yes)


def _speak(
    verdict: Verdict,
    proposal: str,
    kind: str | None,
    texts: tuple[str, str],
    options: Options,
    *,
    yes: bool,
) -> None:
    from allod.cli.change_proposal import examine
    from allod.cli.change_words import words_about
    from allod.wire.proposal import ApprovalUpload, ProposalStatus

    fleet = options.open()
    examined = examine(fleet, proposal)
    _require_open(examined)
    if verdict == "approve":
        examined.require_fresh()
    person, store, record = _myself(examined.picture, fleet)
    as_kind = _kind_of(person, kind)
    words = words_about(examined)
    data = {**examined.data(), "verdict": verdict, "person": person.name, "kind": as_kind}
    if verdict == "approve" and words.said_by(person.name, as_kind):
        options.output.result(data, f"You approved {proposal} as {as_kind} already.")
        return
    if not options.json:
        options.output.say("\n".join((*examined.lines(), *words.lines())))
    question = f"Sign that you {verdict} this change, as {as_kind}?"
    options.output.confirm(question, yes=yes)
    signed = _signed(examined, verdict, (person.name, as_kind), texts, [store.signer(record)])
    for envelope in signed:
        fleet.client.post(
            f"proposals/{proposal}/approvals", ApprovalUpload(approval=envelope), ProposalStatus
        )
        if verdict == "reject":
            break  # the first one closes it
    done = {"approve": "approved", "reject": "rejected"}[verdict]
    options.output.result(data, f"You {done} {proposal} as {as_kind}.")


def _require_open(examined: Examined) -> None:
    if examined.status.state != "open":
        raise Conflict(
            "proposal-closed",
            f"cannot go on with {examined.status.proposal.id}: it is {examined.status.state}",
        )


def _signed(
    examined: Examined,
    verdict: Verdict,
    who: tuple[str, str],
    texts: tuple[str, str],
    signers: Sequence[Signer],
) -> list[Envelope]:
    """One statement an entry, each over the digest that was computed here."""
    from allod.trust.approvals import ENVELOPE_CAP, make_approval
    from allod.trust.dsse import decode_envelope

    found = []
    for (scope, key), entry in examined.entries.items():
        raw = make_approval(
            examined.picture.base.fleet_id,
            scope,
            examined.status.proposal.author,
            key,
            entry,
            kind=who[1],
            person=who[0],
            at=clock(),
            signers=signers,
            verdict=verdict,
            message=texts[0],
            ticket=texts[1],
        )
        found.append(decode_envelope(raw, cap=ENVELOPE_CAP))
    return found


def _myself(picture: Picture, fleet: LocalFleet) -> tuple[Person, KeyStore, KeyRecord]:
    """Who the caller is: the person whose approval key lies on this machine."""
    from allod.cli.cards import own_stores
    from allod.trust.keys import key_id

    held = {
        record.id: (store, record)
        for store in (*own_stores(fleet.keys.passphrase), fleet.keys)
        for record in store.records("approval")
        if record.file is not None
    }
    for person in picture.base.fleet_document.people:
        if person.approval is not None and key_id(person.approval) in held:
            return person, *held[key_id(person.approval)]
    raise Unavailable(
        "key-elsewhere",
        "cannot sign: no key on this machine is one of somebody who approves changes in this fleet; "
        "make one with 'allod people key', and let the owner add it",
    )


def _kind_of(person: Person, kind: str | None) -> str:
    kinds = sorted(person.kinds)
    if kind is None and len(kinds) == 1:
        return kinds[0]
    if kind is None or kind not in kinds:
        raise InvalidInput(
            "wrong-kind",
            f"cannot approve as {kind or 'nobody'}: {person.name} approves as "
            f"{' or '.join(kinds) or 'nobody'}; say it with --kind",
        )
    return kind


@app.command
def publish(
    proposal: str,
    *,
    yes: Sure = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    cosign: Path | None = None,
    options: Options = OPTIONS,
) -> None:
    """Sign a proposal that has its approvals, on the newest base, and publish it.

    Args:
        proposal: Its id, from 'allod change list'.
        yes: Do not ask.
        dry_run: Show the change and stop.
        cosign: Write it to this file for other key holders, instead of publishing it.
        options: Options of every verb.
    """
    from allod.cli.change_proposal import fetch
    from allod.cli.publish import Intent, publish_and_say

    known = fetch(options.open(), proposal).proposal
    intent = Intent(known.message, known.ticket, yes, dry_run, known.author, cosign=cosign)
    publish_and_say(options, intent, lambda picture: collected(picture, proposal, unseen=yes))


@app.command(name="cosign")
def cosign_(file: Path, *, yes: Sure = False, options: Options = OPTIONS) -> None:
    """Sign a change that others began to sign, and publish it once enough have.

    Args:
        file: What '--cosign FILE' wrote on another machine.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.cosigning import cosign

    cosign(file, yes=yes, options=options)


def collected(picture: Picture, proposal: str, *, unseen: bool = False) -> Change:
    """What a proposal wants changed on a base, with the approvals that it gathered.

    Args:
        picture: the base.
        proposal: its id.
        unseen: nobody will look at it before it is signed. A proposal carries no authority, and the
            server could show any: then it is one of this machine, or approved in each entry.

    Raises:
        Conflict: `proposal-stale`, `proposal-closed`.
        Refused: `proposal-rejected`, `unseen-proposal`.
    """
    from dataclasses import replace

    from allod.cli.change_proposal import fetch, on_base, own_proposal
    from allod.cli.change_words import words_about
    from allod.cli.publish import Change
    from allod.domain.ids import parse_digest

    examined = on_base(picture, fetch(picture.fleet, proposal))
    _require_open(examined)
    examined.require_fresh()
    words = words_about(examined)
    words.require_none_against()
    # What lacks approvals is refused in any case, and by its own name.
    vouched = words.lacking or all(entry.approved for entry in words.entries.values())
    if unseen and not vouched and own_proposal(picture.fleet, proposal) is None:
        raise Refused(
            "unseen-proposal",
            f"cannot publish {proposal} without a look: it was not made on this machine, and nobody "
            "approved it; leave out --yes",
        )
    states = dict(examined.states)
    for (scope, key), entry in words.entries.items():
        bare = replace(entry, approved=())
        states[scope] = replace(states[scope], packages={**states[scope].packages, key: bare})
    blobs = {parse_digest(name): data for name, data in examined.status.proposal.blobs.items()}
    return Change(states, blobs=blobs, note=examined.summary.note)


@app.command
def withdraw(
    proposal: str, *, why: str = "", yes: Sure = False, options: Options = OPTIONS
) -> None:
    """Take a proposal back, so that nobody looks at it any more.

    Args:
        proposal: Its id, from 'allod change list'.
        why: What the others are told.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.domain.ids import parse_name
    from allod.wire.proposal import CloseProposal, ProposalStatus

    name = parse_name(proposal, "a proposal's id")
    fleet = options.open()
    options.output.confirm(f"Withdraw the proposal {name}?", yes=yes)
    wanted = CloseProposal(state="withdrawn", why=why)
    status = fleet.client.post(f"proposals/{name}/close", wanted, ProposalStatus)
    options.output.result({"proposal": name, "state": status.state}, f"{name} is withdrawn.")
