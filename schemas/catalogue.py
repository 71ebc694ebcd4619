"""The catalogue of event types: the one table between a stored type name and its struct."""

import msgspec

from schemas.events import access, batches, endpoints, first_versions, registry, rollouts
from schemas.upcasters import UPCASTERS, newest

EVENT_TYPES: dict[str, type[msgspec.Struct]] = {
    "access.InferenceTokenRevoked.v1": access.InferenceTokenRevoked,
    "access.InferenceTokensRevoked.v1": access.InferenceTokensRevoked,
    "access.PrincipalErased.v1": access.PrincipalErased,
    "access.PrincipalRegistered.v1": access.PrincipalRegistered,
    "access.RoleGranted.v1": first_versions.RoleGranted,
    "access.RoleGranted.v2": access.RoleGranted,
    "access.SigningKeyRotated.v1": access.SigningKeyRotated,
    "access.TokenIssued.v1": access.TokenIssued,
    "access.TokenRevoked.v1": access.TokenRevoked,
    "batches.BatchCancellationRequested.v1": batches.BatchCancellationRequested,
    "batches.BatchCancelled.v1": batches.BatchCancelled,
    "batches.BatchCompleted.v1": batches.BatchCompleted,
    "batches.BatchCreated.v1": batches.BatchCreated,
    "batches.BatchExpired.v1": batches.BatchExpired,
    "batches.BatchFailed.v1": batches.BatchFailed,
    "batches.BatchStarted.v1": batches.BatchStarted,
    "endpoints.AssignmentKeyChosen.v1": endpoints.AssignmentKeyChosen,
    "endpoints.CapturePolicyChanged.v1": endpoints.CapturePolicyChanged,
    "endpoints.DeploymentAdded.v1": endpoints.DeploymentAdded,
    "endpoints.DeploymentPlaced.v1": endpoints.DeploymentPlaced,
    "endpoints.DeploymentRemoved.v1": endpoints.DeploymentRemoved,
    "endpoints.EndpointCreated.v1": endpoints.EndpointCreated,
    "endpoints.EndpointReleased.v1": endpoints.EndpointReleased,
    "endpoints.EndpointReserved.v1": endpoints.EndpointReserved,
    "endpoints.FailoverEnded.v1": endpoints.FailoverEnded,
    "endpoints.FailoverPolicySet.v1": endpoints.FailoverPolicySet,
    "endpoints.FailoverStarted.v1": endpoints.FailoverStarted,
    "endpoints.InstanceAnnounced.v1": endpoints.InstanceAnnounced,
    "endpoints.InstanceFailed.v1": endpoints.InstanceFailed,
    "endpoints.InstanceFoundUnhealthy.v1": endpoints.InstanceFoundUnhealthy,
    "endpoints.InstanceWithdrawn.v1": endpoints.InstanceWithdrawn,
    "endpoints.ReplicasChanged.v1": endpoints.ReplicasChanged,
    "endpoints.ScalingPolicySet.v1": endpoints.ScalingPolicySet,
    "endpoints.ShadowRemoved.v1": endpoints.ShadowRemoved,
    "endpoints.ShadowSet.v1": endpoints.ShadowSet,
    "endpoints.TrafficApplied.v1": endpoints.TrafficApplied,
    "endpoints.TrafficShifted.v1": endpoints.TrafficShifted,
    "registry.ModelRegistered.v1": registry.ModelRegistered,
    "registry.ModelVersionRegistered.v1": registry.ModelVersionRegistered,
    "registry.VersionAliasRemoved.v1": registry.VersionAliasRemoved,
    "registry.VersionAliasSet.v1": registry.VersionAliasSet,
    "registry.VersionNumberAssigned.v1": registry.VersionNumberAssigned,
    "rollouts.CandidateWarmed.v1": rollouts.CandidateWarmed,
    "rollouts.RolloutAborted.v1": rollouts.RolloutAborted,
    "rollouts.RolloutCompleted.v1": rollouts.RolloutCompleted,
    "rollouts.RolloutPaused.v1": rollouts.RolloutPaused,
    "rollouts.RolloutPromoted.v1": rollouts.RolloutPromoted,
    "rollouts.RolloutResumed.v1": rollouts.RolloutResumed,
    "rollouts.RolloutStarted.v1": rollouts.RolloutStarted,
    "rollouts.StepJudged.v1": rollouts.StepJudged,
    "rollouts.StepStarted.v1": rollouts.StepStarted,
}
"""Fixed names, `feature.Event.vN`: never the Python path, never given twice, forever."""

TYPE_NAMES: dict[type[msgspec.Struct], str] = {
    struct: name for name, struct in EVENT_TYPES.items() if struct not in UPCASTERS
}
"""What is written: the newest version of each event."""


class NotUnderstood(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in the place of an event that only a newer release can read: an unknown type, or an unknown form of it.

    No reader has a case for it, so all of them pass over it as over an event that is none of their business.
    """

    type_name: str
    detail: str


def decode_data(type_name: str, data: msgspec.Raw) -> msgspec.Struct | None:
    """Read the data of an event in its newest version, or return None where the type is unknown.

    Raises:
        msgspec.ValidationError: the data does not fit its type.
    """
    struct = EVENT_TYPES.get(type_name)
    return None if struct is None else newest(msgspec.json.decode(data, type=struct))


def read_data(type_name: str, data: msgspec.Raw) -> msgspec.Struct:
    """Read the data of an event of the log, whatever release wrote it; never refuses.

    The store takes no event that its own release can't read, so data that does not fit its type here, such as a gate
    of an unknown kind, is a newer release's.
    """
    try:
        event = decode_data(type_name, data)
    except msgspec.ValidationError as error:
        return NotUnderstood(type_name=type_name, detail=str(error))
    return NotUnderstood(type_name=type_name, detail="the type is unknown here") if event is None else event
