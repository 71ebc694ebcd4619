"""Identities that every deployable shares: stream ids, prediction ids and how they are read."""

import re
from enum import StrEnum
from typing import NewType
from uuid import UUID

StreamId = NewType("StreamId", str)
EventId = NewType("EventId", str)
PredictionId = NewType("PredictionId", str)
Position = NewType("Position", int)

DEFAULT_WORKSPACE = "default"
WORKSPACE_HEADER = "Rollbook-Workspace"
"""The workspace in which an admin or a service of the home workspace acts, in requests to the API."""

_UUID7_RANDOM_BITS = 74
_PREDICTION_ID = re.compile(
    r"(?P<started_at_ms>[0-9]{13})-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
)
_STREAM_ID = re.compile(r"(?P<kind>[a-z]+)-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Kind(StrEnum):
    """What an opaque id names; the prefix of the id."""

    MODEL = "model"
    VERSION = "version"
    ENDPOINT = "endpoint"
    DEPLOYMENT = "deployment"
    INSTANCE = "instance"
    ROLLOUT = "rollout"
    PRINCIPAL = "principal"
    TOKEN = "token"  # noqa: S105  a kind of id
    KEYRING = "keyring"
    BATCH = "batch"
    MONITOR = "monitor"
    WORKSPACE = "workspace"
    SIGNATURE = "signature"
    GOLDEN = "golden"
    COMMAND = "command"
    EVENT = "event"


_KINDS = frozenset(Kind)


def uuid7(*, now_ms: int, randomness: int) -> UUID:
    """Build a UUID of version 7 (RFC 9562 §5.7) from a time in ms and at least 74 random bits."""
    bits = randomness & ((1 << _UUID7_RANDOM_BITS) - 1)
    rand_a, rand_b = bits >> 62, bits & ((1 << 62) - 1)
    value = (now_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    return UUID(int=value)


def new_id(kind: Kind, *, now_ms: int, randomness: int) -> str:
    """Return an opaque id, `<kind>-<uuid7>`; ids of one kind sort by the time they were made."""
    return f"{kind}-{uuid7(now_ms=now_ms, randomness=randomness)}"


def kind_of(identifier: str) -> Kind | None:
    """Return the kind that an id names, or None when the text is not an id of ours."""
    match = _STREAM_ID.fullmatch(identifier)
    return Kind(match["kind"]) if match and match["kind"] in _KINDS else None


def uuid_time_ms(identifier: str) -> int | None:
    """Return when an id was made (Unix ms), or None when the text is not an id of ours."""
    return UUID(identifier.partition("-")[2]).int >> 80 if kind_of(identifier) else None


def prediction_started_at_ms(prediction_id: str) -> int | None:
    """Return the gateway's start time (Unix ms) inside a prediction id, or None when it is not a prediction id."""
    match = _PREDICTION_ID.fullmatch(prediction_id)
    return int(match["started_at_ms"]) if match else None
