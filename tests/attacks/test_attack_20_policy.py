"""Attack 20: ways around what the owner asks of builds, on the device itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.attacks.evidence_world import ACME, AT, FLEET, HOUSE, LAB, POLICY
from tests.attacks.test_attack_20_provenance import POLICY as BY_KEY
from tests.attacks.test_attack_20_provenance import SOURCE, attach, statement

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import ProviderName, sha256
from allod.domain.observed import Facts
from allod.errors import AllodError, Unavailable
from allod.testing.machine import FakeClock
from allod.testing.owner import key_from
from allod.testing.payloads import PACKAGE, Payload, payload
from allod.testing.registry import Publisher
from allod.trust.dsse import sign_envelope
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import Summary, make_summary
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO
from allod.wire.sbom import CYCLONEDX_JSON
from allod.wire.trust import ProvenancePolicy, Verifier

SBOM = b'{"bomFormat":"CycloneDX"}'
KIND = "https://in-toto.io/attestation/test-result/v0.1"


def made() -> Payload:
    return payload(data=b"a toaster")


class World:
    """A provider's registry, and a device whose owner asks something of the provider."""

    def __init__(self, tmp_path: Path, policy: ProvenancePolicy) -> None:
        self.directory = tmp_path
        self.acme = Publisher(key=ACME)
        self.policy = policy
        self.verifiers: Sequence[Verifier] = HOUSE.verifiers
        self.order: ReleaseOrder = self.acme.push(made())

    def device(self, *, online: bool = True) -> RegistrySource:
        """The device as it works in one run."""
        known = msgspec.structs.replace(self.acme.document, provenance=self.policy)
        return RegistrySource(
            self.acme.transport if online else None,
            Blobs(self.directory / "blobs", reserve=0),
            self.directory / "packages",
            fleet=FLEET,
            providers={ProviderName("acme"): known},
            fitness=lambda: Facts(frozenset(), "x86_64"),
            clock=FakeClock(),
            house=msgspec.structs.replace(HOUSE, verifiers=list(self.verifiers)),
        )

    def vouch(self, signer: Any = LAB, *, level: int = 2, hours: int = 0, **said: Any) -> None:
        """A verifier's summary, beside the release."""
        provider = msgspec.structs.replace(
            self.acme.document, provenance=said.pop("policy", self.policy)
        )
        release = ReleaseIdentity(
            self.order.provider, PACKAGE, self.order.version, self.order.digest
        )
        summary = Summary("lab", AT + timedelta(hours=hours), level, **said)
        attach(self.acme, self.order, make_summary(provider, release, summary, [signer]))

    def say(self, statement: dict[str, Any], signer: Any = ACME) -> None:
        """Any statement, beside the release."""
        attach(self.acme, self.order, sign_envelope(encode(statement), IN_TOTO, [signer]))

    def refused(self) -> str:
        """Why the device does not take the release now."""
        with pytest.raises(AllodError) as caught:
            self.device().describe(PACKAGE, self.order)
        return caught.value.code

    def taken(self) -> bool:
        return self.device().describe(PACKAGE, self.order).package == PACKAGE


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The owner names an identity of Sigstore, so that a verifier has to look."""
    return World(tmp_path, POLICY)


def bound(digest: str, kind: str = CYCLONEDX_JSON) -> dict[str, Any]:
    """The word that an SBOM belongs to a release."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://in-toto.io/attestation/reference/v0.1",
        "predicate": {
            "references": [
                {"digest": {"sha256": sha256(SBOM).removeprefix("sha256:")}, "mediaType": kind}
            ]
        },
    }


def test_attack_20_who_has_to_be_asked_is_not_passed_over(world: World) -> None:
    """Where a verifier has to look, neither silence nor provenance that the provider signs itself,
    nor a summary of the provider's own is enough; the verifier's word is.
    """
    assert world.refused() == "no-summary"
    world.say(statement(world.order.digest))
    assert world.refused() == "no-summary"
    world.vouch(ACME)
    assert world.refused() == "auth"
    world.vouch()
    assert world.taken()


def test_attack_20_a_summary_counts_for_the_policy_that_is_in_force(world: World) -> None:
    """The owner asks for more after the release is here: the device looks again before it goes on,
    and what was found by the old policy does not count. Offline it does not go on either.
    """
    world.vouch()
    assert world.taken()
    assert world.device(online=False).vetted(PACKAGE, world.order.digest)
    old = world.policy
    world.policy = msgspec.structs.replace(old, sources=[*old.sources, SOURCE])
    assert not world.device().vetted(PACKAGE, world.order.digest)
    assert world.refused() == "outdated-summary"
    with pytest.raises(Unavailable):
        world.device(online=False).describe(PACKAGE, world.order)
    world.vouch()
    assert world.taken()
    assert world.device().vetted(PACKAGE, world.order.digest)


def test_attack_20_a_policy_that_comes_later_holds_for_what_is_here(tmp_path: Path) -> None:
    """A release that came while nothing was asked is no more vetted once something is."""
    world = World(tmp_path, ProvenancePolicy())
    world.policy = None  # type: ignore[assignment]
    assert world.taken()
    assert world.device().vetted(PACKAGE, world.order.digest)
    world.policy = POLICY
    assert not world.device().vetted(PACKAGE, world.order.digest)
    assert world.refused() == "no-summary"


