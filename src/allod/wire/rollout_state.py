"""How rollouts stand: the API's answers, and what the controller keeps (docs/spec/rollout.md)."""

from __future__ import annotations

from typing import Final, Literal

from allod.domain.rollout import Needs
from allod.wire.codec import Document

ROLLOUT_CAP: Final = 64 * 1024

State = Literal["running", "paused", "halted", "done"]


class StageState(Document, frozen=True, kw_only=True):
    """One stage. Devices that were bound after it opened count once they say something of it."""

    at: str  #: the signed time
    percent: float
    canaries: list[str] = []
    needs: Needs = Needs.TIME
    opened: str | None = None  #: null: not yet
    devices: int = 0
    succeeded: int = 0  #: by their own words
    failed: int = 0


class DeviceTrouble(Document, frozen=True, kw_only=True):
    """A device that failed, as it says itself."""

    device: str
    stage: int
    why: str


class RolloutState(Document, frozen=True, kw_only=True):
    """One open rollout, as the server sees it. Its plan stands in signed documents."""

    id: str
    author: str  #: `owner`, or a delegation's id
    scopes: list[str]
    package: str
    version: str = ""  #: of the release that is to run
    digest: str | None = None
    state: State
    why: str = ""  #: in words: what it waits for, or why it stopped
    since: str = ""  #: of a pause or a halt
    by: str = ""  #: who paused it
    until: str | None = None  #: nothing happens before, as far as is known
    stages: list[StageState]
    problems: list[DeviceTrouble] = []  #: the first hundred


class RolloutList(Document, frozen=True, kw_only=True):
    """The open rollouts by id."""

    rollouts: list[RolloutState]


class PauseRequest(Document, frozen=True, kw_only=True):
    """Why a rollout is paused, or goes on."""

    why: str = ""


class Stop(Document, frozen=True, kw_only=True):
    """A pause or a halt."""

    at: str
    code: str = ""  #: of a halt
    says: str = ""
    by: str = ""


class RolloutRecord(Document, frozen=True, kw_only=True):
    """`rollouts/<id>.json`: what neither documents nor reports nor gates say."""

    type: Literal["allod.rollout"] = "allod.rollout"
    format: Literal[1] = 1
    begun: str | None = None  #: when its first stage, which has no gate, opened
    paused: Stop | None = None
    halted: Stop | None = None
    halts: int = 0  #: how often it halted
    resumed: str | None = None  #: after a halt
    forgiven: int = 0  #: failures that were known then
    told: int = 1  #: stages whose opening devices were told of
