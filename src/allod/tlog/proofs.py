"""Inclusion and consistency proofs: made from a reader of nodes, and verified.

RFC 6962 §2.1.1 and §2.1.2; subtrees as in draft-ietf-plants-merkle-tree-certs, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from allod.errors import InvalidInput, Untrusted
from allod.tlog.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE, cover, fold, node_hash

MAX_PROOF: Final = 2 * 63  #: hashes; no proof in a tree of at most `MAX_SIZE` leaves has more

Proof = tuple[bytes, ...]


class NodeReader(Protocol):
    """Where the hashes of complete subtrees come from."""

    def node(self, level: int, index: int) -> bytes:
        """The hash over the leaves from `index << level` to `(index + 1) << level`."""
        ...


def _range_hash(reader: NodeReader, begin: int, end: int) -> bytes:
    return fold(reader.node(level, index) for level, index in cover(begin, end))


def _split(begin: int, end: int) -> int:
    """Where the tree over these leaves divides: the largest power of two below its size."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def inclusion_proof(index: int, size: int, reader: NodeReader) -> Proof:
    """The proof that the leaf `index` is in the tree of `size` leaves.

    Raises:
        InvalidInput: `bad-log-range`: there is no such leaf.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise InvalidInput(
            "bad-log-range", f"cannot prove entry {index} of a log of {size}: there is none"
        )
    siblings: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((begin, middle))
            begin = middle
    return tuple(_range_hash(reader, *sibling) for sibling in reversed(siblings))


def consistency_proof(old: int, new: int, reader: NodeReader) -> Proof:
    """The proof that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    For `old` 0 it is empty, and says nothing.

    Raises:
        InvalidInput: `bad-log-range`: the log has shrunk.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise InvalidInput(
            "bad-log-range",
            f"cannot prove that a log of {old} entries grew to {new}: it is no growth",
        )
    if old == 0:
        return ()
    parts: list[tuple[int, int]] = []
    begin, end, whole = 0, new, True
    while end != old:
        middle = _split(begin, end)
        if old <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((begin, middle))
            begin, whole = middle, False
    if not whole:
        parts.append((begin, end))
    return tuple(_range_hash(reader, *part) for part in reversed(parts))


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` (a hash) stands at `index` of the tree with this size and root.

    Raises:
        Untrusted: `log-inclusion`.
    """
    verify_subtree_inclusion(leaf, index, 0, size, proof, root)


def verify_subtree_inclusion(
    leaf: bytes, index: int, begin: int, end: int, proof: Sequence[bytes], root: bytes
) -> None:
    """The same within the subtree over the leaves `begin` to `end`.

    Raises:
        Untrusted: `log-inclusion`.
    """
    what = f"entry {index} of a log"
    if not _is_subtree(begin, end) or not begin <= index < end:
        raise _not_included(what, "there is no such entry")
    if len(leaf) != HASH_SIZE:
        raise _not_included(what, "its hash is none")
    node, place, last = leaf, index - begin, end - begin - 1
    for other in _hashes(proof, _not_included(what, "its proof is not made of hashes")):
        if last == 0:
            raise _not_included(what, "the proof is too long")
        if place & 1 or place == last:
            node = node_hash(other, node)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, other)
        place, last = place >> 1, last >> 1
    if last:
        raise _not_included(what, "the proof is too short")
    if node != root:
        raise _not_included(what, "the proof leads to another root")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the tree of `new` leaves begins with the tree of `old` leaves, which has some.

    Every tree begins with the empty one; who expects that says so and asks for no proof.

    Raises:
        Untrusted: `log-consistency`.
    """
    if old == 0:
        raise _not_consistent(old, new, "a proof from the empty log proves nothing")
    verify_subtree_consistency(0, old, new, proof, old_root, new_root)


def verify_subtree_consistency(
    begin: int, end: int, size: int, proof: Sequence[bytes], part: bytes, root: bytes
) -> None:
    """Check that the leaves `begin` to `end` of a tree have the subtree hash `part`.

    An empty range is consistent with any tree, if `part` is the hash of nothing.

    Raises:
        Untrusted: `log-consistency`.
    """
    if 0 <= begin == end <= size and not proof and part == EMPTY_ROOT:
        return
    if not _is_subtree(begin, end) or not end <= size <= MAX_SIZE:
        raise _not_consistent(end, size, "there is no such part")
    hashes = _hashes(proof, _not_consistent(end, size, "its proof is not made of hashes"))
    first, here, last = begin, end - 1, size - 1
    if here == last:
        while first != here:
            first, here, last = first >> 1, here >> 1, last >> 1
    else:
        while first != here and here & 1:
            first, here, last = first >> 1, here >> 1, last >> 1
    known = part if first == here else next(hashes, None)
    if known is None:
        raise _not_consistent(end, size, "the proof is too short")
    old, new = _climb(known, (first, here, last), hashes, (end, size))
    if old != part:
        raise _not_consistent(end, size, "the proof does not lead to the earlier root")
    if new != root:
        raise _not_consistent(end, size, "the proof does not lead to the later root")


def _climb(
    known: bytes, place: tuple[int, int, int], hashes: Iterator[bytes], sizes: tuple[int, int]
) -> tuple[bytes, bytes]:
    first, here, last = place
    old = new = known
    for other in hashes:
        if last == 0:
            raise _not_consistent(*sizes, "the proof is too long")
        if here & 1 or here == last:
            if first < here:
                old = node_hash(other, old)
            new = node_hash(other, new)
            while here and not here & 1:
                first, here, last = first >> 1, here >> 1, last >> 1
        else:
            new = node_hash(new, other)
        first, here, last = first >> 1, here >> 1, last >> 1
    if last:
        raise _not_consistent(*sizes, "the proof is too short")
    return old, new


def _is_subtree(begin: int, end: int) -> bool:
    """Whether some tree has a node over just these leaves, or a whole tree at its right edge."""
    if not 0 <= begin < end <= MAX_SIZE:
        return False
    width = 1 << (end - begin - 1).bit_length()
    return begin % width == 0


def _hashes(proof: Sequence[bytes], otherwise: Untrusted) -> Iterator[bytes]:
    if len(proof) > MAX_PROOF or any(len(node) != HASH_SIZE for node in proof):
        raise otherwise
    return iter(proof)


def _not_included(what: str, why: str) -> Untrusted:
    return Untrusted("log-inclusion", f"cannot accept {what}: {why}")


def _not_consistent(old: int, new: int, why: str) -> Untrusted:
    return Untrusted(
        "log-consistency",
        f"cannot accept that a log of {old} entries grew to {new}: {why}",
        old=old,
        new=new,
    )
