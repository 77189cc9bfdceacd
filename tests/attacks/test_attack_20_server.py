"""Attack 20: what another builder built does not enter by the server, by whichever door."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests.attacks.evidence_world import AT, LAB, POLICY
from tests.attacks.test_attack_20_provenance import CI, statement
from tests.attacks.test_attack_20_provenance import POLICY as BY_KEY
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
from tests.unit.server.conftest import rig as rig  # noqa: PLC0414 — a fixture
from tests.unit.server.test_copy_channels import ACME, KITCHEN, Shelf, document, look, made

from allod.domain.delegation import Follow
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import Digest, ProviderName, package_name, sha256
from allod.errors import Untrusted
from allod.server.registry.ports import FleetStore, Repository
from allod.server.registry.service import push_manifest, release_of
from allod.testing.delegations import Delegating
from allod.testing.payloads import PACKAGE
from allod.testing.registry import Publisher
from allod.testing.server import ServerRig
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import Summary, make_summary
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.desired import encode_state
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import Verifier

HERE = Repository("acme", package_name(PACKAGE))


@pytest.fixture
def shelf(rig: ServerRig) -> Shelf:  # noqa: F811
    """Acme's registry; the owner names a verifier and follows acme's channel."""
    made_shelf = Shelf(Publisher(key=ACME.keys[0]))
    act = Delegating(rig.simulator)
    lab = Verifier(name="lab", key=from_key(LAB.public_key), vouches=["provenance"])
    rig.change(rig.simulator.set_fleet(verifiers=[lab]))
    rig.change(act.set_provider(ACME))
    follow = Follow(ProviderName("acme"), "stable", "https://shelf.example/acme")
    rig.change(act.grant("acme", [KITCHEN], [str(PACKAGE)], follow=follow))
    rig.restart(source=made_shelf)
    return made_shelf


def store_of(rig: ServerRig) -> FleetStore:  # noqa: F811
    """The fleet's registry."""
    store = rig.server.copy_channels._mirror._stores(rig.fleet)
    assert store is not None
    return store


def lay(rig: ServerRig, subject: Digest, envelope: bytes) -> None:  # noqa: F811
    """Push a statement beside a release, as anybody may who pushes."""
    store = store_of(rig)
    store.blobs.put(sha256(envelope), [envelope])
    store.blobs.put(sha256(oci.EMPTY_BLOB), [oci.EMPTY_BLOB])
    about = oci.Descriptor(media_type=oci.MANIFEST, digest=subject, size=1)
    raw = oci.encode_document(oci.statement_manifest(envelope, about, kind=oci.PROVENANCE))
    push_manifest(store, HERE, sha256(raw), oci.MANIFEST, raw)


def vouched(rig: ServerRig, order: ReleaseOrder) -> bytes:  # noqa: F811
    """The verifier's summary under what the owner asks now."""
    provider = rig.server.fleets.need(rig.fleet).providers["acme"]
    release = ReleaseIdentity(order.provider, PACKAGE, order.version, order.digest)
    return make_summary(provider, release, Summary("lab", AT, 2), [LAB])


def test_attack_20_a_copied_release_waits_for_its_verifier(rig: ServerRig, shelf: Shelf) -> None:  # noqa: F811
    """Where a verifier has to look, the release is copied for them to look at, and counts as not
    copied until they have vouched; a summary that lies at the provider's does not do it.
    """
    rig.change(Delegating(rig.simulator).set_provider(ACME, provenance=POLICY))
    order = shelf.publisher.push(made())
    forged = make_summary(
        rig.server.fleets.need(rig.fleet).providers["acme"],
        ReleaseIdentity(order.provider, PACKAGE, order.version, order.digest),
        Summary("lab", AT, 2),
        [ACME.keys[0]],
    )
    place = shelf.publisher.repository(PACKAGE)
    shelf.publisher.attach(place, order.digest, 1, forged, kind=oci.PROVENANCE)
    shelf.channel(document(rig, 1, (PACKAGE, order)))
    assert "signatures are good" in look(rig)
    assert release_of(store_of(rig), HERE, order.digest) is not None
    lay(rig, order.digest, vouched(rig, order))
    rig.clock.pass_time(hours=2)
    assert look(rig) == ""


