"""/v1/endpoints and /v1/instances; the rollback of an endpoint is with the rollouts, which it may abort."""

from typing import Any

from litestar import Request, Response, Router, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from control_plane.endpoints import copy_handlers, handlers
from control_plane.endpoints.failover_routes import failover_commands
from control_plane.endpoints.queries import get_endpoint, list_endpoints
from control_plane.endpoints.requests import (
    AddDeploymentRequest,
    AnnounceInstanceRequest,
    ChangeCapturePolicyRequest,
    ChooseAssignmentKeyRequest,
    ConfirmTrafficRequest,
    CreateEndpointRequest,
    FailInstanceRequest,
    RemoveDeploymentRequest,
    RemoveShadowRequest,
    SetShadowRequest,
    SetTrafficRequest,
    WithdrawInstanceRequest,
)
from control_plane.endpoints.resources import DeploymentResource, EndpointResource, InstanceRow
from control_plane.ports import EventStore
from control_plane.web.authentication import Authentication, actor_of
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands, expected_version
from control_plane.web.listing import MOST_ITEMS, USUAL_ITEMS, Page, Search


def router(store: EventStore, commands: Commands, authentication: Authentication) -> Router:
    """Build the routes of endpoints and instances."""
    return Router(
        path="/v1",
        route_handlers=[
            *_readings(store, authentication),
            *_deployment_commands(commands, authentication),
            *_traffic_commands(commands, authentication),
            _capture_command(commands, authentication),
            *failover_commands(commands, authentication),
            *_copy_commands(commands, authentication),
            *_instance_commands(commands, authentication),
        ],
        tags=["endpoints"],
    )


