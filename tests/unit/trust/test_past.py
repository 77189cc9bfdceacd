"""The past: what the owner once signed, judged by the chain of roots and not by the calendar."""

from __future__ import annotations

import pytest

from allod.errors import Untrusted
from allod.testing.repository import RepositorySimulator, TestOwner, key_from
from allod.trust.past import check_past_targets, check_root_chain


@pytest.fixture
def fleet() -> RepositorySimulator:
    """A fleet whose root and daily key were rotated."""
    sim = RepositorySimulator()
    sim.set_target("x", b"y")
    sim.rotate_root([key_from("r")])
    sim.rotate_targets([key_from("t")])
    return sim


def roots(fleet: RepositorySimulator) -> list[bytes]:
    """All roots."""
    return [fleet.files[f"tuf/{number}.root.json"] for number in (1, 2, 3)]


def test_files_of_every_time_count_under_the_chain(fleet: RepositorySimulator) -> None:
    """Signed by the keys of then, or of now."""
    chain = [one.root for one in check_root_chain(roots(fleet), fleet.fleet).value]
    for version in (1, 2, 3):
        data = fleet.files[f"tuf/{version}.targets.json"]
        signed = check_past_targets(data, "targets", version, fleet.fleet, chain).value
        assert signed.version == version


def test_chains_with_a_gap_a_stranger_or_another_start_are_refused(
    fleet: RepositorySimulator,
) -> None:
    """Root 1 is the fleet's, and each follows the one before."""
    one, two, three = roots(fleet)
    other = RepositorySimulator(TestOwner("other"))
    other.rotate_root([key_from("x")])
    for files, code in [
        ([], "wrong-fleet"),
        ([other.first_root], "wrong-fleet"),
        ([one, three], "broken-chain"),
        ([one, other.files["tuf/2.root.json"]], "auth"),
    ]:
        with pytest.raises(Untrusted) as caught:
            check_root_chain(files, fleet.fleet)
        assert caught.value.code == code
    assert len(check_root_chain([one, two], fleet.fleet).value) == 2


def test_files_that_nobody_signed_or_of_another_place_are_refused(
    fleet: RepositorySimulator,
) -> None:
    """Another version, role or fleet; a key that no root ever named."""
    chain = [one.root for one in check_root_chain(roots(fleet), fleet.fleet).value]
    data = fleet.files["tuf/2.targets.json"]
    stranger = RepositorySimulator(TestOwner("stranger")).files["tuf/1.targets.json"]
    for file, role, version, code in [
        (data, "targets", 3, "wrong-version"),
        (data, "devices", 2, "wrong-role"),
        (stranger, "targets", 1, "wrong-fleet"),
        (b"{}", "targets", 1, "bad-metadata"),
    ]:
        with pytest.raises(Untrusted) as caught:
            check_past_targets(file, role, version, fleet.fleet, chain)
        assert caught.value.code == code
    late = fleet.files["tuf/3.targets.json"]
    with pytest.raises(Untrusted) as caught:
        check_past_targets(late, "targets", 3, fleet.fleet, chain[:2])
    assert caught.value.code == "auth"
