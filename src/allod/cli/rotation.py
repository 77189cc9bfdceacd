"""Renewing and rotating: later dates, and new keys in the place of old ones, for every role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from allod.cli.genesis import spare_certificate
from allod.cli.keystore import KeyRecord
from allod.cli.log_entries import entries_for
from allod.cli.options import Options
from allod.cli.options import now as clock
from allod.cli.proposing import lives_of, propose_root, propose_trust
from allod.cli.publishing import (
    carry_out,
    daily_keys,
    next_key,
    note_of_change,
    online_keys,
    publish_documents,
    read_offer,
    renew_along,
    root_signers,
    send,
)
from allod.cli.refresh import View
from allod.errors import InvalidInput, Refused
from allod.trust.authoring import RepositoryDraft
from allod.trust.keys import key_id, to_key
from allod.trust.metadata import ROOT, TARGETS
from allod.trust.role_keys import RoleKeys
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode
from allod.wire.trust import FleetDocument, ProviderDocument

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer


@dataclass(frozen=True, slots=True)
class RotationWish:
    """What `keys rotate` was told beside the role."""

    provider: str = "me"
    server_offer: Path | None = None
    paper: bool = False
    recovery_file: Path | None = None
    new_recovery_file: Path | None = None
    new_paper: bool = False
    out: Path | None = None
    yes: bool = False


def renew(
    view: View,
    role: Literal["root", "targets", "all"],
    *,
    out: Path | None,
    yes: bool,
    options: Options,
) -> None:
    """Sign anew what is more than half over, also what has expired.

    The root of a production fleet is proposed, not signed here.
    """
    fleet = view.fleet
    ceremony = fleet.settings.profile == "production" or out is not None
    draft = RepositoryDraft.from_repository(view.repository, lives_of(fleet))
    due = draft.renew(clock(), root=role != TARGETS)
    if role == ROOT:
        due &= {ROOT}
    if not due:
        options.output.result({"renewed": []}, "Nothing is more than half over.")
        return
    if ROOT in due and (ceremony or role == ROOT):
        carry_out(view, propose_root(view, {}, at=clock()), out=out, yes=yes, options=options)
        if ceremony or role == ROOT:
            return
    options.output.confirm(f"Sign {len(due)} files anew?", yes=yes)
    signers = renew_along(fleet, draft, clock())
    note = note_of_change(view, "keys: renew")
    draft.note(msgspec.to_builtins(note))
    made = draft.sign(clock(), signers)
    repository = view.repository
    upload = ChangeUpload(
        base=dict(view.versions),
        metadata=dict(made.metadata),
        entries=entries_for(repository.anchor.fleet, repository.statement, made.metadata, signers),
        change=note,
    )
    receipt = send(fleet, upload)
    data = {"renewed": sorted(made.versions), "receipt": receipt}
    options.output.result(data, f"Signed anew: {len(made.versions)} files.")


def rotate(
    view: View,
    role: Literal["root", "targets", "online", "provider", "api", "tls", "spare-ca"],
    wish: RotationWish,
    *,
    options: Options,
) -> None:
    """Put new keys in the place of old ones, of one role."""
    if role == ROOT:
        _rotate_root(view, wish, options)
    elif role == TARGETS:
        keys: dict[str, RoleKeys] = {TARGETS: daily_keys(view.fleet, clock())}
        proposal = propose_root(view, keys, at=clock(), message="keys: rotate targets")
        carry_out(
            view,
            proposal,
            out=wish.out,
            yes=wish.yes,
            options=options,
            signers=_present_signers(view, wish) if wish.out is None else (),
        )
    elif role == "online":
        _by_root(view, online_keys(_need_offer(wish)), wish, options)
        options.output.say(
            "If the old keys were stolen, devices may have seen versions that you never published; "
            "then also run: allod trust repair timestamp snapshot"
        )
    elif role == "provider":
        _rotate_provider(view, wish, options)
    elif role == "api":
        _rotate_api(view, wish, options)
    elif role == "tls":
        _rotate_tls(view, wish, options)
    else:
        _rotate_spare(view, wish, options)


def _by_root(view: View, keys: dict[str, RoleKeys], wish: RotationWish, options: Options) -> None:
    signers = _present_signers(view, wish) if wish.out is None else ()
    proposal = propose_root(view, keys, at=clock())
    carry_out(view, proposal, out=wish.out, yes=wish.yes, options=options, signers=signers)


def _present_signers(view: View, wish: RotationWish) -> tuple[Signer, ...]:
    """The root as it is now: by the recovery key if so wished, else by the key that lies here."""
    if wish.paper or wish.recovery_file is not None:
        from allod.cli.paper import paper_signer

        return (paper_signer(wish.recovery_file),)
    return root_signers(view.fleet)


def _rotate_root(view: View, wish: RotationWish, options: Options) -> None:
    fleet = view.fleet
    if fleet.settings.profile == "production":
        raise Refused(
            "ceremony-needed",
            "cannot rotate the root from one machine: its keys lie on several; "
            "run 'allod ceremony propose FILE --root-key …'",
        )
    signers = _present_signers(view, wish)
    record = next_key(fleet, ROOT, clock())
    recovery = _recovery_key(view, wish)
    new = fleet.keys.signer(record)
    holders = RoleKeys((to_key(record.public), recovery))
    proposal = propose_root(view, {ROOT: holders}, at=clock())
    carry_out(
        view,
        proposal,
        out=None,
        yes=wish.yes,
        options=options,
        signers=_distinct([*signers, new]),
    )


def _recovery_key(view: View, wish: RotationWish) -> Key:
    """The recovery key from now on: a new one that was read back, or the present one."""
    fleet, root = view.fleet, view.repository.root
    if wish.new_paper or wish.new_recovery_file is not None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from allod.cli.init import show_and_read_back
        from allod.cli.keystore import public_key

        made = Ed25519PrivateKey.generate()
        show_and_read_back(
            made, fleet=fleet.id, name=fleet.settings.name, file=wish.new_recovery_file
        )
        key = public_key(made)
        fleet.keys.add_public(ROOT, key, now=clock(), state="next", note="recovery key")
        return key
    held = {record.id for record in fleet.keys.records(ROOT) if record.file is not None}
    elsewhere = [root.keys[one] for one in root.roles[ROOT].keyids if one not in held]
    if len(elsewhere) != 1:
        raise InvalidInput(
            "which-recovery-key",
            "cannot tell which root key is the recovery key: make a new one with --new-paper",
        )
    return elsewhere[0]


def _distinct(signers: Sequence[Signer]) -> tuple[Signer, ...]:
    return tuple({signer.public_key.keyid: signer for signer in signers}.values())


def _rotate_provider(view: View, wish: RotationWish, options: Options) -> None:
    """The new key signs from now on; the old one stays named for what it signed before."""
    path, document = provider_document(view, wish.provider)
    record = next_key(view.fleet, f"provider:{wish.provider}", clock())
    keys = [record.public, *(key for key in document.keys if key != record.public)]
    options.output.confirm(f"Let key {record.id[:16]} sign for {wish.provider}?", yes=wish.yes)
    changed = msgspec.structs.replace(document, keys=keys)
    receipt = publish_documents(
        view, {path: encode(changed)}, message=f"keys: rotate provider {wish.provider}"
    )
    _promote(view, record)
    options.output.result(receipt, f"{wish.provider} signs with key {record.id[:16]} now.")


def provider_document(view: View, provider: str) -> tuple[str, ProviderDocument]:
    """Path and document of a provider. Raises InvalidInput `not-found`."""
    path = f"providers/{provider}.json"
    document = view.document(path, ProviderDocument)
    if document is None:
        raise InvalidInput("not-found", f"cannot find the provider {provider} in this fleet")
    return path, document


def _rotate_api(view: View, wish: RotationWish, options: Options) -> None:
    """Name the new key; the server then knows this machine by it alone."""
    fleet = view.fleet
    record = next_key(fleet, "api", clock())
    document = with_person(view.fleet_document, fleet.settings.person, record)
    options.output.confirm(
        f"Speak to the server with key {record.id[:16]} from now on?", yes=wish.yes
    )
    # The next walk finds out by itself that the old key is not accepted any more, and takes the
    # one that waits (`refresh`), also after a cut.
    receipt = publish_documents(view, {"fleet.json": encode(document)}, message="keys: rotate api")
    options.output.result(
        receipt, f"This machine speaks to the server with key {record.id[:16]} now."
    )


def with_person(document: FleetDocument, name: str, record: KeyRecord) -> FleetDocument:
    """The document in which `name` has another key; they become an admin if they were nobody."""
    from allod.wire.trust import Person

    known = {person.name: person for person in document.people}
    role = known[name].role if name in known else "admin"
    others = [person for person in document.people if person.name != name]
    return msgspec.structs.replace(
        document, people=[Person(name=name, key=record.public, role=role), *others]
    )


def _rotate_tls(view: View, wish: RotationWish, options: Options) -> None:
    """Pin the server's new authority beside the spare, while the old one still serves."""
    offer = read_offer(_need_offer(wish))
    statement = view.repository.statement
    present = [] if statement is None else list(statement.anchors)
    if not offer.ca or not any(anchor.url == offer.url for anchor in present):
        raise InvalidInput(
            "not-found", f"cannot pin {offer.url}: it is none of the fleet's TLS addresses"
        )
    _repin(view, wish, options, {offer.url: lambda pins: [offer.ca, *pins[-1:]]})


