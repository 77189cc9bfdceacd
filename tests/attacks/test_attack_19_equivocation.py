"""Attack 19, at the trust level: one version of a release with two contents."""

from __future__ import annotations

from dataclasses import replace

from allod.domain.ids import ProviderName, Purl, Version, sha256
from allod.trust.release import ReleaseIdentity, equivocation

ONE = ReleaseIdentity(
    ProviderName("acme"), Purl("pkg:generic/acme/x"), Version("1.0"), sha256(b"a")
)


def test_attack_19_two_contents_under_one_version_are_an_alarm() -> None:
    """The alarm names both digests; the same bytes, another version or provider are none."""
    alarm = equivocation([ONE], replace(ONE, digest=sha256(b"b")))
    assert alarm is not None
    assert alarm.code == "release-equivocation"
    assert sha256(b"a") in alarm.says
    assert equivocation([ONE], ONE) is None
    assert equivocation([ONE], replace(ONE, version=Version("1.1"), digest=sha256(b"b"))) is None
    assert equivocation([], ONE) is None