def _readings(store: EventStore, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("viewer", or_service=True)]

    @get("/endpoints", guards=guards, summary="The endpoints, in the order they were made", sync_to_thread=True)
    def find_endpoints(
        request: Request[Any, Any, Any],
        search: Search = "",
        cursor: FromQuery[str] = "",
        limit: FromQuery[int] = USUAL_ITEMS,
    ) -> Page[EndpointResource]:
        most = max(1, min(limit, MOST_ITEMS))
        workspace = actor_of(request).workspace
        items = list_endpoints(store.catalogue(), workspace=workspace, query=search, after=cursor, limit=most)
        return Page(items=items, next=items[-1].id if len(items) == most else None)

    @get("/endpoints/{endpoint:str}", guards=guards, summary="One endpoint by its name or id", sync_to_thread=True)
    def show_endpoint(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[EndpointResource]:
        found = get_endpoint(store.catalogue(), endpoint, workspace=actor_of(request).workspace)
        return Response(found, headers={"etag": f'"{found.stream_version}"'})

    return [find_endpoints, show_endpoint]


def _deployment_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    operators = [authentication.at_least("operator")]

    @post(
        "/endpoints",
        guards=operators,
        opt={"body": CreateEndpointRequest, "answer": EndpointResource},
        summary="Create an endpoint; with a version it serves it from the start",
    )
    async def create_endpoint(request: Request[Any, Any, Any]) -> Response[bytes]:
        body, version = await read_body(request, CreateEndpointRequest), expected_version(request)
        return await commands.run(request, lambda unit: handlers.create_endpoint(unit, body, expected_version=version))

    @post(
        "/endpoints/{endpoint:str}/deployments",
        guards=operators,
        opt={"body": AddDeploymentRequest, "answer": DeploymentResource},
        summary="Make a version available",
    )
    async def add_deployment(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, AddDeploymentRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.add_deployment(unit, endpoint, body, expected_version=version)
        )

    @post(
        "/endpoints/{endpoint:str}/deployments/{deployment_id:str}/remove",
        guards=operators,
        opt={"body": RemoveDeploymentRequest, "answer": EndpointResource},
        summary="Take a deployment away that serves nothing",
    )
    async def remove_deployment(
        request: Request[Any, Any, Any], endpoint: FromPath[str], deployment_id: FromPath[str]
    ) -> Response[bytes]:
        body, version = await read_body(request, RemoveDeploymentRequest), expected_version(request)
        return await commands.run(
            request,
            lambda unit: handlers.remove_deployment(unit, endpoint, deployment_id, body, expected_version=version),
        )

    return [create_endpoint, add_deployment, remove_deployment]


def _traffic_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    operators, services = [authentication.at_least("operator")], [authentication.service()]

    @put(
        "/endpoints/{endpoint:str}/traffic",
        guards=operators,
        opt={"body": SetTrafficRequest, "answer": EndpointResource},
        summary="Split the traffic by hand",
    )
    async def set_traffic(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, SetTrafficRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.set_traffic(unit, endpoint, body, expected_version=version)
        )

    @post(
        "/endpoints/{endpoint:str}/applied",
        guards=services,
        opt={"body": ConfirmTrafficRequest, "answer": EndpointResource},
        summary="A region's gateways serve an epoch",
    )
    async def confirm_traffic(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, ConfirmTrafficRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.confirm_traffic(unit, endpoint, body, expected_version=version)
        )

    return [set_traffic, confirm_traffic]


def _capture_command(commands: Commands, authentication: Authentication) -> HTTPRouteHandler:
    @put(
        "/endpoints/{endpoint:str}/capture-policy",
        guards=[authentication.at_least("operator")],
        opt={"body": ChangeCapturePolicyRequest, "answer": EndpointResource},
        summary="Choose what is kept of the predictions, and how long",
    )
    async def change_capture_policy(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, ChangeCapturePolicyRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.change_capture_policy(unit, endpoint, body, expected_version=version)
        )

    return change_capture_policy


def _copy_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    operators = [authentication.at_least("operator")]

    @put(
        "/endpoints/{endpoint:str}/shadow",
        guards=operators,
        opt={"body": SetShadowRequest, "answer": EndpointResource},
        summary="Copy a share of the requests to a version that answers nobody",
    )
    async def set_shadow(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, SetShadowRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: copy_handlers.set_shadow(unit, endpoint, body, expected_version=version)
        )

    @post(
        "/endpoints/{endpoint:str}/shadow/remove",
        guards=operators,
        opt={"body": RemoveShadowRequest, "answer": EndpointResource},
        summary="Copy nothing any more; the deployment stays",
    )
    async def remove_shadow(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, RemoveShadowRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: copy_handlers.remove_shadow(unit, endpoint, body, expected_version=version)
        )

    @put(
        "/endpoints/{endpoint:str}/assignment-key",
        guards=operators,
        opt={"body": ChooseAssignmentKeyRequest, "answer": EndpointResource},
        summary="Choose what keeps a caller on one version",
    )
    async def choose_assignment_key(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, ChooseAssignmentKeyRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: copy_handlers.choose_assignment_key(unit, endpoint, body, expected_version=version)
        )

    return [set_shadow, remove_shadow, choose_assignment_key]


def _instance_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.service()]

    @post(
        "/instances",
        guards=guards,
        opt={"body": AnnounceInstanceRequest, "answer": InstanceRow},
        summary="An engine answers its golden input and takes traffic",
    )
    async def announce_instance(request: Request[Any, Any, Any]) -> Response[bytes]:
        body, version = await read_body(request, AnnounceInstanceRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.announce_instance(unit, body, expected_version=version)
        )

    @post(
        "/instances/{instance_id:str}/withdraw",
        guards=guards,
        opt={"body": WithdrawInstanceRequest, "answer": InstanceRow},
        summary="An engine takes no traffic any more",
    )
    async def withdraw_instance(request: Request[Any, Any, Any], instance_id: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, WithdrawInstanceRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.withdraw_instance(unit, instance_id, body, expected_version=version)
        )

    @post(
        "/instances/{instance_id:str}/fail",
        guards=guards,
        opt={"body": FailInstanceRequest, "answer": InstanceRow},
        summary="The agent gave up on an engine",
    )
    async def fail_instance(request: Request[Any, Any, Any], instance_id: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, FailInstanceRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.fail_instance(unit, instance_id, body, expected_version=version)
        )

    return [announce_instance, withdraw_instance, fail_instance]
