"""The administration API, `/api/v1` (docs/spec/api.md): what goes over the wire.

Fields of type `bytes` are base64 on the wire. File names are those of the fleet's own
directories: `metadata` keys stand below `tuf/`, `targets` keys are target paths, `trust` keys
are statement numbers, `blobs` keys are digests.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from allod.wire.codec import Document
from allod.wire.entry import ChangeNote
from allod.wire.envelope import Envelope, PublicKey

UPLOAD_CAP: Final = 64 * 1024 * 1024
ENROLMENT_HEADER: Final = "allod-enrolment"


class ChangeUpload(Document, frozen=True, kw_only=True):
    """Files that the owner signed, to be published together or not at all.

    `base` says which version of every role the files were made on; it is empty for the genesis
    of a fleet. Snapshot and timestamp are the server's own and never stand in an upload.
    """

    base: dict[str, int] = {}
    metadata: dict[str, bytes] = {}
    targets: dict[str, bytes] = {}
    trust: dict[str, bytes] = {}
    blobs: dict[str, bytes] = {}
    entries: list[bytes] = []  #: for the authority log, one for each signed file (docs/spec/log.md)
    change: ChangeNote | None = None


#: The first upload of a fleet: root 1, targets, devices and its bins, trust statement 1.
Genesis = ChangeUpload


class ChangeReceipt(Document, frozen=True, kw_only=True):
    """The files are durable and published. The same upload again gets the same receipt."""

    fleet: str
    news: int
    versions: dict[str, int]


class FloorsUpload(Document, frozen=True, kw_only=True):
    """What the owner's own program last verified, for a server restored from a backup.

    Here `metadata` holds snapshot and timestamp too: the restored server goes on above them.
    """

    metadata: dict[str, bytes]
    targets: dict[str, bytes] = {}
    trust: dict[str, bytes] = {}
    blobs: dict[str, bytes] = {}
    versions: dict[str, int] = {}  #: floors for which the file itself is gone
    logs: dict[str, bytes] = {}  #: log origin -> the newest checkpoint that was verified


class FleetStatus(Document, frozen=True, kw_only=True):
    """A fleet as the server sees it."""

    fleet: str
    name: str
    news: int
    versions: dict[str, int]
    trust: int
    public: bool = False
    restored: bool = False  #: from a backup, and not yet told where the floors are
    devices: int = 0
    alarms: int = 0


class FleetList(Document, frozen=True, kw_only=True):
    """The fleets that the caller may see."""

    fleets: list[FleetStatus]


class PublishedChange(Document, frozen=True, kw_only=True):
    """One publication."""

    news: int
    at: str  #: when the server published it
    kind: Literal["genesis", "change", "refresh", "restore", "channel"]
    roles: dict[str, int]  #: the versions that it published
    targets: list[str] = []  #: the target paths that it carried
    change: ChangeNote | None = None


class ChangeList(Document, frozen=True, kw_only=True):
    """Publications, oldest first."""

    changes: list[PublishedChange]
    next: int | None = None  #: ask again with `after` = this


class DeviceSummary(Document, frozen=True, kw_only=True):
    """One device. Claims of the server: the CLI verifies binding and reports itself."""

    device: str
    epoch: int
    invite: str
    label: str = ""
    groups: list[str] = []
    status: Literal["active", "retired"] = "active"
    surplus: bool = False  #: more devices came with the invite than it allows
    quarantined: bool = False  #: two devices speak with one key
    sequence: int = 0  #: of the newest report
    reported: str | None = None  #: when the server received it
    agent: str = ""
    facts: dict[str, str] = {}


class DeviceList(Document, frozen=True, kw_only=True):
    """Devices by id."""

    devices: list[DeviceSummary]
    next: str | None = None


class RecordedDevice(Document, frozen=True, kw_only=True):
    """A device that is only on record: the owner's signed document says what of it."""

    device: str
    label: str
    groups: list[str] = []
    document: str  #: its target path


class RecordedList(Document, frozen=True, kw_only=True):
    """Devices on record by id."""

    devices: list[RecordedDevice]
    next: str | None = None


