"""Which rules hold beside those of TUF: Allod's own, or none (for conformance tests)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """Which rules hold beside those of TUF."""

    statements: bool = True  #: trust/<N>.json is walked after the root chain
    addressed: bool = True  #: every targets file says its fleet and role
    rotation_lowers: bool = False  #: a rotation of online keys alone lowers floors (TUF 5.3.11)
    logs: bool = True  #: the log's tail is read, and only what counts in it holds
    witnesses: bool = True  #: a log's checkpoint is taken only if a quorum vouches for it
    visits: int = 1024  #: roles asked for one path; more is an error and never 'not found'


ALLOD: Final = Profile()
PUBLISHER: Final = Profile(logs=False)  #: of whoever logs what it checks, after it did
UNWITNESSED: Final = Profile(witnesses=False)  #: of an owner who looks why nobody vouches
PLAIN_TUF: Final = Profile(statements=False, addressed=False, rotation_lowers=True)
