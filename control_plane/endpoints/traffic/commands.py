"""What can be asked of an endpoint's traffic."""

import msgspec

from schemas.texts import Label


class SetTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Split the traffic; `weights` are (deployment id, percent) and sum to 100.

    A rollout acts on the endpoint that it owns, and only it.
    """

    weights: tuple[tuple[str, float], ...]
    reason: str
    rollout_id: str | None = None
    step: int | None = None


class RestoreTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Go back to the split of an earlier epoch; to the one before the current, where none is named."""

    epoch: int | None
    reason: str


class ConfirmTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway of a region serves the epoch."""

    epoch: int
    region: Label
    gateway_id: Label
    applied_at: str


class ReserveEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    rollout_id: str


class ReleaseEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    rollout_id: str
