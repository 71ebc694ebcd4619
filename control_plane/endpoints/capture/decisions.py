"""What may be kept of an endpoint's predictions: which policies make sense for what it serves."""

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.capture.commands import ChangeCapturePolicy
from schemas.events.endpoints import CapturePolicy, CapturePolicyChanged

MAX_VALUES = 1_000_000
MAX_BYTES = 4 * 1024 * 1024
MAX_RETENTION_DAYS = 3_650


def change_capture_policy(state: Endpoint, command: ChangeCapturePolicy) -> list[msgspec.Struct]:
    """Replace the policy; the same one again changes nothing."""
    policy = command.policy
    _require_unique_names(policy)
    _require_within_limits(policy)
    _require_hashed_names_kept(policy)
    _require_served_names(state, policy)
    if policy == state.capture.policy:
        return []
    return [CapturePolicyChanged(policy=policy, reason=command.reason)]


def _require_unique_names(policy: CapturePolicy) -> None:
    for field in ("inputs", "outputs", "hashed"):
        names: tuple[str, ...] = getattr(policy, field) or ()
        if len(set(names)) < len(names) or not all(names):
            raise errors.InvalidCapturePolicyError(
                "a name is empty or repeated", field=f"policy.{field}", remedy="name each tensor once"
            )


def _require_within_limits(policy: CapturePolicy) -> None:
    bounds = {"max_values": MAX_VALUES, "max_bytes": MAX_BYTES, "retention_days": MAX_RETENTION_DAYS}
    for field, limit in bounds.items():
        value = getattr(policy, field)
        if value > limit:
            raise errors.InvalidCapturePolicyError(
                f"{field} cannot be {value}", field=f"policy.{field}", remedy=f"give at most {limit}"
            )


def _require_hashed_names_kept(policy: CapturePolicy) -> None:
    if policy.inputs is None or policy.outputs is None:
        return
    lost = [name for name in policy.hashed if name not in (*policy.inputs, *policy.outputs)]
    if lost:
        raise errors.InvalidCapturePolicyError(
            f"{lost[0]!r} is listed in hashed, but neither inputs nor outputs keep it",
            field="policy.hashed",
            remedy="add it to inputs or outputs, or remove it from hashed",
        )


def _require_served_names(state: Endpoint, policy: CapturePolicy) -> None:
    """A misspelt name would let through in plain what was to be hashed, and is never what was meant."""
    signatures = [deployment.signature for deployment in state.deployments.present]
    inputs = {tensor.name for signature in signatures for tensor in signature.inputs}
    outputs = {tensor.name for signature in signatures for tensor in signature.outputs}
    if not inputs or not outputs:
        return
    known = {"inputs": inputs, "outputs": outputs, "hashed": inputs | outputs}
    for field, served in known.items():
        for name in getattr(policy, field) or ():
            if name not in served:
                raise errors.InvalidCapturePolicyError(
                    f"no version on endpoint {state.name} has {name!r}",
                    field=f"policy.{field}",
                    remedy=f"its versions have {', '.join(sorted(served))}",
                )
