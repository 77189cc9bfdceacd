"""The hashes of a Merkle tree (RFC 6962 §2.1), and compact ranges of its nodes.

A compact range is the shortest list of complete subtrees that covers the leaves from `begin` to
`end`: all that has to be kept of a tree in order to append to it and to know its root.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from allod.errors import InvalidInput

HASH_SIZE: Final = 32
MAX_SIZE: Final = 2**63 - 1  #: of a tree
EMPTY_ROOT: Final = sha256(b"").digest()

_LEAF: Final = b"\0"
_NODE: Final = b"\1"


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(_NODE + left + right).digest()


def fold(hashes: Iterable[bytes]) -> bytes:
    """The hash over neighbouring subtrees, the largest first; of nothing, the empty root."""
    backwards = reversed(tuple(hashes))
    root = next(backwards, EMPTY_ROOT)
    for left in backwards:
        root = node_hash(left, root)
    return root


def cover(begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """The (level, index) of the complete subtrees that cover a range of leaves, left to right."""
    nodes = []
    while begin < end:
        alignment = (begin & -begin).bit_length() - 1 if begin else end.bit_length()
        level = min(alignment, (end - begin).bit_length() - 1)
        nodes.append((level, begin >> level))
        begin += 1 << level
    return tuple(nodes)


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The nodes that cover the leaves `begin` to `end` (which is not in it), left to right."""

    begin: int = 0
    end: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end <= MAX_SIZE:
            raise InvalidInput(
                "bad-log-range", f"cannot use the leaves {self.begin} to {self.end}: no such range"
            )
        if len(self.hashes) != len(cover(self.begin, self.end)) or any(
            len(node) != HASH_SIZE for node in self.hashes
        ):
            raise InvalidInput(
                "bad-log-range",
                f"cannot use {len(self.hashes)} hashes for the leaves {self.begin} to {self.end}",
            )

    def extended(self, leaves: Iterable[bytes]) -> CompactRange:
        """This range and the leaves (their hashes) that follow it."""
        begin, end, hashes = self.begin, self.end, list(self.hashes)
        for leaf in leaves:
            node, index, width = leaf, end, 1
            while index & 1 and (index - 1) * width >= begin:
                node = sha256(_NODE + hashes.pop() + node).digest()
                index, width = index >> 1, width << 1
            hashes.append(node)
            end += 1
        return CompactRange(begin, end, tuple(hashes))

    def merged(self, following: CompactRange) -> CompactRange:
        """This range and the one that begins where it ends.

        Raises:
            InvalidInput: `bad-log-range`: they are not neighbours.
        """
        if following.begin != self.end:
            raise InvalidInput(
                "bad-log-range",
                f"cannot join ranges: one ends at {self.end}, the other begins at "
                f"{following.begin}",
            )
        hashes = list(self.hashes)
        for (level, index), found in zip(
            cover(following.begin, following.end), following.hashes, strict=True
        ):
            node, place, height = found, index, level
            while place & 1 and (place - 1) << height >= self.begin:
                node = node_hash(hashes.pop(), node)
                place, height = place >> 1, height + 1
            hashes.append(node)
        return CompactRange(self.begin, following.end, tuple(hashes))

    def root(self) -> bytes:
        """The root of the tree of these leaves.

        Raises:
            InvalidInput: `bad-log-range`: it does not begin at the first leaf.
        """
        if self.begin:
            raise InvalidInput(
                "bad-log-range", f"cannot know a root from leaf {self.begin} on: it needs them all"
            )
        return fold(self.hashes)


def range_over(leaves: Iterable[bytes], begin: int = 0) -> CompactRange:
    """The compact range of leaves (their hashes) that begin at index `begin`."""
    return CompactRange(begin, begin).extended(leaves)
