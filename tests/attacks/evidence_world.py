"""What the attack tests on evidence share: an owner, a provider, a verifier, and who imitates them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest

from allod.domain.ids import Digest, ProviderName, Purl, Version, sha256
from allod.errors import AllodError
from allod.testing.owner import key_from
from allod.trust.evidence import make_mends, mended_by, verify_mends
from allod.trust.keys import from_key
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import Summary, make_summary
from allod.wire.evidence import Mended
from allod.wire.trust import (
    FleetDocument,
    ProvenancePolicy,
    ProviderDocument,
    SigstoreIdentity,
    Verifier,
)

FLEET: Final = "f" * 64
AT: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
ACME, LAB, OTHER_LAB = (key_from(name) for name in ("acme", "lab", "other-lab"))
OLD, NEW = sha256(b"2.1.1"), sha256(b"2.1.2")
TOASTER: Final = Purl("pkg:generic/acme/toaster")
RELEASE: Final = ReleaseIdentity(ProviderName("acme"), TOASTER, Version("2.1.2"), NEW)
POLICY: Final = ProvenancePolicy(
    identities=[
        SigstoreIdentity(
            issuer="https://token.actions.githubusercontent.com",
            subject="https://github.com/acme/toaster/.github/workflows/release.yml@refs/tags/*",
        )
    ],
    sources=["git+https://github.com/acme/toaster"],
    refs=["refs/tags/*"],
    level=2,
)
PROVIDER: Final = ProviderDocument(
    fleet=FLEET,
    provider="acme",
    keys=[from_key(ACME.public_key)],
    namespaces=["pkg:generic/acme/"],
    provenance=POLICY,
)
HOUSE: Final = FleetDocument(
    fleet=FLEET,
    name="home",
    verifiers=[
        Verifier(name="lab", key=from_key(LAB.public_key), vouches=["mends", "provenance"]),
        Verifier(
            name="other-lab",
            key=from_key(OTHER_LAB.public_key),
            vouches=["mends"],
            sources=["pypa"],
        ),
    ],
)
FLAW: Final = "PYSEC-2022-205"


def summary(signer: Any = LAB, by: str = "lab", **changed: Any) -> bytes:
    """A verifier's summary about the release, with what `changed` names as it is given there.

    Args:
        signer: whose key signs.
        by: as whom.
        changed: `provider`, `release`, `level`, `passed`.
    """
    said = Summary(by, AT, changed.get("level", 2), passed=changed.get("passed", True))
    provider = changed.get("provider", PROVIDER)
    return make_summary(provider, changed.get("release", RELEASE), said, [signer])


def evidence(signer: Any = LAB, by: str = "lab", **changed: Any) -> bytes:
    """A verifier's word that the release mends the flaw that the older one has."""
    mended = Mended(
        flaw=changed.get("flaw", FLAW),
        component="pkg:pypi/waitress@2.1.1",
        sources=changed.get("sources", ["pypa"]),
    )
    return make_mends(
        changed.get("fleet", FLEET),
        by,
        changed.get("package", TOASTER),
        changed.get("version", RELEASE.version),
        changed.get("release", NEW),
        {changed.get("old", OLD): [mended]},
        changed.get("at", AT),
        [signer],
    )


def why_not(envelope: bytes) -> str:
    """The code with which evidence about the release is refused."""
    with pytest.raises(AllodError) as caught:
        verify_mends(envelope, HOUSE, TOASTER, RELEASE.version, NEW)
    return caught.value.code


def mends(*envelopes: bytes, house: FleetDocument = HOUSE) -> set[tuple[Digest, str, str]]:
    """What a device makes of evidence about the release: older release, source, flaw."""
    found = mended_by(envelopes, house, TOASTER, RELEASE.version, NEW)
    return {(old, source, flaw) for old, said in found.items() for source, flaw in said}


def asking(**fields: Any) -> ProviderDocument:
    """The provider's document with another policy."""
    return msgspec.structs.replace(PROVIDER, provenance=msgspec.structs.replace(POLICY, **fields))
