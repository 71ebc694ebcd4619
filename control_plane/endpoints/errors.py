"""Why a command on an endpoint is not carried out."""

from control_plane.errors import Conflict, Invalid, Refused, Unknown


class EndpointNotFoundError(Unknown):
    """No endpoint has this name or id."""

    code = "endpoint-not-found"


class DeploymentNotFoundError(Unknown):
    """The endpoint has no such deployment."""

    code = "deployment-not-found"


class VersionNotFoundError(Unknown):
    """No version has this name."""

    code = "version-not-found"


class InstanceNotFoundError(Unknown):
    """No instance has this id."""

    code = "instance-not-found"


class EndpointNameTakenError(Conflict):
    """Another endpoint has this name."""

    code = "endpoint-name-taken"


class StaleVersionError(Conflict):
    """The resource has changed since the caller read it."""

    code = "stale-version"


class InvalidNameError(Invalid):
    """The name cannot be used in a path or a host name."""

    code = "invalid-name"


class InvalidReplicasError(Invalid):
    """A deployment cannot have this number of instances."""

    code = "invalid-replicas"


class InvalidWeightsError(Invalid):
    """The weights are not a valid split of the traffic."""

    code = "invalid-weights"


class InvalidCapturePolicyError(Invalid):
    """The capture policy contradicts itself, names a tensor that no version has, or exceeds a limit."""

    code = "invalid-capture-policy"


class InvalidScalingPolicyError(Invalid):
    """The scaling policy contradicts itself, or has no target to follow."""

    code = "invalid-scaling-policy"


class InvalidFailoverPolicyError(Invalid):
    """The failover policy names something that the endpoint does not have, or a limit that no gateway can keep."""

    code = "invalid-failover-policy"


class InvalidRegionsError(Invalid):
    """The regions are not valid names, are repeated, or are too many."""

    code = "invalid-regions"


class InvalidShadowError(Invalid):
    """This share of the requests cannot be copied."""

    code = "invalid-shadow"


class InvalidAssignmentKeyError(Invalid):
    """Callers cannot be distinguished by this key."""

    code = "invalid-assignment-key"


class InvalidConfirmationError(Invalid):
    """The endpoint never had this epoch."""

    code = "unknown-epoch"


class EndpointOwnedByRolloutError(Refused):
    """A rollout owns the endpoint's traffic."""

    code = "endpoint-owned-by-rollout"


class DeploymentTakesTrafficError(Refused):
    """The deployment serves traffic, so it cannot be removed."""

    code = "deployment-takes-traffic"


class ParentNotDeployedError(Refused):
    """An adapter can only be deployed to an endpoint that has its parent model."""

    code = "parent-not-deployed"


class DeploymentHasAdaptersError(Refused):
    """The deployment's engines also run adapters, so it cannot be removed."""

    code = "deployment-has-adapters"


class DeploymentIsBackupError(Refused):
    """The deployment is the endpoint's backup, so it cannot be removed."""

    code = "deployment-is-backup"


class DeploymentIsShadowError(Refused):
    """The deployment is the endpoint's shadow, so it cannot be removed."""

    code = "deployment-is-shadow"


class DeploymentNotReadyError(Refused):
    """A deployment that would get traffic has no ready instance."""

    code = "deployment-not-ready"


class EarlierTrafficGoneError(Refused):
    """The earlier split cannot be restored."""

    code = "earlier-traffic-gone"


class InstanceChangedError(Refused):
    """The instance id belongs to another process or host."""

    code = "instance-changed"


STALE = (EndpointNotFoundError, StaleVersionError)
"""The endpoint is not there, or is not as the caller has seen it."""

UNKNOWN_DEPLOYMENT = (*STALE, DeploymentNotFoundError)
"""The same, or it has no such deployment."""

DEPLOYING = (VersionNotFoundError, InvalidReplicasError, InvalidRegionsError, ParentNotDeployedError)
"""Why a version cannot be deployed."""
