"""The routes of failover: the policy and the placement for people, the reports for gateways."""

from typing import Any

from litestar import Request, Response, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from control_plane.endpoints import failover_handlers as handlers
from control_plane.endpoints.requests import (
    FailoverEndRequest,
    FailoverStartRequest,
    PlaceDeploymentRequest,
    SetFailoverPolicyRequest,
)
from control_plane.endpoints.resources import EndpointResource
from control_plane.web.authentication import Authentication
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands, expected_version


def failover_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    """Build the routes."""
    return [*_for_operators(commands, authentication), *_for_gateways(commands, authentication)]


def _for_operators(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    operators = [authentication.at_least("operator")]

    @put(
        "/endpoints/{endpoint:str}/failover-policy",
        guards=operators,
        opt={"body": SetFailoverPolicyRequest, "answer": EndpointResource},
        summary="Choose who answers in place of instances that can't be reached",
    )
    async def set_failover_policy(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, SetFailoverPolicyRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.set_failover_policy(unit, endpoint, body, expected_version=version)
        )

    @put(
        "/endpoints/{endpoint:str}/deployments/{deployment_id:str}/regions",
        guards=operators,
        opt={"body": PlaceDeploymentRequest, "answer": EndpointResource},
        summary="Say in which regions a deployment has its instances",
    )
    async def place_deployment(
        request: Request[Any, Any, Any], endpoint: FromPath[str], deployment_id: FromPath[str]
    ) -> Response[bytes]:
        body, version = await read_body(request, PlaceDeploymentRequest), expected_version(request)
        return await commands.run(
            request,
            lambda unit: handlers.place_deployment(unit, endpoint, deployment_id, body, expected_version=version),
        )

    return [set_failover_policy, place_deployment]


def _for_gateways(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    services = [authentication.service()]

    @post(
        "/endpoints/{endpoint:str}/failover-started",
        guards=services,
        opt={"body": FailoverStartRequest, "answer": EndpointResource},
        summary="In a region, others answer than usual",
    )
    async def report_failover_start(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, FailoverStartRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.report_failover_start(unit, endpoint, body, expected_version=version)
        )

    @post(
        "/endpoints/{endpoint:str}/failover-ended",
        guards=services,
        opt={"body": FailoverEndRequest, "answer": EndpointResource},
        summary="In a region, a deployment answers as usual again",
    )
    async def report_failover_end(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, FailoverEndRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.report_failover_end(unit, endpoint, body, expected_version=version)
        )

    return [report_failover_start, report_failover_end]
