from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.audit.merkle import (
    EMPTY_ROOT,
    CompactTree,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    leaf_record,
    node_hash,
    root_of,
)

# The inputs and roots that implementations of RFC 6962 share as test vectors.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(data) for data in INPUTS]


def test_the_roots_are_those_of_the_shared_vectors() -> None:
    tree = CompactTree()
    assert tree.root() == EMPTY_ROOT == sha256(b"").digest()

    for size, (leaf, expected) in enumerate(zip(LEAVES, ROOTS, strict=True), start=1):
        tree.append(leaf)
        assert (tree.size, tree.root().hex()) == (size, expected)


def test_the_paths_are_those_of_the_shared_vectors() -> None:
    assert [part.hex() for part in inclusion_proof(LEAVES, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [part.hex() for part in consistency_proof(LEAVES, 6)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_a_leaf_is_a_fixed_record() -> None:
    record = leaf_record(258, "event-1", b"{}")

    assert record == bytes([0, 0, 0, 0, 0, 0, 1, 2]) + sha256(b"event-1").digest() + sha256(b"{}").digest()
    assert leaf_hash(record) == sha256(b"\x00" + record).digest()


def _leaves(size: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(size)]


def _recursive_root(leaves: list[bytes]) -> bytes:
    """Follow the definition of RFC 6962 word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_recursive_root(leaves[:split]), _recursive_root(leaves[split:]))


@given(size=st.integers(min_value=1, max_value=200))
def test_the_growing_tree_has_the_root_of_the_definition(size: int) -> None:
    assert root_of(_leaves(size)) == _recursive_root(_leaves(size))


@given(size=st.integers(min_value=1, max_value=130), data=st.data())
def test_a_leaf_is_included_at_its_place_and_nowhere_else(size: int, data: st.DataObject) -> None:
    leaves = _leaves(size)
    index, other = (data.draw(st.integers(min_value=0, max_value=size - 1)) for _ in range(2))
    proof, root = inclusion_proof(leaves, index), root_of(leaves)

    assert is_included(leaves[index], index=index, size=size, proof=proof, root=root)
    assert is_included(leaves[other], index=index, size=size, proof=proof, root=root) == (other == index)
    assert not is_included(leaves[index], index=index, size=size, proof=[*proof, root], root=root)
    assert not is_included(leaves[index], index=size, size=size, proof=proof, root=root)


@given(new_size=st.integers(min_value=1, max_value=130), data=st.data())
def test_a_tree_that_only_grew_is_consistent_and_one_that_was_changed_is_not(
    new_size: int, data: st.DataObject
) -> None:
    leaves = _leaves(new_size)
    old_size = data.draw(st.integers(min_value=1, max_value=new_size))
    changed = data.draw(st.integers(min_value=0, max_value=old_size - 1))
    old_root, proof = root_of(leaves[:old_size]), consistency_proof(leaves, old_size)
    forged = [*leaves[:changed], leaf_hash(b"forged"), *leaves[changed + 1 :]]

    def consistent(new_root: bytes, proof: list[bytes]) -> bool:
        return is_consistent(old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root, proof=proof)

    assert consistent(root_of(leaves), proof)
    assert not consistent(root_of(forged), consistency_proof(forged, old_size))
    assert not consistent(root_of(leaves), [*proof, old_root])


def test_every_tree_grew_from_the_empty_one() -> None:
    assert is_consistent(old_size=0, old_root=EMPTY_ROOT, new_size=3, new_root=root_of(_leaves(3)), proof=[])
    assert not is_consistent(old_size=0, old_root=b"x", new_size=3, new_root=root_of(_leaves(3)), proof=[])
    assert not is_consistent(old_size=4, old_root=EMPTY_ROOT, new_size=3, new_root=root_of(_leaves(3)), proof=[])


def test_what_was_never_there_has_no_proof() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(_leaves(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(_leaves(3), 0)
