"""What can be asked about replicas: people choose a policy, programs report load."""

import msgspec

from schemas.scaling import LoadMeasurement, ScalingPolicy
from schemas.texts import Reason


class SetScalingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let replicas follow this policy; without one (null) each deployment gets the replicas that it was added with."""

    policy: ScalingPolicy | None
    reason: Reason


class ReportLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment must do."""

    deployment_id: str
    measurement: LoadMeasurement


class WakeDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A request arrives for a sleeping deployment."""

    deployment_id: str
    reason: str
