"""/v1/endpoints/{endpoint}: the scaling policy, and what becomes of measurements."""

from typing import Any

from litestar import Request, Response, Router, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from control_plane.endpoints import scaling_handlers as handlers
from control_plane.endpoints.requests import ReportLoadRequest, SetScalingPolicyRequest, WakeDeploymentRequest
from control_plane.endpoints.resources import EndpointResource
from control_plane.endpoints.scaling_measurements import LastMeasurements
from control_plane.web.authentication import Authentication
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands, expected_version
from infra.clock import Clock


def router(commands: Commands, authentication: Authentication, *, clock: Clock) -> Router:
    """Build the routes."""
    last = LastMeasurements()
    return Router(
        path="/v1",
        route_handlers=[
            *_policy_routes(commands, authentication, last),
            *_measuring_routes(commands, authentication, last, clock=clock),
        ],
        tags=["endpoints"],
    )


def _policy_routes(
    commands: Commands, authentication: Authentication, last: LastMeasurements
) -> list[HTTPRouteHandler]:
    @put(
        "/endpoints/{endpoint:str}/scaling-policy",
        guards=[authentication.at_least("operator")],
        opt={"body": SetScalingPolicyRequest, "answer": EndpointResource},
        summary="Choose what the number of replicas follows",
    )
    async def set_scaling_policy(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, SetScalingPolicyRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.set_scaling_policy(unit, endpoint, body, expected_version=version)
        )

    @get(
        "/endpoints/{endpoint:str}/scaling",
        guards=[authentication.at_least("viewer", or_service=True)],
        opt={"answer": handlers.EndpointScaling},
        summary="Why there are as many replicas as there are",
    )
    async def explain_scaling(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        return await commands.run(request, lambda unit: handlers.explain_scaling(unit, endpoint, last))

    return [set_scaling_policy, explain_scaling]


def _measuring_routes(
    commands: Commands, authentication: Authentication, last: LastMeasurements, *, clock: Clock
) -> list[HTTPRouteHandler]:
    guards = [authentication.service()]

    @post(
        "/endpoints/{endpoint:str}/deployments/{deployment_id:str}/load",
        guards=guards,
        opt={"body": ReportLoadRequest, "answer": handlers.ScalingAnswer},
        summary="What a deployment has to do",
        status_code=200,
    )
    async def report_load(
        request: Request[Any, Any, Any], endpoint: FromPath[str], deployment_id: FromPath[str]
    ) -> Response[bytes]:
        body = await read_body(request, ReportLoadRequest)
        answer = await commands.run(request, lambda unit: handlers.report_load(unit, endpoint, deployment_id, body))
        last.keep(deployment_id, body.measurement, now_ms=clock.now_ms())
        return answer

    @post(
        "/endpoints/{endpoint:str}/deployments/{deployment_id:str}/wake",
        guards=guards,
        opt={"body": WakeDeploymentRequest, "answer": handlers.ScalingAnswer},
        summary="Somebody asks for a deployment that sleeps",
        status_code=200,
    )
    async def wake_deployment(
        request: Request[Any, Any, Any], endpoint: FromPath[str], deployment_id: FromPath[str]
    ) -> Response[bytes]:
        body = await read_body(request, WakeDeploymentRequest)
        return await commands.run(request, lambda unit: handlers.wake_deployment(unit, endpoint, deployment_id, body))

    return [report_load, wake_deployment]
