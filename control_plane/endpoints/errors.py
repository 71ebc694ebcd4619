"""Why a command on an endpoint is not carried out."""

from control_plane.errors import Conflict, Invalid, Refused, Unknown


class EndpointNotFoundError(Unknown):
    """No endpoint has this name or id."""

    code = "endpoint-not-found"


class DeploymentNotFoundError(Unknown):
    """The endpoint has no such deployment."""

    code = "deployment-not-found"


class VersionNotFoundError(Unknown):
    """No version is called this."""

    code = "version-not-found"


class InstanceNotFoundError(Unknown):
    """No instance has this id."""

    code = "instance-not-found"


class EndpointNameTakenError(Conflict):
    """Another endpoint has this name."""

    code = "endpoint-name-taken"


class StaleVersionError(Conflict):
    """The caller has seen an older state than the one that it wants to change."""

    code = "stale-version"


class InvalidNameError(Invalid):
    """A name that does not work in a path or a host."""

    code = "invalid-name"


class InvalidReplicasError(Invalid):
    """No number of instances that a deployment may have."""

    code = "invalid-replicas"


class InvalidWeightsError(Invalid):
    """The weights do not split the traffic."""

    code = "invalid-weights"


class InvalidCapturePolicyError(Invalid):
    """The capture policy contradicts itself, names what no version has, or asks for more than there is room for."""

    code = "invalid-capture-policy"


class InvalidScalingPolicyError(Invalid):
    """The scaling policy contradicts itself or follows nothing."""

    code = "invalid-scaling-policy"


class InvalidFailoverPolicyError(Invalid):
    """The failover policy names what the endpoint has not, or a bound that no gateway can keep."""

    code = "invalid-failover-policy"


class InvalidRegionsError(Invalid):
    """The regions are not names, are repeated or are too many."""

    code = "invalid-regions"


class InvalidShadowError(Invalid):
    """The share of requests to copy is not possible."""

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
    """A deployment that serves cannot be removed."""

    code = "deployment-takes-traffic"


class ParentNotDeployedError(Refused):
    """An adapter is to be deployed where its parent is not."""

    code = "parent-not-deployed"


class DeploymentHasAdaptersError(Refused):
    """Adapters run inside the engines of the deployment."""

    code = "deployment-has-adapters"


class DeploymentIsBackupError(Refused):
    """The deployment that answers in place of others cannot be removed."""

    code = "deployment-is-backup"


class DeploymentIsShadowError(Refused):
    """A deployment that gets copies of requests cannot be removed."""

    code = "deployment-is-shadow"


class DeploymentNotReadyError(Refused):
    """A deployment without a ready instance gets no traffic."""

    code = "deployment-not-ready"


class EarlierTrafficGoneError(Refused):
    """The earlier split cannot be restored."""

    code = "earlier-traffic-gone"


class InstanceChangedError(Refused):
    """An instance id belongs to one process on one host, permanently."""

    code = "instance-changed"


STALE = (EndpointNotFoundError, StaleVersionError)
"""The endpoint is not there, or is not as the caller has seen it."""

UNKNOWN_DEPLOYMENT = (*STALE, DeploymentNotFoundError)
"""The same, or it has no such deployment."""

DEPLOYING = (VersionNotFoundError, InvalidReplicasError, InvalidRegionsError, ParentNotDeployedError)
"""Why a version cannot be deployed."""
