"""Damages valid messages: bytes that flip, go or come, and JSON with other types, sizes and depths."""

import json
import random
from collections.abc import Callable
from typing import Any

_DEPTH = 2_000
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    1e308,
    -0.0,
    "",
    "x" * 70_000,
    "\ud800",
    "\0",
    "٣",
    "²",
    "9" * 5_000,
    "0001-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999-23:59",
    "2026-01-02",
    [],
    {},
    [[]],
    {"": {}},
)
_RAW = (b"NaN", b"Infinity", b"1e999", b"[" * _DEPTH, b'{"a":' * _DEPTH, b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b"//")


def mutated(sample: bytes, chance: random.Random) -> bytes:
    """Return a sample with one to three damages."""
    damaged = sample
    for _ in range(chance.randint(1, 3)):
        damaged = chance.choice(_DAMAGES)(damaged, chance)
    return damaged


def _flip(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\x00"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _without_a_part(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.randint(1, 16) :]


def _with_a_part_twice(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at : at + chance.randint(1, 64)] + data[at:]


def _with_odd_bytes(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_RAW) + data[at + chance.randint(0, 4) :]


def _with_an_extreme_number(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return (
        data[:at] + chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * chance.choice((1, 2, 4, 8)) + data[at + 8 :]
    )


def _of_other_json(data: bytes, chance: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, chance)
    changed = json.dumps(_changed(value, chance), ensure_ascii=chance.random() < 0.5)
    return changed.encode("utf-8", "surrogatepass")


def _changed(value: Any, chance: random.Random) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.15:
            return {other: each for other, each in value.items() if other != name}
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    return chance.choice(_ODD)


def _with_a_member_again(data: bytes, chance: random.Random) -> bytes:
    if not data.startswith(b"{") or data.find(b'":') < 0:
        return _with_a_part_twice(data, chance)
    name = data[1 : data.index(b'":') + 2]
    return b"{" + name + json.dumps(chance.choice(_ODD[:12])).encode() + b"," + data[1:]


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _cut,
    _without_a_part,
    _with_a_part_twice,
    _with_odd_bytes,
    _with_an_extreme_number,
    _of_other_json,
    _of_other_json,
    _with_a_member_again,
)
