"""The journey: one digest over everything that a device ever activated, in its order.

A device that went from A to B and back to A shows another journey than one that stayed at A, so
a visit cannot be hidden by going back (docs/spec/binding.md).
"""

from __future__ import annotations

import hashlib
from typing import Final

from allod.domain.ids import Digest, Purl

START: Final = Digest("sha256:" + "0" * 64)  #: of a device that never activated anything


def extend(journey: Digest, what: str, package: Purl, release: str, configuration: str) -> Digest:
    """The journey after one more step.

    Args:
        journey: the one before.
        what: activated, reverted, deactivated or configured.
        package: whose.
        release: the digest that was put to work, or tried and given back; empty: none.
        configuration: the digest of its document; empty: the release's default.
    """
    parts = (journey, what, package, release, configuration)
    return Digest("sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest())
