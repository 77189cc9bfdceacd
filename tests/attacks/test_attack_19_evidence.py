"""Attack 19: other bytes under the version that somebody vouched for."""

from __future__ import annotations

import pytest
from tests.attacks.evidence_world import HOUSE, OLD, PROVIDER, RELEASE, evidence, mends, summary

from allod.domain.ids import sha256
from allod.errors import Untrusted
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import verify_summary

FORGED = sha256(b"2.1.2, built again")


def test_attack_19_a_summary_binds_the_bytes_and_not_the_version() -> None:
    """The same package, version and policy: what was looked at are other bytes."""
    assert verify_summary(summary(), HOUSE.verifiers, PROVIDER, RELEASE).value.level == 2
    again = ReleaseIdentity(RELEASE.provider, RELEASE.package, RELEASE.version, FORGED)
    with pytest.raises(Untrusted) as caught:
        verify_summary(summary(), HOUSE.verifiers, PROVIDER, again)
    assert caught.value.code == "wrong-digest"


def test_attack_19_evidence_binds_the_bytes_on_both_sides() -> None:
    """Neither is it about other bytes, nor does it mend a release that it does not name."""
    assert {old for old, _, _ in mends(evidence())} == {OLD}
    assert mends(evidence(release=FORGED)) == set()
    assert {old for old, _, _ in mends(evidence(old=FORGED))} == {FORGED}
    assert mends(evidence(old=RELEASE.digest)) == set(), "nothing mends itself"
