"""What an audit can find: each kind has a stable code, what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

KEPT: Final = 200  #: findings of one code: who fills a log with them fills no memory
SHOWN: Final = 1000  #: characters of `says`: what a log's key holder wrote may be anything


class Kind(NamedTuple):
    """One kind of finding."""

    means: str
    do: str


_AS_ALARM: Final = "Keep the evidence, ask who holds the server, and take the key away from it."
KINDS: Final[dict[str, Kind]] = {
    "log-consistency": Kind(
        "The log was rewritten, or this source shows another one than was seen before.",
        "Keep both checkpoints: they are evidence. Let a successor log of another key follow.",
    ),
    "note-signature": Kind(
        "The checkpoint is not signed by the log's key, or a witness's signature is wrong.",
        "Ask the server's operator; nothing under this checkpoint is proved.",
    ),
    "wrong-log": Kind(
        "The checkpoint is one of another log.",
        "Ask the server's operator; nothing under this checkpoint is proved.",
    ),
    "wrong-genesis": Kind(
        "The trust statement names another beginning of the log than it has.",
        "Ask who signed the statement.",
    ),
    "bad-tile": Kind(
        "A tile or a bundle is not what the entries make: proofs made from it fail.",
        "Restore the server's files; the entries themselves were judged from the bundles.",
    ),
    "no-quorum": Kind(
        "Fewer witnesses than the owner asks for vouch for this checkpoint.",
        "See whether the witnesses can be reached; devices take no change meanwhile.",
    ),
    "stale": Kind(
        "The witnesses last vouched for the log longer ago than the owner allows.",
        "See whether the witnesses can be reached; a server may hold back what is new.",
    ),
    "log-entry-ignored": Kind(
        "The log has an entry that does not count. It changes nothing on any device.",
        "Only who holds the log's key can append it: ask the server's operator.",
    ),
    "equivocation": Kind(
        "Two contents were signed, or are served, as one version.",
        _AS_ALARM,
    ),
    "root-withheld": Kind(
        "The log has a root that is not served: devices are kept on an old one.",
        "Publish the root elsewhere ('allod trust anchor add'), and leave this server.",
    ),
    "withheld": Kind(
        "The log names a file that is not served.",
        "Restore it from a backup or from the owner's machine ('allod server floors').",
    ),
    "mix-and-match": Kind(
        "The file that is served is not the one that the log names.",
        _AS_ALARM,
    ),
    "version-gap": Kind(
        "The log lacks a version of a role: it was signed and shown to nobody, or to somebody.",
        "Find out who signed it, and for whom.",
    ),
    "unlogged-file": Kind(
        "A file is served that the log does not have. Devices do not act on it.",
        "If it stays so for an hour, ask the server's operator.",
    ),
    "role-not-resigned": Kind(
        "Keys were taken away, and what they signed last was not signed anew: the role stands still.",
        "Sign it anew: 'allod keys renew'.",
    ),
    "binding-refused": Kind(
        "A binding record does not carry the signatures of an invite of the owner and of the device.",
        "The device is none of yours, whatever the server says of it.",
    ),
    "unlogged-binding": Kind(
        "A device is shown that the log does not have.",
        "Ask the server's operator when it was bound, and by whom.",
    ),
    "surplus-binding": Kind(
        "More devices came with an invite than it allows.",
        "Retire those that are not yours; make invites for one device each.",
    ),
    "unknown-device": Kind(
        "The log has reports of a device for which there is no binding record.",
        "Nothing that it says can be verified: ask the server's operator for the record.",
    ),
    "report-refused": Kind(
        "A report does not carry the device's signature, or is not the one that the log names.",
        _AS_ALARM,
    ),
    "unlogged-report": Kind(
        "A report with changes is shown that the log does not have.",
        "If it stays so, ask the server's operator; it can still be made to vanish.",
    ),
    "report-gap": Kind(
        "A report follows another one that the log does not have: something is hidden, or lost.",
        "Ask the device: what it could not hand in it keeps ('allod device admit').",
    ),
    "other-history": Kind(
        "A device accepted a checkpoint that is no beginning of this log: it was shown another one.",
        _AS_ALARM,
    ),
    "log-withheld": Kind(
        "A device saw more of the log than is shown to you.",
        "Ask the server's operator; audit again from another place.",
    ),
    "false-receipt": Kind(
        "A device says that it acted on an entry that does not count for what it did.",
        "Look at the device: it was deceived, or it lies.",
    ),
    "device-cloned": Kind(
        "Two machines speak with one key: a disk was copied, or the key was stolen.",
        "Take the device out of service, and bind it anew with a key of its own.",
    ),
    "device-went-back": Kind(
        "A device reports older floors than before, and no repair of the owner says so.",
        "Its disk was put back to an earlier state, or it lies: look at it.",
    ),
    "release-two-digests": Kind(
        "One version of a package is two different things.",
        "Ask the provider which is the right one, and withdraw the other.",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        code: stable; one of `KINDS`.
        subject: a log, role, file, device or package.
        says: what was seen, in words; parts of it may come from a hostile server.
        index: of the log's entry, if it is about one.
    """

    code: str
    subject: str
    says: str
    index: int | None = None

    @property
    def means(self) -> str:
        """What follows from it."""
        return KINDS[self.code].means

    @property
    def do(self) -> str:
        """What the owner should do."""
        return KINDS[self.code].do


@dataclass(slots=True)
class Findings:
    """Takes findings; of one code no more than `KEPT`, and how many more there were."""

    _kept: dict[str, list[Finding]] = field(default_factory=dict)
    _more: dict[str, int] = field(default_factory=dict)

    def found(self, code: str, subject: str, says: str, index: int | None = None) -> None:
        """Take one."""
        self.take([Finding(code, subject, says[:SHOWN], index)])

    def take(self, findings: Iterable[Finding]) -> None:
        """Take several."""
        for one in findings:
            known = self._kept.setdefault(one.code, [])
            if len(known) < KEPT:
                known.append(one)
            else:
                self._more[one.code] = self._more.get(one.code, 0) + 1

    @property
    def all(self) -> list[Finding]:
        """What was taken, code by code."""
        found: list[Finding] = []
        for code, known in self._kept.items():
            found += known
            if more := self._more.get(code, 0):
                found.append(Finding(code, "", f"and {more} more of this kind"))
        return found
