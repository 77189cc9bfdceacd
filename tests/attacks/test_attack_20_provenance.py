"""Attack 20: a provider's CI signs what another builder, repository, branch or workflow built."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
from tests.unit.server.conftest import rig as rig  # noqa: PLC0414 — a fixture
from tests.unit.server.test_copy_channels import ACME, KITCHEN, Shelf, document, look, made

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.delegation import Follow
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import ProviderName, package_name
from allod.domain.observed import Facts
from allod.errors import AllodError, Untrusted
from allod.server.registry.ports import Repository
from allod.server.registry.service import release_of
from allod.testing.delegations import Delegating
from allod.testing.machine import FakeClock
from allod.testing.owner import key_from
from allod.testing.payloads import PACKAGE
from allod.testing.registry import FLEET, Publisher
from allod.testing.server import ServerRig
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.trust.provenance import verify_provenance
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import ProvenancePolicy, TrustedBuilder

CI = key_from("builder")
BUILDER = "https://github.com/actions/runner/github-hosted"
SOURCE = "git+https://github.com/acme/toaster"
WORKFLOW = {
    "ref": "refs/tags/v1.0",
    "repository": "https://github.com/acme/toaster",
    "path": "r.yml",
}
POLICY = ProvenancePolicy(
    builders=[TrustedBuilder(id=BUILDER, level=2)],
    keys=[from_key(CI.public_key)],
    sources=[SOURCE],
    refs=["refs/tags/v*"],
    parameters={
        "workflow.ref": "refs/tags/v*",
        "workflow.repository": "https://github.com/acme/toaster",
        "workflow.path": "r.yml",
    },
)


def statement(digest: str) -> dict[str, Any]:
    """SLSA provenance v1 as GitHub's builders write it, cut to what matters."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "toaster", "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"workflow": dict(WORKFLOW)},
                "internalParameters": {"github": {"event_name": "push"}},
                "resolvedDependencies": [
                    {"uri": f"{SOURCE}@refs/tags/v1.0", "digest": {"gitCommit": "0" * 40}},
                    {"uri": "pkg:docker/ubuntu@24.04"},
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"invocationId": "1"}},
        },
    }


@dataclass
class Case:
    """One thing that is not as the owner demands."""

    code: str
    path: tuple[str | int, ...]
    value: Any


_BUILD = ("predicate", "buildDefinition")
CASES = [
    Case("wrong-builder", ("predicate", "runDetails", "builder", "id"), f"{BUILDER}-self"),
    Case(
        "wrong-source",
        (*_BUILD, "resolvedDependencies", 0, "uri"),
        "git+https://github.com/acme/playground@refs/tags/v1.0",
    ),
    Case("wrong-source", (*_BUILD, "resolvedDependencies"), []),
    Case(
        "wrong-source",
        (*_BUILD, "resolvedDependencies"),
        [
            {"uri": "git+https://github.com/mallory/toaster@refs/tags/v1.0"},
            {"uri": f"{SOURCE}@refs/tags/v1.0"},
        ],
    ),
    Case("wrong-ref", (*_BUILD, "resolvedDependencies", 0, "uri"), f"{SOURCE}@refs/heads/fork"),
    Case("wrong-ref", (*_BUILD, "resolvedDependencies", 0, "uri"), SOURCE),
    Case("wrong-parameters", (*_BUILD, "externalParameters", "workflow", "path"), "evil.yml"),
    Case("wrong-parameters", (*_BUILD, "externalParameters", "inputs"), {"sign": "anything"}),
    Case("wrong-parameters", (*_BUILD, "externalParameters"), {}),
    Case("wrong-digest", ("subject", 0, "digest", "sha256"), "0" * 64),
    Case("wrong-type", ("predicateType",), "https://slsa.dev/provenance/v0.2"),
    Case("bad-document", ("predicate", "runDetails"), {}),
]


def altered(digest: str, case: Case) -> bytes:
    """The statement with that one thing."""
    said = copy.deepcopy(statement(digest))
    place: Any = said
    for step in case.path[:-1]:
        place = place[step]
    place[case.path[-1]] = case.value
    return sign_envelope(encode(said), IN_TOTO, [CI])


def attach(publisher: Publisher, order: ReleaseOrder, envelope: bytes) -> None:
    publisher.attach(publisher.repository(PACKAGE), order.digest, 1, envelope, kind=oci.PROVENANCE)


