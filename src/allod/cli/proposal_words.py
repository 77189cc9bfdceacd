"""A proposal in words: what the bytes that are signed change, one sentence each (attack 9)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tuf.api.metadata import Root

from allod.cli.log_entries import statement_of
from allod.cli.proposal_entries import wanted
from allod.tlog.note import parse_key
from allod.trust.metadata import ROOT, read
from allod.wire.codec import instant
from allod.wire.trust import Location, TrustStatement, Witnesses

if TYPE_CHECKING:
    from allod.cli.proposal import Proposal

ROLES: Final = ("root", "targets", "snapshot", "timestamp")


def describe(proposal: Proposal) -> tuple[str, ...]:
    """What changes, one sentence each, computed from the bytes that are signed."""
    said: list[str] = []
    if proposal.root is not None:
        new: Root = read(proposal.root, ROOT).signed
        old: Root | None = None if proposal.base is None else read(proposal.base, ROOT).signed
        said += _describe_root(old, new)
    if proposal.trust is not None:
        before = None if proposal.trust_base is None else statement_of(proposal.trust_base)
        said += _describe_trust(before, statement_of(proposal.trust))
    logged = [f"{one.statement.role} {one.statement.version}" for one in wanted(proposal)]
    if logged:
        said.append(f"The same signatures enter the log: {', '.join(logged)}.")
    return tuple(said)


def _describe_root(old: Root | None, new: Root) -> list[str]:
    said = [f"Root {new.version}, good until {instant(new.expires)}."]
    if old is None:
        said.insert(0, "This begins a new fleet.")
    for role in ROLES:
        now = set(new.roles[role].keyids)
        before = set() if old is None else set(old.roles[role].keyids)
        said += [f"Key {key[:16]} gets the role {role}." for key in sorted(now - before)]
        said += [f"Key {key[:16]} LOSES the role {role}." for key in sorted(before - now)]
        threshold = new.roles[role].threshold
        if old is None or old.roles[role].threshold != threshold:
            was = "" if old is None else f" (it was {old.roles[role].threshold})"
            said.append(f"The role {role} needs {threshold} of {len(now)} keys{was}.")
    return said


def _describe_trust(old: TrustStatement | None, new: TrustStatement) -> list[str]:
    said = [f"Trust statement {new.number}, of {new.at}."]
    before = {} if old is None else {anchor.url: anchor for anchor in old.anchors}
    after = {anchor.url: anchor for anchor in new.anchors}
    for url in sorted(after.keys() | before.keys()):
        if url not in before:
            said.append(f"Devices are to ask {url} too{_pins(after[url])}.")
        elif url not in after:
            said.append(f"Devices are NO LONGER to ask {url}.")
        elif after[url] != before[url]:
            said.append(f"{url} gets other certificate authorities{_pins(after[url])}.")
    said += _describe_logs(old, new)
    said += _describe_witnesses(None if old is None else old.witnesses, new.witnesses)
    said += _describe_wait(old, new)
    for repair in new.repairs:
        who = ", ".join(device[:16] for device in repair.devices) or "all devices"
        for role, version in sorted(repair.roles.items()):
            said.append(f"On {who} the floor of {role} FALLS to {version}.")
        if repair.time is not None:
            said.append(f"On {who} the time floor FALLS to {repair.time}.")
    for transfer in new.transfers:
        if old is None or transfer not in old.transfers:
            said += [
                f"Device {device[:16]} may be TAKEN OVER by fleet {transfer.to[:16]} until {transfer.until}."
                for device in transfer.devices
            ]
    return said


def _pins(location: Location) -> str:
    if not location.pins:
        return " (any public certificate)"
    prints = ", ".join(hashlib.sha256(pin.encode()).hexdigest()[:16] for pin in location.pins)
    return f" (certified by {prints})"


def logging_of(statement: TrustStatement) -> list[str]:
    """Which logs and witnesses a statement names."""
    said = []
    for log in statement.logs:
        after = f", succeeds {_place(log.follows, statement.fleet)}" if log.follows else ""
        past = any(other.follows == log.origin for other in statement.logs)
        place = _place(log.origin, statement.fleet)
        said.append(f"log {place}{after}{', succeeded' if past else ''}: {log.key}")
    terms = statement.witnesses
    if terms is not None:
        said += [f"witness {key}" for key in terms.keys]
        age = _span(terms.max_age_seconds)
        said.append(f"{terms.quorum} of {len(terms.keys)} witnesses vouch, at most {age} ago")
    return said


def _describe_logs(old: TrustStatement | None, new: TrustStatement) -> list[str]:
    said = []
    before = {} if old is None else {log.origin: log for log in old.logs}
    for log in new.logs:
        name, key = _place(log.origin, new.fleet), parse_key(log.key).public.hex()[:16]
        if log.origin not in before and log.follows is None:
            said.append(f"The fleet gets the log {name}, kept under the key {key}.")
        elif log.origin not in before:
            lost = _place(log.follows or "", new.fleet)
            said.append(f"The log {name}, kept under the key {key}, SUCCEEDS {lost}.")
        elif before[log.origin] != log:
            said.append(f"The log {name} is named OTHERWISE than before, with the key {key}.")
    named = {log.origin for log in new.logs}
    gone = [origin for origin in before if origin not in named]
    return [*said, *(f"The log {_place(one, new.fleet)} counts NO LONGER." for one in gone)]


def _place(origin: str, fleet: str) -> str:
    return origin.rpartition(f"{fleet}/")[2]


def _describe_witnesses(old: Witnesses | None, new: Witnesses | None) -> list[str]:
    before = set() if old is None else set(old.keys)
    after = set() if new is None else set(new.keys)
    said = [f"{_witness(key)} is to vouch for the logs." for key in sorted(after - before)]
    said += [f"{_witness(key)} vouches NO LONGER." for key in sorted(before - after)]
    if new is None:
        return [*said, "NOBODY has to vouch for the logs any more."] if old is not None else said
    if old is None or old.quorum != new.quorum:
        was = "" if old is None else f" (it was {old.quorum})"
        said.append(f"{new.quorum} of {len(new.keys)} witnesses have to vouch{was}.")
    if old is None or old.max_age_seconds != new.max_age_seconds:
        was = "" if old is None else f" (it was {_span(old.max_age_seconds)})"
        said.append(f"They must have vouched in the last {_span(new.max_age_seconds)}{was}.")
    return said


def _describe_wait(old: TrustStatement | None, new: TrustStatement) -> list[str]:
    """What devices wait for, where witnesses or the log that they vouch for are others."""
    terms, before = new.witnesses, None if old is None else old.witnesses
    if terms is None:
        return []
    known = set() if old is None else {log.origin for log in old.logs}
    begins = any(log.origin not in known for log in new.logs)
    fewer = before is None or set(terms.keys) - set(before.keys) or terms.quorum > before.quorum
    if not begins and not fewer:
        return []
    wait = (
        f"Devices change NOTHING until {terms.quorum} of the witnesses have cosigned the log: they "
        "have to run, to know it ('allod witness add-log'), and to be asked by the server."
    )
    return [wait]


def _witness(key: str) -> str:
    known = parse_key(key)
    return f"The witness {known.name} ({known.public.hex()[:16]})"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds % size == 0 and seconds > size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
