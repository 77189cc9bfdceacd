"""Trees of every size up to 300 against RFC 6962 as it is written, and everything tampered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from allod.errors import AllodError, InvalidInput, Untrusted
from allod.testing.logs import NaiveLog, naive_consistency, naive_inclusion, naive_root
from allod.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    cover,
    fold,
    leaf_hash,
    node_hash,
    range_over,
)
from allod.tlog.proofs import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)

SIZES = 300
ENTRIES = [f"entry {number}".encode() for number in range(SIZES + 1)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


class Nodes:
    """Nodes of the tree over all entries, remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return LEAVES[index]
        place = (level, index)
        if place not in self._known:
            below = self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1)
            self._known[place] = node_hash(*below)
        return self._known[place]

    def over(self, begin: int, end: int) -> bytes:
        return fold(self.node(*place) for place in cover(begin, end))


NODES = Nodes()


def flipped(proof: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    """The proof with one bit of one byte changed, for every byte; then shorter, longer, swapped."""
    for place, node in enumerate(proof):
        for at in range(len(node)):
            changed = bytearray(node)
            changed[at] ^= 1 << (at % 8)
            yield (*proof[:place], bytes(changed), *proof[place + 1 :])
        yield (*proof[:place], *proof[place + 1 :])
        yield (*proof[:place], node[:-1], *proof[place + 1 :])
    yield (*proof, proof[-1] if proof else EMPTY_ROOT)
    if len(proof) > 1 and proof[0] != proof[1]:
        yield (proof[1], proof[0], *proof[2:])


def test_roots_are_those_of_the_rfc() -> None:
    """Range by range, the root of the first n entries is MTH(D[n]) for every n up to 300."""
    grown = CompactRange()
    for size in range(SIZES + 1):
        assert grown.root() == NODES.over(0, size) == naive_root(ENTRIES[:size])
        assert len(grown.hashes) == size.bit_count()
        grown = grown.extended([LEAVES[size]])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 100])
def test_proofs_are_those_of_the_rfc(size: int) -> None:
    """Proofs are, hash by hash, PATH and SUBPROOF of RFC 6962."""
    log = NaiveLog(list(ENTRIES[:size]))
    for index in range(size):
        assert list(inclusion_proof(index, size, log)) == naive_inclusion(index, log.entries)
    for old in range(1, size + 1):
        assert list(consistency_proof(old, size, log)) == naive_consistency(old, log.entries)


def test_every_entry_of_every_size_is_proved_in() -> None:
    """All 45,150 inclusion proofs of trees up to 300 verify, and for no neighbouring place."""
    for size in range(1, SIZES + 1):
        root = NODES.over(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, NODES)
            verify_inclusion(LEAVES[index], index, size, proof, root)
            with pytest.raises(Untrusted):
                verify_inclusion(LEAVES[index], (index + 1) % (size + 1), size, proof, root)


def test_every_growth_is_proved() -> None:
    """All 45,150 consistency proofs between sizes up to 300 verify, and not between others."""
    for new in range(1, SIZES + 1):
        root = NODES.over(0, new)
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, NODES)
            before = NODES.over(0, old)
            verify_consistency(old, new, proof, before, root)
            if old != new:
                with pytest.raises(Untrusted):
                    verify_consistency(old, new, proof, NODES.over(0, old - 1), root)
                with pytest.raises(Untrusted):
                    verify_consistency(old, new, proof, before, before)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 100, 255, 256, 257, 300])
def test_a_tampered_inclusion_proof_is_refused(size: int) -> None:
    """Each byte of each hash changed, each hash left out, one added: nothing of it passes."""
    root = NODES.over(0, size)
    for index in {0, size // 3, size // 2, size - 1}:
        proof = inclusion_proof(index, size, NODES)
        for bad in flipped(proof):
            with pytest.raises(Untrusted) as refused:
                verify_inclusion(LEAVES[index], index, size, bad, root)
            assert refused.value.code == "log-inclusion"
        for leaf, at, whole in (
            (leaf_hash(b"other"), index, root),
            (LEAVES[index], index, leaf_hash(b"other")),
        ):
            with pytest.raises(Untrusted):
                verify_inclusion(leaf, at, size, proof, whole)


@pytest.mark.parametrize("new", [2, 3, 5, 8, 13, 64, 100, 255, 256, 257, 300])
def test_a_tampered_consistency_proof_is_refused(new: int) -> None:
    """Each byte of each hash changed, each hash left out, one added: nothing of it passes."""
    root = NODES.over(0, new)
    for old in {1, new // 3 or 1, new // 2, new - 1, new}:
        before = NODES.over(0, old)
        for bad in flipped(consistency_proof(old, new, NODES)):
            with pytest.raises(Untrusted) as refused:
                verify_consistency(old, new, bad, before, root)
            assert refused.value.code == "log-consistency"


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (0, 2**63)])
def test_what_is_not_there_cannot_be_proved(index: int, size: int) -> None:
    """Neither made nor believed."""
    with pytest.raises(InvalidInput) as refused:
        inclusion_proof(index, size, NODES)
    assert refused.value.code == "bad-log-range"
    with pytest.raises(Untrusted):
        verify_inclusion(LEAVES[0], index, size, (), LEAVES[0])


def test_a_log_never_shrinks() -> None:
    """There is no proof from a larger log to a smaller one, and from the empty one none counts."""
    with pytest.raises(InvalidInput):
        consistency_proof(3, 2, NODES)
    with pytest.raises(Untrusted):
        verify_consistency(3, 2, (), NODES.over(0, 3), NODES.over(0, 2))
    assert consistency_proof(0, 2, NODES) == ()
    with pytest.raises(Untrusted):
        verify_consistency(0, 2, (), EMPTY_ROOT, NODES.over(0, 2))


def test_a_long_proof_costs_nothing() -> None:
    """A proof of a million hashes is refused by its length."""
    with pytest.raises(Untrusted, match="not made of hashes"):
        verify_inclusion(LEAVES[0], 0, 2**62, [EMPTY_ROOT] * 1_000_000, EMPTY_ROOT)


@pytest.mark.parametrize("cut", [0, 1, 5, 8, 100, 256, 299, 300])
def test_ranges_join(cut: int) -> None:
    """Two neighbouring ranges, made apart, are the range over both."""
    whole = range_over(LEAVES[:SIZES])
    for second in (cut, (cut + SIZES) // 2):
        parts = (
            range_over(LEAVES[:cut]),
            range_over(LEAVES[cut:second], cut),
            range_over(LEAVES[second:SIZES], second),
        )
        assert parts[0].merged(parts[1]).merged(parts[2]) == whole
        assert parts[0].merged(parts[1].merged(parts[2])) == whole


@pytest.mark.parametrize(
    "make",
    [
        lambda: CompactRange(0, 3, (EMPTY_ROOT,)),
        lambda: CompactRange(0, 2, (EMPTY_ROOT[1:],)),
        lambda: CompactRange(2, 1),
        lambda: CompactRange(-1, 0),
        lambda: range_over(LEAVES[:2]).merged(range_over(LEAVES[:2], 3)),
        lambda: range_over(LEAVES[3:5], 3).root(),
    ],
)
def test_no_range_is_made_up(make) -> None:
    """A range has just the hashes that its leaves need, and a root only from the first leaf on."""
    with pytest.raises(AllodError) as refused:
        make()
    assert refused.value.code == "bad-log-range"
