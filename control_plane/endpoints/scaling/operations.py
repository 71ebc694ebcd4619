"""The operations on replicas: the policy that people choose, its explanation, and the reports of programs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from control_plane.endpoints import errors
from control_plane.endpoints.resources import EndpointResource
from control_plane.endpoints.scaling import handlers
from control_plane.endpoints.scaling.commands import SetScalingPolicy
from control_plane.endpoints.scaling.measurements import LastMeasurements
from control_plane.endpoints.scaling.requests import ReportLoadRequest, WakeDeploymentRequest
from control_plane.endpoints.scaling.resources import EndpointScaling, ScalingAnswer
from infra.clock import Clock
from infra.operations import AUTOSCALER, GATEWAY, OPERATORS, READERS, SERVICES, Caller, Command, Operation


def operations(clock: Clock) -> list[Operation]:
    """Declare them."""
    last = LastMeasurements()
    return [*_policy_operations(last), *_report_operations(last, clock)]


def _policy_operations(last: LastMeasurements) -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/scaling-policy",
            handler=handlers.set_scaling_policy,
            sdk="endpoints.set_scaling_policy",
            asks=SetScalingPolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the policy by which replicas are scaled, or remove it",
            errors=(*errors.STALE, errors.InvalidScalingPolicyError),
        ),
        Command(
            method="GET",
            path="/v1/endpoints/{endpoint}/scaling",
            handler=partial(handlers.explain_scaling, last=last),
            sdk="endpoints.scaling",
            answers=EndpointScaling,
            roles=READERS,
            summary="Explain the current number of replicas",
            errors=(errors.EndpointNotFoundError,),
        ),
    ]


def _report_operations(last: LastMeasurements, clock: Clock) -> list[Operation]:
    @asynccontextmanager
    async def kept(
        _caller: Caller, _endpoint: str, deployment_id: str, report: ReportLoadRequest
    ) -> AsyncIterator[None]:
        yield
        last.keep(deployment_id, report.measurement, now_ms=clock.now_ms())

    return [
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/load",
            handler=handlers.report_load,
            around=kept,
            asks=ReportLoadRequest,
            answers=ScalingAnswer,
            roles=SERVICES,
            duties=AUTOSCALER,
            is_for_installation=True,
            summary="Report a deployment's load",
            errors=(errors.EndpointNotFoundError, errors.DeploymentNotFoundError),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/wake",
            handler=handlers.wake_deployment,
            asks=WakeDeploymentRequest,
            answers=ScalingAnswer,
            roles=SERVICES,
            duties=GATEWAY,
            is_for_installation=True,
            summary="Wake a deployment that is scaled to zero",
            errors=(errors.EndpointNotFoundError, errors.DeploymentNotFoundError),
        ),
    ]