def _rotate_spare(view: View, wish: RotationWish, options: Options) -> None:
    """Pin a new spare authority beside the server's own."""
    fleet = view.fleet
    server = fleet.settings.server
    if server is None or not server.pins:
        raise InvalidInput("not-found", "cannot pin a spare authority: the fleet uses no TLS")
    record = next_key(fleet, "spare-ca", clock())
    spare = spare_certificate(fleet.keys, record, fleet.settings.name)
    _repin(view, wish, options, {server.url: lambda pins: [*pins[:1], spare]})
    if wish.out is None:
        _promote(view, record)


def _repin(
    view: View,
    wish: RotationWish,
    options: Options,
    change: Mapping[str, Callable[[list[str]], list[str]]],
) -> None:
    """Say in a trust statement which authorities count at these addresses from now on."""
    statement = view.repository.statement
    anchors = [
        msgspec.structs.replace(
            anchor, pins=list(dict.fromkeys(change[anchor.url](list(anchor.pins))))
        )
        if anchor.url in change
        else anchor
        for anchor in (() if statement is None else statement.anchors)
    ]
    carry_out(
        view,
        propose_trust(view, at=clock(), anchors=anchors),
        out=wish.out,
        yes=wish.yes,
        options=options,
        signers=_present_signers(view, wish) if wish.out is None else (),
    )


def _need_offer(wish: RotationWish) -> Path:
    if wish.server_offer is None:
        raise InvalidInput(
            "bad-arguments",
            "cannot tell the server's new keys: run 'allod server new-keys' on the server, "
            "and give the offer.json in its directory here as --server-offer",
        )
    return wish.server_offer


def _promote(view: View, record: KeyRecord) -> None:
    """A document names the new key: it is in use, the one before is not."""
    keys = view.fleet.keys
    keys.reconcile({record.role: [key_id(record.public)]})
