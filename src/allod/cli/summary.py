"""A change as the owner sees it before signing: all of it, devices first named, graves last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from allod.cli.consequences import GRAVE, consequences
from allod.cli.foreign import foreign_members
from allod.cli.foreseen import REFUSED
from allod.cli.output import Output
from allod.cli.phrases import choices
from allod.cli.policy_met import policy_of_change
from allod.cli.preview import Reading
from allod.cli.scopes import show_scope, touched
from allod.cli.vulnerabilities.known import anything_known
from allod.domain.desired import OWNER, ChangeNote, StateDocument
from allod.domain.difference import NOTE, describe_note
from allod.domain.ids import Scope, parse_scope
from allod.domain.reported import Member, Remark
from allod.domain.said import Difference
from allod.errors import AllodError
from allod.trust.approvals import approved_state
from allod.wire.codec import instant

if TYPE_CHECKING:
    from allod.cli.picture import Picture

_GONE: Final = frozenset({"package-unnamed", "document-gone", "file-gone"})
_MEMBERS: Final = 40  #: lines of one configuration that are shown


@dataclass(frozen=True, slots=True)
class Summary:
    """What would be signed, read back from its bytes, and what follows."""

    note: ChangeNote
    differences: tuple[Difference, ...]
    devices: tuple[Member, ...]
    consequences: tuple[Remark, ...]
    remarks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  #: what it means, plainly
    recorded: tuple[Member, ...] = ()  #: devices on record that it names: none of them hears of it

    @classmethod
    def of(
        cls,
        picture: Picture,
        note: ChangeNote,
        reading: Reading,
        remarks: tuple[str, ...] = (),
        words: tuple[str, ...] = (),
    ) -> Summary:
        """Put together what the bytes say with the devices and releases that they concern."""
        scopes = reading.before.keys() | reading.after.keys()
        concerned = {
            member.device: member for scope in scopes for member in touched(scope, picture.devices)
        }
        following: tuple[Remark, ...] = ()
        if scopes:
            before, after = (_approved(picture, side) for side in (reading.before, reading.after))
            following = (
                *consequences(before, after, picture.surroundings),
                *policy_of_change(picture, before, after),
                *_flaws(picture, before, after),
            )
        return cls(
            note,
            tuple(one for one in reading.differences if not _expected(one, note)),
            tuple(concerned[device] for device in sorted(concerned)),
            following,
            remarks,
            words,
            foreign_members({**reading.before, **reading.after}),
        )

    def proposed(self) -> Summary:
        """Of a change that is to be approved yet: that it is not is no news."""
        left = (
            one
            for one in self.consequences
            if one.code != REFUSED or "approvals-missing" not in one.says
        )
        return replace(self, consequences=tuple(left))

    def data(self) -> dict[str, Any]:
        """The summary for `--json`."""
        return {
            "change": {
                "number": self.note.number,
                "id": self.note.id,
                "at": instant(self.note.at),
                "by": self.note.by,
                "message": self.note.message,
                "ticket": self.note.ticket,
            },
            "differences": [
                {
                    "subject": one.subject,
                    "what": one.what,
                    "package": one.package,
                    "before": one.before,
                    "after": one.after,
                    "says": one.says,
                }
                for one in self.differences
            ],
            "devices": [
                {"device": member.device, "label": member.label} for member in self.devices
            ],
            "consequences": [
                {"code": one.code, "says": one.says, "grave": one.code in GRAVE}
                for one in self.consequences
            ],
            "remarks": [*self.words, *self.remarks],
        }

    def lines(self) -> Iterator[str]:
        """The summary for people."""
        yield describe_note(self.note).replace("change", "Change", 1)
        yield from self.words
        subject = ""
        for one in _shortened(self.differences):
            if one.subject != subject:
                subject = one.subject
                yield f"{self._subject(subject)}:"
            yield f"  {_mark(one)} {one.says}"
        names = [member.shown for member in self.devices]
        if any(one.subject.startswith(("groups/", "devices/", "by/")) for one in self.differences):
            yield f"Devices concerned: {len(names)}" + (f" ({choices(names)})" if names else "")
        for remark in self.consequences:
            yield f"{'!' if remark.code in GRAVE else '·'} {remark.says}"
        yield from self.remarks

    def _subject(self, subject: str) -> str:
        author, scope = "", subject
        if subject.startswith("by/"):
            author, _, scope = subject.removeprefix("by/").partition("/")
        try:
            shown = show_scope(parse_scope(scope), (*self.devices, *self.recorded))
        except AllodError:
            return subject
        return f"{shown}, as {author} decides" if author else shown


def _approved(
    picture: Picture, documents: Mapping[Scope, StateDocument]
) -> dict[Scope, StateDocument]:
    """The documents with the approvals that hold, as devices judge them."""
    people = picture.base.fleet_document
    return {scope: approved_state(document, people) for scope, document in documents.items()}


def _flaws(
    picture: Picture,
    before: Mapping[Scope, StateDocument],
    after: Mapping[Scope, StateDocument],
) -> tuple[Remark, ...]:
    """Which flaws come and go with it, where advisories were ever imported."""
    if not anything_known():
        return ()
    from allod.cli.vulnerabilities.change import flaws_of_change

    return flaws_of_change(picture, before, after)


def _expected(one: Difference, note: ChangeNote) -> bool:
    """Whether a line only repeats the note at the top: the change's own stamp and no other."""
    if one.what == NOTE:
        return one.after == describe_note(note)
    return one.what == "field" and (
        one.path == "allod.change" or one.path.startswith("allod.change.")
    )


def _shortened(differences: tuple[Difference, ...]) -> Iterator[Difference]:
    """Without what another line says already, and with no more of a configuration than is read."""
    named = {(one.subject, one.package) for one in differences if one.what == "package-named"}
    members: Counter[tuple[str, str | None]] = Counter()
    for one in differences:
        about = (one.subject, one.package)
        if one.what == "manager" and one.after == OWNER and about in named:
            continue  # what is named anew is the owner's to decide, unless another line says so
        if _of_course(one):
            continue
        if one.what == "configuration-member":
            members[about] += 1
            if members[about] > _MEMBERS:
                continue
        yield one
    for (subject, package), count in members.items():
        if count > _MEMBERS:
            says = f"{package} configuration: {count - _MEMBERS} more (all of them with --json)"
            yield Difference(subject, "configuration-member", says, package)


def _of_course(one: Difference) -> bool:
    """Whether a field of a delegation that comes or goes is what it has to be, or says nothing."""
    folder, _, name = one.subject.removesuffix(".json").rpartition("/")
    value = one.before if one.after is None else one.after
    changed = None not in (one.before, one.after)
    if one.what != "field" or folder != "delegations" or value is None or changed:
        return False
    # A document of another fleet is not signed at all (`preview`).
    own = {"type": "allod.delegation", "format": "1", "delegation": name, "about": ""}
    return one.path == "fleet" or own.get(one.path) == value


def _mark(one: Difference) -> str:
    if one.what in _GONE:
        return "-"
    if one.after is None and one.before is not None:
        return "-"
    return "+" if one.before is None else "~"


def render(summary: Summary, output: Output) -> None:
    """Show a change before it is signed."""
    if output.json:
        output.result({"changed": False, "dryRun": True, **summary.data()}, "")
        return
    output.say("\n".join(summary.lines()))