def test_attack_20_a_provider_who_is_named_no_more_has_met_nothing(world: World) -> None:
    """With the provider's document gone, what met its demands is not run on the quiet."""
    world.vouch()
    assert world.taken()
    source = world.device()
    source._providers = {}
    assert not source.vetted(PACKAGE, world.order.digest)
    with pytest.raises(AllodError) as caught:
        source.describe(PACKAGE, world.order)
    assert caught.value.code == "unknown-provider"


def test_attack_20_a_verifier_who_is_named_no_more_vouched_for_nothing(world: World) -> None:
    """With a stolen verifier's key taken off the list, what it let in is looked at again."""
    world.vouch()
    assert world.taken()
    world.verifiers = HOUSE.verifiers[1:]
    assert not world.device().vetted(PACKAGE, world.order.digest)
    assert world.refused() == "auth"


def test_attack_20_a_verifiers_newer_word_overtakes_the_older(world: World) -> None:
    """What passed and does so no more is taken back, in whichever order the server shows both."""
    world.vouch(hours=1, passed=False)
    world.vouch()
    assert world.refused() == "summary-failed"
    world.vouch(hours=1)
    assert world.refused() == "summary-failed"
    world.vouch(hours=2)
    assert world.taken()


def test_attack_20_a_flood_of_statements_hides_none(world: World) -> None:
    """Forged and broken statements before the good one change nothing."""
    for number in range(50):
        world.vouch(key_from(f"mallory-{number}"))
    for junk in (b"{}", b"\xff", b'{"payloadType": 1}'):
        attach(world.acme, world.order, junk)
    world.vouch()
    assert world.taken()


def test_attack_20_provenance_by_key_and_by_a_verifier_stand_for_each_other(tmp_path: Path) -> None:
    """Where plain keys are named the device needs nobody; a level that the builder does not keep is
    refused there too.
    """
    world = World(tmp_path, BY_KEY)
    world.say(statement(world.order.digest), key_from("builder"))
    assert world.taken()
    world.policy = msgspec.structs.replace(BY_KEY, level=3)
    assert world.refused() == "wrong-level"
    world.vouch(level=3)
    assert world.taken()


def test_attack_20_an_empty_demand_lets_nothing_through(tmp_path: Path) -> None:
    """A policy that asks for a level, and names nobody who could say so, is met by nothing."""
    world = World(tmp_path, ProvenancePolicy(level=1))
    world.say(statement(world.order.digest), key_from("builder"))
    assert world.refused() == "no-summary"
    world.policy = msgspec.structs.replace(BY_KEY, builders=[])
    assert world.refused() == "wrong-builder"
    world.policy = msgspec.structs.replace(BY_KEY, sources=[])
    assert world.refused() == "wrong-source"
    world.policy = msgspec.structs.replace(BY_KEY, refs=[])
    assert world.refused() == "wrong-ref"


def test_attack_20_a_bill_of_materials_is_bound_by_its_provider(tmp_path: Path) -> None:
    """An SBOM of another release, bound by somebody else, or none at all, is no SBOM of this one."""
    world = World(tmp_path, ProvenancePolicy(sbom=True))
    assert world.refused() == "no-sbom"
    world.say(bound(world.order.digest), key_from("mallory"))
    world.say(bound(sha256(b"another release")))
    world.say(bound(world.order.digest, kind="text/plain"))
    assert world.refused() == "no-sbom"
    world.say(bound(world.order.digest))
    assert world.taken()


def test_attack_20_statements_that_are_asked_for_are_there(tmp_path: Path) -> None:
    """Of the kind that the owner names, about this release, by somebody who may say so."""
    said = {**bound(""), "predicateType": KIND}
    world = World(tmp_path, ProvenancePolicy(attestations=[KIND]))
    mine = {"subject": [{"digest": {"sha256": world.order.digest.removeprefix("sha256:")}}]}
    assert world.refused() == "no-attestation"
    world.say(said)
    world.say({**said, **mine}, key_from("mallory"))
    world.say({**said, **mine, "predicateType": f"{KIND}.1"})
    world.say({**said, **mine, "_type": "https://example.net/none"})
    assert world.refused() == "no-attestation"
    world.say({**said, **mine})
    assert world.taken()


def test_attack_20_what_the_server_withholds_is_asked_for_again(world: World) -> None:
    """A summary that is listed and not handed out is to be waited for, and nothing is taken."""
    world.vouch()
    files = world.acme.transport.files
    index = f"{world.acme.repository(PACKAGE)}/referrers/{world.order.digest}"
    listed = msgspec.json.decode(files[index])["manifests"][-1]["digest"]
    kept = files.pop(f"{world.acme.repository(PACKAGE)}/manifests/{listed}")
    assert world.refused() == "not-found"
    files[f"{world.acme.repository(PACKAGE)}/manifests/{listed}"] = kept
    assert world.taken()


def test_attack_20_a_record_that_was_tampered_with_vouches_for_nothing(world: World) -> None:
    """A damaged or foreign note of what was met is as none."""
    world.vouch()
    assert world.taken()
    [record] = (world.directory / "packages").glob("*/releases/*")
    data = record.read_bytes()
    record.write_bytes(data.replace(b'"policy":"sha256:', b'"policy":"sha256:0', 1))
    assert not world.device().vetted(PACKAGE, world.order.digest)
    world.policy = msgspec.structs.replace(world.policy, level=3)
    assert world.refused() == "outdated-summary"
