"""Python client of Rollbook, which rolls out models gradually and records why.

`Rollbook` talks synchronously, `AsyncRollbook` asynchronously; both have the same methods.
"""

from rollbook._async.client import AsyncRollbook
from rollbook._async.handles import AsyncEndpointHandle, AsyncRolloutHandle
from rollbook._sync.client import Rollbook
from rollbook._sync.handles import EndpointHandle, RolloutHandle
from rollbook.errors import (
    Conflict,
    Denied,
    NotFound,
    Problem,
    ProblemDocument,
    RollbookError,
    TookTooLong,
    Unreachable,
)
from rollbook.resources import (
    AnswerTokensGate,
    BetweenTokensGate,
    CallerErrorRateGate,
    Canary,
    CanaryStep,
    CapturePolicy,
    ErrorRateGate,
    FailoverPolicy,
    FirstTokenGate,
    LatencyGate,
    LossGate,
    QualityGate,
    RatingGate,
    ScalingPolicy,
    TruncationGate,
)

__all__ = [
    "AnswerTokensGate",
    "AsyncEndpointHandle",
    "AsyncRollbook",
    "AsyncRolloutHandle",
    "BetweenTokensGate",
    "CallerErrorRateGate",
    "Canary",
    "CanaryStep",
    "CapturePolicy",
    "Conflict",
    "Denied",
    "EndpointHandle",
    "ErrorRateGate",
    "FailoverPolicy",
    "FirstTokenGate",
    "LatencyGate",
    "LossGate",
    "NotFound",
    "Problem",
    "ProblemDocument",
    "QualityGate",
    "RatingGate",
    "Rollbook",
    "RollbookError",
    "RolloutHandle",
    "ScalingPolicy",
    "TookTooLong",
    "TruncationGate",
    "Unreachable",
]