class ReportEntry(Document, frozen=True, kw_only=True):
    """A report exactly as the device signed it."""

    epoch: int
    sequence: int
    received: str
    report: Envelope
    forked: bool = False  #: another payload with this sequence came too


class ReportList(Document, frozen=True, kw_only=True):
    """Reports of one device by epoch and sequence."""

    reports: list[ReportEntry]
    next: int | None = None


class BindingEntry(Document, frozen=True, kw_only=True):
    """A binding record exactly as it was handed in."""

    device: str
    epoch: int
    received: str
    surplus: bool
    invite: Envelope
    record: Envelope


class BindingList(Document, frozen=True, kw_only=True):
    """Binding records by device."""

    bindings: list[BindingEntry]
    next: str | None = None


class BindingReceipt(Document, frozen=True, kw_only=True):
    """The record is durable. A surplus device gets no read token."""

    device: str
    epoch: int
    surplus: bool = False


class ReportReceipt(Document, frozen=True, kw_only=True):
    """The report is durable."""

    sequence: int
    duplicate: bool = False


class Challenge(Document, frozen=True, kw_only=True):
    """What a device signs to get a read token."""

    challenge: str


class NewsAnswer(Document, frozen=True, kw_only=True):
    """The counter of publications of a fleet."""

    news: int


class AlarmEntry(Document, frozen=True, kw_only=True):
    """Something that the owner should look at."""

    code: str
    subject: str
    says: str
    since: str


class AlarmList(Document, frozen=True, kw_only=True):
    """Alarms, oldest first."""

    alarms: list[AlarmEntry]


class NewToken(Document, frozen=True, kw_only=True):
    """Asks for a named token of the API."""

    name: str
    scopes: list[Literal["read", "publish", "push", "admin"]]
    days: int = 90


class TokenInfo(Document, frozen=True, kw_only=True):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[str]
    created: str
    expires: str


class TokenCreated(Document, frozen=True, kw_only=True):
    """The only time that the secret is shown."""

    info: TokenInfo
    token: str


class TokenList(Document, frozen=True, kw_only=True):
    """Tokens by name."""

    tokens: list[TokenInfo]


class ServerOffer(Document, frozen=True, kw_only=True):
    """`offer.json` in the server's directory: what `allod init` needs to enrol a fleet.

    The public keys go into root version 1 (snapshot, timestamp) and `fleet.json` (gate).
    """

    type: Literal["allod.server-offer"] = "allod.server-offer"
    format: Literal[1] = 1
    url: str
    ca: str = ""  #: PEM; empty where the server speaks plain HTTP
    snapshot: PublicKey
    timestamp: PublicKey
    gate: PublicKey
    log: PublicKey | None = None  #: of the fleet's logs; the trust statement names it
    enrolment: str  #: secret; stands in the header `Allod-Enrolment` of the genesis upload


class Problem(Document, frozen=True, kw_only=True):
    """An error (RFC 9457, `application/problem+json`)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    reasons: list[str] = []
    details: dict[str, Any] = {}


class ChannelUpload(Document, frozen=True, kw_only=True):
    """A provider's channel document, as it was signed (a DSSE envelope)."""

    document: bytes


class ChannelReceipt(Document, frozen=True, kw_only=True):
    """The document is logged and published. The same again gets the same sequence."""

    provider: str
    channel: str
    sequence: int
    news: int


class ChannelStatus(Document, frozen=True, kw_only=True):
    """A channel that the fleet follows, as the server sees it."""

    provider: str
    channel: str
    delegations: list[str]  #: ids of those that follow it
    source: str = ""  #: where the server copies it from; empty: it is handed in
    sequence: int = 0  #: of the newest document; 0: there is none yet
    digest: str | None = None  #: of its payload
    at: str | None = None  #: as the provider says
    expires: str | None = None
    received: str | None = None
    witnessed: bool = False  #: a checkpoint that witnesses vouch for lies beside it
    polled: str | None = None  #: when the source was last read
    failure: str = ""  #: why it could not be, at the last attempt


class ChannelList(Document, frozen=True, kw_only=True):
    """Channels by provider and name."""

    channels: list[ChannelStatus]
