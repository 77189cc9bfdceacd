"""Reports: what a device says of itself (DSSE `REPORT` by the device; docs/spec/report.md)."""

from __future__ import annotations

from typing import Final, Literal

from allod.wire.codec import Document

REPORT_CAP: Final = 1024 * 1024


class Boot(Document, kw_only=True, frozen=True):
    """Which start of the machine this is."""

    id: str
    count: int


class TrustState(Document, kw_only=True, frozen=True):
    """Where the device's floors are."""

    root: int
    trust: int
    roles: dict[str, int]
    time: str
    stale: bool = False  #: what it has is past its expiry; it keeps running
    logs: dict[str, str] = {}  #: origin -> size and root (base64) of the newest checkpoint it holds
    notes: dict[str, str] = {}  #: origin -> that checkpoint, as the log's key signed it


class Measured(Document, kw_only=True, frozen=True):
    """What a measurement found."""

    ok: bool
    at: str
    digest: str
    changed: list[str] = []  #: at most 100 paths
    healed: bool = False


class ReleaseOnDevice(Document, kw_only=True, frozen=True):
    """One release that the device has."""

    provider: str
    version: str
    digest: str
    level: Literal["transferred", "installed", "active"]
    measured: Measured | None = None


class ConfigurationOnDevice(Document, kw_only=True, frozen=True):
    """The configuration that is in force."""

    digest: str | None  #: of the document, before facts and secrets are filled in
    measured: Measured | None = None
    local: list[str] = []  #: JSON pointers that users of the device changed


class Pending(Document, kw_only=True, frozen=True):
    """What is wanted and not yet true."""

    what: str
    version: str | None = None
    digest: str | None = None
    waits_for: str = ""  #: "restart", "window", an inhibitor, a term, …
    until: str | None = None  #: when it is looked at again; None: when something happens
    asks: bool = False  #: somebody at the device is asked
    progress: float | None = None  #: 0 … 1 of a transfer


class PackageReport(Document, kw_only=True, frozen=True):
    """One package."""

    package: str
    state: str
    releases: list[ReleaseOnDevice]
    configuration: ConfigurationOnDevice
    manager: str = "owner"
    scope: str | None = None  #: the scope whose document decides; None: nobody names it
    pending: list[Pending] = []
    failed: list[
        str
    ] = []  #: digests that failed and are not tried again until something newer is signed
    healthy: bool | None = None
    constraints: list[str] = []


class SeenCheckpoint(Document, kw_only=True, frozen=True):
    """A checkpoint of a log that the device had accepted."""

    origin: str
    size: int
    root: str  #: base64


class ApprovalSeen(Document, kw_only=True, frozen=True):
    """A person's approval that the device verified."""

    kind: str
    person: str
    ticket: str = ""
    at: str = ""


class Authority(Document, kw_only=True, frozen=True):
    """Why a change was lawful: the receipt that a device gives."""

    document: str  #: target path
    digest: str
    role: str
    version: int
    change: int | None = None  #: number of the owner's change
    delegation: str | None = None
    log_index: int | None = None  #: of the entry of that version of the role
    checkpoint: SeenCheckpoint | None = None  #: the newest that it had accepted when it acted
    reasons: list[str] = []  #: what each term said: `code: words`
    approvals: list[ApprovalSeen] = []


class ChangeReport(Document, kw_only=True, frozen=True):
    """One thing that changed since the last report."""

    at: str
    package: str
    what: (
        str  #: transferred, installed, activated, configured, reverted, deleted, restarted, healed,
        #: agreed, declined
    )
    before: str | None = None
    after: str | None = None
    outcome: Literal["done", "reverted", "failed"] = "done"
    why: str = ""
    authority: Authority | None = None


class Refusal(Document, kw_only=True, frozen=True):
    """Something that the device was told and did not do."""

    code: str
    reasons: list[str]
    subject: str = ""  #: a target path, role or package
    since: str = ""


class Alarm(Document, kw_only=True, frozen=True):
    """Something that the owner should look at."""

    code: str
    says: str
    since: str = ""
    evidence: str | None = None  #: that a log forked (docs/spec/log.md)


class Inhibitor(Document, kw_only=True, frozen=True):
    """Who asks not to be disturbed."""

    name: str
    why: str
    since: str


class HostPackage(Document, kw_only=True, frozen=True, omit_defaults=True):
    """Software that Allod does not manage."""

    name: str
    version: str
    architecture: str = ""
    source: str = ""  #: its source package; empty: called like itself
    source_version: str = ""  #: empty: that of the package
    manager: Literal["", "dpkg"] = ""  #: who put it there and mends it; empty: whose list it is in


class Inventory(Document, kw_only=True, frozen=True):
    """Unmanaged software; the lists are sent when the digest changed."""

    digest: str
    dpkg: list[HostPackage] | None = None
    pip: list[HostPackage] | None = None
    left_out: int = 0  #: for which a report has no room


class RestartReport(Document, kw_only=True, frozen=True):
    """A scheduled restart and what became of it."""

    id: str
    state: Literal["waiting", "done", "missed"]
    at: str
    manager: str = "owner"  #: who ordered it
    waits_for: str = ""  #: why it is not done now although it is due


class Report(Document, kw_only=True, frozen=True):
    """One report; `sequence` and `previous` make the chain."""

    type: Literal["allod.report"] = "allod.report"
    format: Literal[1] = 1
    fleet: str
    device: str
    epoch: int
    sequence: int
    previous: str | None  #: digest of the payload of the chain's head before this one
    kind: Literal["change", "heartbeat"]  #: heartbeats name the head and do not become it
    at: str
    agent: str
    boot: Boot
    uptime: int
    facts: dict[str, str]
    trust: TrustState
    packages: list[PackageReport]
    inventory: Inventory | None = None
    changes: list[ChangeReport] = []
    refusals: list[Refusal] = []
    alarms: list[Alarm] = []
    inhibitors: list[Inhibitor] = []
    restarts: list[RestartReport] = []
    constraints: list[str] = []  #: what limits the owner on this device
    journey: str  #: cumulative digest over every activation so far
