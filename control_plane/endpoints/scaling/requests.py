"""The bodies on replicas, where they say something else than the command that they become."""

import msgspec

from schemas.scaling import LoadMeasurement
from schemas.texts import Reason


class ReportLoadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    measurement: LoadMeasurement


class WakeDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
