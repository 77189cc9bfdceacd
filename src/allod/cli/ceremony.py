"""`allod ceremony`: root keys on separate machines propose, sign and publish.

A proposal is one file, carried from hand to hand. Nobody signs what their own machine did not
first say in words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options, Sure, now
from allod.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from allod.cli.proposal import Proposal

app = App(name="ceremony", help="Sign with several root keys on separate machines.")

Yes = Annotated[bool, Parameter(negative="")]


@app.command
def key(out: Path, *, options: Options = OPTIONS) -> None:
    """Make a root key on this machine, and write its public half to a file.

    Args:
        out: The file to hand to whoever makes the fleet.
        options: Options of every verb.
    """
    from allod.cli.signer import SignerStore
    from allod.durable import write_atomic
    from allod.wire.codec import encode

    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    record = SignerStore.open(options.passphrase()).make_key("root", now=now())
    write_atomic(out.absolute(), encode(record.public), mode=0o644)
    options.output.result(
        {"id": record.id, "file": str(out)},
        f"Root key {record.id[:16]} lies on this machine; hand {out} to whoever makes the fleet.",
    )


@app.command
def propose(
    out: Path,
    *,
    root_key: tuple[Path, ...] = (),
    threshold: int | None = None,
    new_targets_key: Yes = False,
    server_offer: Path | None = None,
    message: Annotated[str, Parameter(alias="-m")] = "",
    options: Options = OPTIONS,
) -> None:
    """Propose a new root: other holders, another threshold, new keys, or only a later date.

    Args:
        out: The file to write.
        root_key: Public halves of all root keys from now on; as they are, unless given.
        threshold: How many of them sign together; as it is, unless given.
        new_targets_key: Make a new daily key on this machine.
        server_offer: Take the server's online keys from its new offer.
        message: Why.
        options: Options of every verb.
    """
    from allod.cli.proposing import propose_root
    from allod.cli.publishing import daily_keys, online_keys
    from allod.cli.refresh import refresh
    from allod.trust.role_keys import RoleKeys

    fleet = options.open()
    view = refresh(fleet, allow_expired=True)
    roles: dict[str, RoleKeys] = {}
    if root_key or threshold is not None:
        present = view.repository.root
        keys = tuple(read_public_key(path) for path in root_key) or tuple(
            present.keys[key_id] for key_id in present.roles["root"].keyids
        )
        roles["root"] = RoleKeys(keys, threshold or present.roles["root"].threshold)
    if new_targets_key:
        roles["targets"] = daily_keys(fleet, now())
    if server_offer is not None:
        roles |= online_keys(server_offer)
    proposal = propose_root(view, roles, at=now(), message=message)
    write_proposal(out, proposal, overwrite=False)
    tell(proposal, options)
    options.output.result(
        _data(proposal),
        f"{out} is ready: let the key holders run 'allod ceremony sign {out.name}'.",
    )


@app.command
def show(file: Path, *, options: Options = OPTIONS) -> None:
    """Say in words what a proposal changes, and whose signatures it lacks.

    Args:
        file: The proposal.
        options: Options of every verb.
    """
    proposal = read_proposal(file)
    options.output.result(_data(proposal), f"{_words(proposal)}\n{_lacking(proposal)}")


@app.command
def sign(
    file: Path,
    *,
    recovery_file: Path | None = None,
    paper: Yes = False,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Sign a proposal with the root keys on this machine, after it was shown.

    Args:
        file: The proposal; the signatures are added to it.
        recovery_file: Sign with the recovery key in this file.
        paper: Sign with the recovery key, typed in.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.paper import paper_signer
    from allod.cli.proposal import sign_proposal
    from allod.cli.signer import SignerStore, check_base, local_root_signers

    proposal = read_proposal(file)
    store = SignerStore.open(options.passphrase())
    known = check_base(store.known_root(proposal.fleet), proposal)
    tell(proposal, options)
    if not known:
        options.output.say(
            f"This machine signs for the fleet {proposal.fleet} for the first time: compare the "
            "number with what the others see."
        )
    options.output.confirm("Sign this?", yes=yes)
    signers = (
        (paper_signer(recovery_file),)
        if paper or recovery_file is not None
        else local_root_signers(proposal, options.passphrase())
    )
    signed = sign_proposal(proposal, signers)
    write_proposal(file, signed, overwrite=True)
    store.remember(signed)
    options.output.result(_data(signed), _lacking(signed))


@app.command
def publish(file: Path, *more: Path, yes: Sure = False, options: Options = OPTIONS) -> None:
    """Publish a proposal that has all its signatures; copies signed apart are put together.

    Args:
        file: The proposal.
        more: Copies with other signatures.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.proposal import merge_proposals, require_complete
    from allod.cli.publishing import publish_proposal
    from allod.cli.refresh import refresh

    proposal = merge_proposals([read_proposal(path) for path in (file, *more)])
    require_complete(proposal)
    tell(proposal, options)
    if proposal.base is None:
        from allod.cli.genesis import publish_genesis

        options.output.confirm("Begin this fleet?", yes=yes)
        begun = publish_genesis(options.open(), proposal)
        options.output.result(begun, "The fleet is begun.")
    else:
        options.output.confirm("Publish this?", yes=yes)
        receipt = publish_proposal(refresh(options.open(), allow_expired=True), proposal)
        options.output.result(receipt, receipt.force.brief)


