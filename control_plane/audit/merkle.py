"""The RFC 6962 Merkle tree over the log: leaves, roots, proofs of inclusion and of consistency.

The leaf data of event `i` (dense, from 0, in position order; gaps in positions leave no trace) is a fixed record:

    bytes 0–7    i, unsigned, big-endian
    bytes 8–39   SHA-256 of the event id as UTF-8
    bytes 40–71  SHA-256 of the canonical bytes

Its hash is SHA-256(0x00 ‖ record), that of an inner node SHA-256(0x01 ‖ left ‖ right), that of the empty tree
SHA-256 of nothing, as RFC 6962 §2.1 says.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_record(index: int, event_id: str, canonical: bytes) -> bytes:
    """Return the leaf data of one event."""
    return index.to_bytes(8, "big") + sha256(event_id.encode()).digest() + sha256(canonical).digest()


def leaf_hash(record: bytes) -> bytes:
    return sha256(_LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


class CompactTree:
    """The roots of the perfect subtrees of a growing tree, largest first: O(log n) memory, O(log n) for a root."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash. Subtrees of the same size merge, as a carry does in binary addition."""
        size = self.size
        self.size += 1
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)

    def append_event(self, event_id: str, canonical: bytes) -> None:
        self.append(leaf_hash(leaf_record(self.size, event_id, canonical)))

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = CompactTree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of a leaf (RFC 6962 §2.1.1), nearest sibling first.

    Raises:
        IndexError: the tree has no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the first `old_size` leaves are the tree of that size (RFC 6962 §2.1.2).

    Raises:
        IndexError: the tree was never of that size, or that size is 0, which needs no proof.
    """
    if not 0 < old_size <= len(leaves):
        raise IndexError(f"size {old_size} of {len(leaves)}")
    return _subproof(leaves, old_size, is_complete=True)


def is_included(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def is_consistent(*, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Check that a tree only grew (RFC 9162 §2.1.4.2); every tree grew from the empty one."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size in (0, new_size):
        return not proof and old_root == (EMPTY_ROOT if old_size == 0 else new_root)
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    return _climb(path, node, last) == (old_root, new_root)


def _climb(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes] | None:
    """Compute the old and the new root from a proof, None when its length does not fit the sizes."""
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _subproof(leaves: Sequence[bytes], old_size: int, *, is_complete: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if is_complete else [root_of(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, is_complete=is_complete), root_of(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, is_complete=False), root_of(leaves[:split])]


def _split(size: int) -> int:
    """Return the largest power of two that is smaller than a size of at least two."""
    return 1 << ((size - 1).bit_length() - 1)
