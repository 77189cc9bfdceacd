"""`allod init`: make a fleet of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options, ask_witness, make_server, now
from allod.domain.ids import parse_name
from allod.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import Key

    from allod.cli.fleet import LocalFleet
    from allod.cli.genesis import Plan
    from allod.cli.keystore import KeyStore
    from allod.cli.named_logs import Witness
    from allod.wire.api import ServerOffer
    from allod.wire.trust import Witnesses

Yes = Annotated[bool, Parameter(negative="")]

_URL: Final = "https://localhost:8443"


@dataclass(frozen=True, slots=True)
class _Start:
    """What a fleet begins with, in either profile."""

    directory: Path
    name: str
    keys: KeyStore
    offer: ServerOffer
    place: Path | None  #: of the embedded server
    public: bool
    witnesses: Witnesses | None


def init(
    name: str,
    *,
    profile: Literal["home", "production"] = "home",
    url: str | None = None,
    server: Path | None = None,
    server_offer: Path | None = None,
    public: Yes = False,
    recovery_file: Path | None = None,
    root_key: tuple[Path, ...] = (),
    threshold: int = 2,
    proposal: Path | None = None,
    witness: tuple[str, ...] = (),
    quorum: int | None = None,
    witness_age: str | None = None,
    options: Options = OPTIONS,
) -> None:
    """Make a fleet of your own. Run it again if it was cut short: it goes on where it was.

    At home: a root key on this machine and one on paper, each enough alone. In production: root
    keys on separate machines ('allod ceremony key' on each), so many of which sign together.

    Args:
        name: What you call it.
        profile: home, or production.
        url: How devices reach the server that is made here; https://localhost:8443 unless given.
        server: Where to make the server; beside the fleet, unless given.
        server_offer: Use a server that is there already: its offer.json.
        public: What the fleet runs is no secret: devices read without a token.
        recovery_file: Home: write the recovery key to this file instead of showing it, and read
            it back from there.
        root_key: Production: public halves of the root keys.
        threshold: Production: how many of them sign together.
        proposal: Production: the file that goes round for signatures.
        witness: The key of a witness that has to vouch for the fleet's log, or KEY=URL for a
            server that is made here, which then asks it.
        quorum: So many witnesses have to vouch; all, unless given.
        witness_age: How long ago they may have vouched, like 1h; a day, unless given.
        options: Options of every verb.
    """
    from allod.cli.fleet import home_directory
    from allod.cli.genesis import PENDING, PLAN
    from allod.cli.keystore import KeyStore
    from allod.cli.named_logs import first_witnesses, parse_witness

    parse_name(name, "a fleet's name")
    directory = home_directory() / "fleets" / name
    if (directory / PENDING).exists():
        _deliver(_known(directory, options), options)
        return
    if (directory / "fleet.json").exists() and (
        profile != "home" or not (directory / PLAN).exists()
    ):
        raise Conflict("exists", f"cannot make the fleet {name}: it is there already")
    roots = _check_ceremony(root_key, threshold, proposal) if profile == "production" else ()
    named = [parse_witness(text) for text in witness]
    terms = first_witnesses(named, quorum, witness_age)
    keys = KeyStore(directory / "keys", options.passphrase())
    if not (keys.directory / "index.json").exists():
        keys.create()
    place = None if server_offer is not None else server or home_directory() / "server"
    offer = _offer(server_offer, place, url)
    if terms is not None and offer.log is None:
        raise InvalidInput(
            "no-log",
            "cannot have witnesses: this server keeps no log; 'allod server init' on its directory makes a key for one",
        )
    start = _Start(directory, name, keys, offer, place, public, terms)
    if profile == "home":
        _begin_home(start, recovery_file, options)
    elif proposal is not None:
        _begin_production(start, roots, threshold, proposal, options)
    _tell_witnesses(start, named, options)


def _tell_witnesses(start: _Start, named: Sequence[Witness], options: Options) -> None:
    """Let the server that is made here ask them; say what they, or another server, have to know."""
    from allod.cli.named_logs import first_logs

    if not named or start.offer.log is None:
        return
    for log in first_logs(_known(start.directory, options).id, start.offer.log):
        options.output.say(f"On each witness: allod witness add-log DIRECTORY {log.key}")
    for one in named:
        if one.url and (elsewhere := ask_witness(start.place, str(one.key), one.url)):
            options.output.say(elsewhere)


def _check_ceremony(
    root_key: tuple[Path, ...], threshold: int, proposal: Path | None
) -> tuple[Key, ...]:
    """The root keys of a production fleet, before anything is made for it.

    Raises:
        InvalidInput: `bad-arguments`, `bad-key`, `bad-threshold`.
        Conflict: `exists`, the proposal's file.
    """
    from allod.cli.ceremony import read_public_key
    from allod.trust.role_keys import RoleKeys

    if not root_key or proposal is None:
        raise InvalidInput(
            "bad-arguments",
            "cannot begin a production fleet: give --root-key for each root key, and --proposal",
        )
    if proposal.exists():
        raise Conflict("exists", f"cannot write {proposal}: it is there already")
    return RoleKeys(tuple(read_public_key(path) for path in root_key), threshold).keys


def _known(directory: Path, options: Options) -> LocalFleet:
    from allod.cli.fleet import LocalFleet

    return LocalFleet.at(directory, passphrase=options.passphrase())


def _offer(file: Path | None, place: Path | None, url: str | None) -> ServerOffer:
    """The offer of the server: of one that is there, or of one that is made.

    Raises:
        Conflict: `other-address`, what is there was made for another address than is wished.
    """
    from allod.cli.client import check_url
    from allod.cli.publishing import read_offer
    from allod.wire.api import ServerOffer
    from allod.wire.codec import decode

    wished = None if url is None else check_url(url)
    if file is None and place is None:
        raise InvalidInput("bad-arguments", "cannot tell where the server is to be")
    there = file or (place or Path()) / "offer.json"
    if file is None and place is not None and not there.exists():
        raw = make_server(place, wished or _URL)
        return decode(raw, ServerOffer, cap=1024 * 1024, what="the server's offer")
    offer = read_offer(there)
    if wished not in {None, offer.url}:
        raise Conflict(
            "other-address",
            f"cannot use the server in {there.parent} as {wished}: it was made for {offer.url}; "
            "give that as --url, or name another directory with --server",
        )
    return offer


def _plan(
    start: _Start,
    *,
    profile: Literal["home", "production"],
    roots: tuple[object, ...],
    threshold: int,
) -> Plan:
    from allod.cli.genesis import OWN_PROVIDER, Plan, make_keys, save_plan, spare_certificate
    from allod.trust.keys import from_key
    from allod.wire.codec import instant

    at = now()
    offer, place = start.offer, start.place
    made = make_keys(start.keys, at=at, root=profile == "home")
    own = [made["root"].public] if profile == "home" else []
    plan = Plan(
        name=start.name,
        at=instant(at),
        profile=profile,
        public=start.public,
        offer=offer,
        server_directory=None if place is None else str(place.absolute()),
        roots=(*own, *(from_key(key) for key in roots)),  # type: ignore[arg-type]
        threshold=threshold,
        targets=made["targets"].public,
        api=made["api"].public,
        provider=made[f"provider:{OWN_PROVIDER}"].public,
        witnesses=start.witnesses,
        spare=spare_certificate(start.keys, made["spare-ca"], start.name) if offer.ca else "",
    )
    save_plan(start.directory, plan)
    return plan


def _begin_home(start: _Start, recovery_file: Path | None, options: Options) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from allod.cli.genesis import begin, propose_genesis
    from allod.cli.keystore import public_key
    from allod.cli.proposal import sign_proposal

    directory, keys = start.directory, start.keys
    resumed = _resumed(directory, recovery_file)
    if resumed is not None:
        plan, paper = resumed
        proposal = propose_genesis(plan)
    else:
        paper = Ed25519PrivateKey.generate()
        plan = _plan(start, profile="home", roots=(public_key(paper),), threshold=1)
        proposal = propose_genesis(plan)
        show_and_read_back(paper, fleet=proposal.fleet, name=start.name, file=recovery_file)
    note = f"recovery key, {'in ' + str(recovery_file) if recovery_file else 'on paper'}"
    keys.add_public("root", public_key(paper), now=now(), note=note)
    fleet = begin(directory, plan, keys, sign_proposal(proposal, keys.signers("root")))
    _deliver(fleet, options)


def _resumed(directory: Path, recovery_file: Path | None) -> tuple[Plan, Ed25519PrivateKey] | None:
    """The plan of a beginning that was cut short after its recovery key was written to a file."""
    from allod.cli.genesis import PLAN, read_plan
    from allod.cli.keystore import public_key, to_wire
    from allod.cli.paper import read_sheet

    if recovery_file is None or not recovery_file.exists() or not (directory / PLAN).exists():
        return None
    plan, paper = read_plan(directory), read_sheet(recovery_file)
    if to_wire(public_key(paper)) not in plan.roots:
        return None
    return plan, paper


def show_and_read_back(
    paper: Ed25519PrivateKey, *, fleet: str, name: str, file: Path | None
) -> None:
    """Show a new recovery key, and go on only after it was read back.

    Raises:
        InvalidInput: `bad-paper`, `no-terminal`.
        Refused: `paper-differs`.
    """
    import sys

    from allod.cli.paper import check_read_back, sheet, type_paper, write_sheet

    text = sheet(paper, fleet=fleet, name=name)
    if file is not None:
        if file.exists():
            raise Conflict(
                "exists", f"cannot write the recovery key to {file}: it is there already"
            )
        check_read_back(paper, write_sheet(file, text))
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "no-terminal",
            "cannot show the recovery key: there is no terminal; give --recovery-file",
        )
    sys.stderr.write(f"\n{text}\nWrite the five lines down. Then type them in.\n\n")
    check_read_back(paper, type_paper())


def _begin_production(
    start: _Start, roots: tuple[Key, ...], threshold: int, proposal: Path, options: Options
) -> None:
    from allod.cli.ceremony import tell, write_proposal
    from allod.cli.fleet import LocalFleet, LocalSettings
    from allod.cli.genesis import location_of, propose_genesis

    keys = start.keys
    plan = _plan(start, profile="production", roots=roots, threshold=threshold)
    made = propose_genesis(plan)
    for key in roots:
        keys.add_public("root", key, now=now(), note="on another machine")
    write_proposal(proposal, made, overwrite=False)
    settings = LocalSettings(
        fleet=made.fleet,
        name=start.name,
        profile="production",
        server=location_of(plan),
        server_directory=plan.server_directory,
    )
    LocalFleet.create(start.directory, settings, keys)
    if not options.json:
        tell(made, options)
    options.output.result(
        {"fleet": made.fleet, "proposal": str(proposal)},
        f"{proposal} is ready: let the key holders run 'allod ceremony sign {proposal.name}', "
        f"then run 'allod ceremony publish {proposal.name}' here.",
    )


def _deliver(fleet: LocalFleet, options: Options) -> None:
    from allod.cli.genesis import deliver

    place = fleet.settings.server_directory
    how = deliver(fleet)
    server = fleet.settings.server
    lines = [f"The fleet {fleet.name} is yours: {fleet.id}"]
    if how == "inbox":
        lines.append(f"Start its server: allod serve {place}")
    lines.append("Keep a backup of its keys: allod keys backup FILE")
    data = {
        "fleet": fleet.id,
        "name": fleet.name,
        "directory": str(fleet.directory),
        "server": "" if server is None else server.url,
        "serverDirectory": place,
        "delivered": how,
    }
    options.output.result(data, "\n".join(lines))