def tell(proposal: Proposal, options: Options) -> None:
    """Say a proposal in words, computed from its bytes; in JSON it is part of the answer."""
    if not options.json:
        options.output.say(_words(proposal))


def _words(proposal: Proposal) -> str:
    from allod.cli.proposal_words import describe

    lines = [f"Fleet {proposal.name} ({proposal.fleet[:16]}), proposed {proposal.at}"]
    lines += [f"  {proposal.message}"] if proposal.message else []
    return "\n".join([*lines, *(f"  {sentence}" for sentence in describe(proposal))])


def _data(proposal: Proposal) -> dict[str, object]:
    from allod.cli.proposal import missing
    from allod.cli.proposal_words import describe

    return {
        "fleet": proposal.fleet,
        "name": proposal.name,
        "at": proposal.at,
        "message": proposal.message,
        "changes": describe(proposal),
        "missing": [
            {"what": m.what, "have": m.have, "need": m.need, "holders": m.holders}
            for m in missing(proposal)
        ],
    }


def _lacking(proposal: Proposal) -> str:
    from allod.cli.proposal import missing

    lacking = missing(proposal)
    if not lacking:
        return "All signatures are there: run 'allod ceremony publish'."
    return "\n".join(
        f"{part.what[0].upper()}{part.what[1:]}: {part.have} of {part.need} signatures."
        for part in lacking
    )


def read_public_key(path: Path) -> Key:
    """A public key from a file: PEM, or as `ceremony key` and `release key` write it.

    Raises:
        InvalidInput: `bad-key`.
    """
    from allod.trust.keys import key_from_pem, to_key
    from allod.wire.codec import decode
    from allod.wire.envelope import PublicKey

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("bad-key", f"cannot read the key {path}: {error.strerror}") from error
    if data.lstrip().startswith(b"-----BEGIN"):
        return key_from_pem(data)
    return to_key(decode(data, PublicKey, cap=64 * 1024, what=f"the key {path}"))


def read_proposal(path: Path) -> Proposal:
    """A proposal from a file. Raises InvalidInput."""
    from allod.cli.proposal import decode_proposal

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            "no-proposal", f"cannot read the proposal {path}: {error.strerror}"
        ) from error
    return decode_proposal(data)


def write_proposal(path: Path, proposal: Proposal, *, overwrite: bool) -> None:
    """Write a proposal to a file. Raises Conflict `exists`."""
    from allod.cli.proposal import encode_proposal
    from allod.durable import write_atomic

    if path.exists() and not overwrite:
        raise Conflict("exists", f"cannot write {path}: it is there already")
    write_atomic(path.absolute(), encode_proposal(proposal), mode=0o644)
