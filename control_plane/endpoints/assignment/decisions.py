"""The key that distinguishes an endpoint's callers, so that each keeps its version."""

import re

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.assignment.commands import ChooseAssignmentKey
from schemas.events.endpoints import DEFAULT_KEY_HEADER, AssignmentKey, AssignmentKeyChosen

_HEADER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NOT_OF_A_CALLER = re.compile(r"x-rollbook-.*|x-envoy-.*|x-prediction-id|authorization|host|content-.*|te|connection")
_CLAIMS = ("sub",)


def choose_assignment_key(state: Endpoint, command: ChooseAssignmentKey) -> list[msgspec.Struct]:
    """Assign callers by another key; callers are dealt again, as their keys are others."""
    key = command.key
    if (key.header is None) == (key.claim is None):
        raise errors.InvalidAssignmentKeyError(
            "a key is either a header or a claim", field="key", remedy="name one of header and claim"
        )
    if key.claim is not None and key.claim not in _CLAIMS:
        raise errors.InvalidAssignmentKeyError(
            f"inference tokens have no claim {key.claim!r} that distinguishes callers",
            field="key.claim",
            remedy=f"use {', '.join(_CLAIMS)}, or a header",
        )
    if key.header is not None:
        key = AssignmentKey(header=_header(key.header))
    return [] if key == state.assigned_by else [AssignmentKeyChosen(key=key, reason=command.reason)]


def _header(name: str) -> str:
    lower = name.lower()
    if lower != DEFAULT_KEY_HEADER and (not _HEADER.fullmatch(lower) or _NOT_OF_A_CALLER.fullmatch(lower)):
        raise errors.InvalidAssignmentKeyError(
            f"callers cannot be distinguished by the header {name!r}",
            field="key.header",
            remedy=f"use {DEFAULT_KEY_HEADER}, or a header of your own, such as x-user-id",
        )
    return lower