def device(tmp_path: Path, publisher: Publisher) -> RegistrySource:
    """A device whose owner asks how the provider builds."""
    known = msgspec.structs.replace(publisher.document, provenance=POLICY)
    return RegistrySource(
        publisher.transport,
        Blobs(tmp_path / "blobs", reserve=0),
        tmp_path / "packages",
        fleet=FLEET,
        providers={ProviderName(publisher.name): known},
        fitness=lambda: Facts(frozenset(), "x86_64"),
        clock=FakeClock(),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.path[-1]}")
def test_attack_20_a_valid_signature_over_another_build_is_refused_by_the_device(
    tmp_path: Path, case: Case
) -> None:
    """The provider signed the release and the builder signed its provenance; what it says is not
    what the owner demands. Nothing of the payload is fetched.
    """
    publisher = Publisher()
    order = publisher.push(made())
    attach(publisher, order, altered(order.digest, case))
    with pytest.raises(Untrusted) as caught:
        device(tmp_path, publisher).describe(PACKAGE, order)
    assert caught.value.code == case.code
    [layer] = made().release.layers
    assert not any(str(layer.digest) in path for path in publisher.transport.asked)
    good = sign_envelope(encode(statement(order.digest)), IN_TOTO, [CI])
    attach(publisher, order, good)
    assert device(tmp_path, publisher).describe(PACKAGE, order).package == PACKAGE


def test_attack_20_the_builders_own_key_is_needed(tmp_path: Path) -> None:
    """The provider's key, which every job of the CI may use, signs no provenance; without any
    provenance the release is refused too.
    """
    publisher = Publisher()
    order = publisher.push(made())
    with pytest.raises(Untrusted) as caught:
        device(tmp_path, publisher).describe(PACKAGE, order)
    assert caught.value.code == "no-provenance"
    own = sign_envelope(encode(statement(order.digest)), IN_TOTO, [publisher.key])
    attach(publisher, order, own)
    with pytest.raises(Untrusted) as caught:
        device(tmp_path, publisher).describe(PACKAGE, order)
    assert caught.value.code == "auth"


def test_attack_20_parameters_that_the_owner_does_not_ask_for_are_not_looked_at() -> None:
    """A policy without parameters leaves them to the builder."""
    digest = made().digest
    free = msgspec.structs.replace(POLICY, parameters=None)
    case = next(case for case in CASES if case.value == "evil.yml")
    built = verify_provenance(altered(digest, case), free, digest).value
    assert (built.builder, built.source, built.ref) == (BUILDER, SOURCE, "refs/tags/v1.0")


@pytest.fixture
def follower(rig: ServerRig) -> tuple[ServerRig, Shelf]:  # noqa: F811
    """A fleet that follows acme's channel and asks how acme builds."""
    shelf = Shelf(Publisher(key=ACME.keys[0]))
    act = Delegating(rig.simulator)
    rig.change(act.set_provider(ACME, provenance=POLICY))
    follow = Follow(ProviderName("acme"), "stable", "https://shelf.example/acme")
    rig.change(act.grant("acme", [KITCHEN], [str(PACKAGE)], follow=follow))
    rig.restart(source=shelf)
    return rig, shelf


def test_attack_20_the_server_mirrors_only_what_was_built_so(
    follower: tuple[ServerRig, Shelf],
) -> None:
    """A copied channel brings no payload of another build; with the right provenance both come."""
    rig, shelf = follower
    order = shelf.publisher.push(made())
    attach(shelf.publisher, order, altered(order.digest, CASES[0]))
    shelf.channel(document(rig, 1, (PACKAGE, order)))
    assert "built by" in look(rig)
    here = Repository("acme", package_name(PACKAGE))
    store = rig.server.copy_channels._mirror._stores(rig.fleet)
    assert store is not None
    assert release_of(store, here, order.digest) is None
    good = sign_envelope(encode(statement(order.digest)), IN_TOTO, [CI])
    attach(shelf.publisher, order, good)
    rig.clock.pass_time(hours=2)
    assert look(rig) == ""
    assert release_of(store, here, order.digest) is not None
    kinds = {row.artifact_type for row in store.catalogue.referrers(here, order.digest)}
    assert kinds == {oci.STATEMENT, oci.PROVENANCE}


def test_attack_20_a_policy_is_read_strictly() -> None:
    """A field that this program does not know could have narrowed it."""
    from allod.wire.codec import decode

    raw = encode(POLICY).replace(b'"refs"', b'"signedTagsOnly":true,"refs"')
    with pytest.raises(AllodError):
        decode(raw, ProvenancePolicy, cap=1 << 16)
