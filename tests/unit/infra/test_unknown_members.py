import msgspec
import pytest

from infra.unknown_members import unknown_member


class Leaf(msgspec.Struct, frozen=True):
    size: int


class Red(msgspec.Struct, frozen=True, tag_field="kind", tag="red"):
    leaf: Leaf | None = None


class Blue(msgspec.Struct, frozen=True, tag_field="kind", tag="blue"):
    depth: int = 0


class Tree(msgspec.Struct, frozen=True):
    leaves: tuple[Leaf, ...] = ()
    by_name: dict[str, Leaf] = {}
    colour: Red | Blue | None = None
    maybe: Red | None = None
    pair: tuple[Leaf, int] | None = None
    renamed: int = msgspec.field(default=0, name="other")


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{}", None),
        (b'{"leaves": [{"size": 1}], "by_name": {"any": {"size": 1}}, "colour": {"kind": "blue", "depth": 1}}', None),
        (b'{"colour": null, "other": 1}', None),
        (b'{"shape": 1}', "shape"),
        (b'{"maybe": {"tint": 2}}', "maybe.tint"),
        (b'{"pair": [{"size": 1, "tint": 2}, 3]}', "pair[0].tint"),
        (b'{"renamed": 1}', "renamed"),
        (b'{"leaves": [{"size": 1}, {"size": 1, "tint": 2}]}', "leaves[1].tint"),
        (b'{"by_name": {"any": {"size": 1, "tint": 2}}}', "by_name.any.tint"),
        (b'{"colour": {"kind": "red", "depth": 1}}', "colour.depth"),
        (b'{"colour": {"kind": "red", "leaf": {"size": 1, "tint": 2}}}', "colour.leaf.tint"),
    ],
)
def test_a_member_that_the_type_does_not_know_is_found_where_it_stands(body: bytes, path: str | None) -> None:
    msgspec.json.decode(body, type=Tree)

    assert unknown_member(body, Tree) == path


def test_a_closed_struct_is_left_to_the_decoder() -> None:
    assert unknown_member(b'{"size": 1, "tint": 2}', Closed) is None
