"""Reports: the device's signature, and the chain that shows what is missing or doubled."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum

from allod.domain.ids import DeviceId, FleetId, sha256
from allod.errors import InvalidInput, Untrusted
from allod.trust.dsse import verify_envelope
from allod.trust.keys import to_key
from allod.trust.metadata import MAX_VERSION
from allod.trust.verified import Verified, seal
from allod.wire.codec import decode, parse_instant
from allod.wire.envelope import REPORT, PublicKey
from allod.wire.report import REPORT_CAP, Report


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report that the device signed, and the digest under which later ones name it."""

    report: Report
    digest: str  #: of the payload


def verify_report(
    raw: bytes, key: PublicKey, *, fleet: FleetId, device: DeviceId, epoch: int
) -> Verified[SignedReport]:
    """Check a report's signature and that it is of this device in this binding.

    Args:
        raw: the envelope.
        key: of the device, from its binding record.
        fleet: the device's fleet.
        device: its id.
        epoch: of the binding; reports of an earlier one are past.

    Raises:
        InvalidInput: it is malformed or too large.
        Untrusted: `auth`, `wrong-type`, `wrong-fleet`, `wrong-device`, `wrong-epoch`.
    """
    what = "the report"
    # The envelope is base64 around the payload: a third larger, and its own frame.
    cap = REPORT_CAP * 4 // 3 + 4096
    verified = verify_envelope(raw, REPORT, [to_key(key)], 1, cap, what=what)
    report = decode(verified.value, Report, cap=REPORT_CAP, what=what)
    if report.fleet != fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is for another fleet")
    if report.device != device:
        raise Untrusted("wrong-device", f"cannot accept {what}: it is of another device")
    if report.epoch != epoch:
        raise Untrusted("wrong-epoch", f"cannot accept {what}: it is of binding {report.epoch}")
    if not 0 < report.sequence <= MAX_VERSION:
        raise InvalidInput("bad-document", f"cannot read {what}: its sequence is out of range")
    parse_instant(report.at, what="the time of a report")
    return seal(SignedReport(report, sha256(verified.value)), verified.by)


class Link(StrEnum):
    """How a report stands to those before it."""

    EXTENDS = "extends"  #: the chain goes on
    DUPLICATE = "duplicate"  #: it is here already; say 'received' and change nothing
    GAP = "gap"  #: reports before it are missing
    REPLAYED = "replayed"  #: older than what is known; changes nothing (attack 14)
    FORKED = "forked"  #: two pasts under one key: a copied disk or a stolen key (attack 38, 40)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of a device's chain, as the server or the CLI knows it."""

    sequence: int = 0  #: of the last report of any kind
    last: str | None = None  #: its digest
    head: str | None = None  #: digest of the last report that carries changes


@dataclass(frozen=True, slots=True)
class Followed:
    """What a report does to the chain."""

    link: Link
    head: ChainHead


def follow(head: ChainHead, signed: SignedReport, older: Container[str] = ()) -> Followed:
    """Put a report to the chain. Heartbeats name the head and do not become it.

    Args:
        head: the end of the chain so far.
        signed: a verified report.
        older: digests of reports that were received before.
    """
    report = signed.report
    if signed.digest == head.last or signed.digest in older:
        return Followed(Link.DUPLICATE, head)
    if report.sequence == head.sequence:
        return Followed(Link.FORKED, head)
    if report.sequence < head.sequence:
        return Followed(Link.REPLAYED, head)
    if report.previous == head.head:
        link = Link.EXTENDS
    elif report.previous is None or report.previous in older:
        return Followed(Link.FORKED, head)
    else:
        link = Link.GAP
    after = ChainHead(report.sequence, signed.digest, head.head)
    if report.kind == "change":
        after = replace(after, head=signed.digest)
    elif link is Link.GAP:
        after = replace(after, head=report.previous)
    return Followed(link, after)
