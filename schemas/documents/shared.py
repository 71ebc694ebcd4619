"""Structs that have a base in common: what the one says of it, for making the other."""

from typing import Any

import msgspec


def shared(value: msgspec.Struct, base: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the members of a struct that its base declares, by name."""
    return {name: getattr(value, name) for name in base.__struct_fields__}