def ordered(order: ReleaseOrder, *others: ReleaseOrder) -> PackageEntry:
    """An entry of the owner's that wants it."""
    return PackageEntry(software=Software(releases=(order, *others)))


@pytest.fixture
def two(rig: ServerRig, shelf: Shelf) -> tuple[ReleaseOrder, ReleaseOrder]:  # noqa: F811
    """Two releases in the fleet's registry; the first one is ordered."""
    orders = (shelf.publisher.push(made()), shelf.publisher.push(made(version="1.1")))
    for number, order in enumerate(orders, 1):
        shelf.channel(document(rig, number, (PACKAGE, order)))
        assert look(rig) == ""
        rig.clock.pass_time(hours=2)
    rig.change(rig.simulator.set_packages(KITCHEN, {str(PACKAGE): ordered(orders[0])}))
    return orders


def test_attack_20_the_server_publishes_no_order_for_another_build(
    rig: ServerRig,  # noqa: F811
    two: tuple[ReleaseOrder, ReleaseOrder],
) -> None:
    """Provenance of another release is none: the owner's own order is not published."""
    first, second = two
    rig.change(Delegating(rig.simulator).set_provider(ACME, provenance=BY_KEY))
    lay(rig, second.digest, sign_envelope(encode(statement(first.digest)), IN_TOTO, [CI]))
    with pytest.raises(Untrusted) as caught:
        rig.change(rig.simulator.set_packages(KITCHEN, {str(PACKAGE): ordered(second)}))
    assert caught.value.code == "wrong-digest"


def test_attack_20_what_was_ordered_before_stands_in_the_way_of_nothing(
    rig: ServerRig,  # noqa: F811
    two: tuple[ReleaseOrder, ReleaseOrder],
) -> None:
    """A release from before the demand is kept as the one to go back to, and not raised again."""
    first, second = two
    rig.change(Delegating(rig.simulator).set_provider(ACME, provenance=BY_KEY))
    lay(rig, second.digest, sign_envelope(encode(statement(second.digest)), IN_TOTO, [CI]))
    kept = replace(first, level=Level.INSTALLED)
    rig.change(rig.simulator.set_packages(KITCHEN, {str(PACKAGE): ordered(second, kept)}))
    with pytest.raises(Untrusted) as caught:
        rig.change(rig.simulator.set_packages(KITCHEN, {str(PACKAGE): ordered(first)}))
    assert caught.value.code == "no-provenance"


def test_attack_20_a_delegate_orders_no_other_build_either(
    rig: ServerRig,  # noqa: F811
    two: tuple[ReleaseOrder, ReleaseOrder],
) -> None:
    """What a delegate signs is held to the same demand."""
    act = Delegating(rig.simulator)
    rig.change(act.grant("ops", [KITCHEN], [str(PACKAGE)]))
    rig.change(act.set_provider(ACME, provenance=BY_KEY))
    with pytest.raises(Untrusted) as caught:
        rig.change(act.order("ops", KITCHEN, {str(PACKAGE): ordered(two[1])}))
    assert caught.value.code == "no-provenance"


def test_attack_20_a_change_of_the_policy_holds_for_the_same_upload(
    rig: ServerRig,  # noqa: F811
    two: tuple[ReleaseOrder, ReleaseOrder],
) -> None:
    """A demand and an order that come together are judged together."""
    second = two[1]
    draft = rig.simulator.draft()
    known = rig.server.fleets.need(rig.fleet).providers["acme"]
    asking = msgspec.structs.replace(known, provenance=BY_KEY)
    draft.set_target("providers/acme.json", encode(asking))
    wanted = StateDocument(rig.fleet, KITCHEN, {str(PACKAGE): ordered(second)})
    draft.set_target(KITCHEN.target_path, encode_state(wanted))
    with pytest.raises(Untrusted) as caught:
        rig.change(rig.simulator.publish(draft))
    assert caught.value.code == "no-provenance"
