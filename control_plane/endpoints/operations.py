"""The operations on endpoints and instances; the rollback of an endpoint is with the rollouts, which it may abort."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from control_plane.endpoints import (
    commands,
    copy_handlers,
    errors,
    failover_handlers,
    handlers,
    requests,
    scaling_handlers,
)
from control_plane.endpoints.queries import get_endpoint, list_endpoints
from control_plane.endpoints.resources import DeploymentResource, EndpointResource, InstanceRow
from control_plane.endpoints.scaling_measurements import LastMeasurements
from control_plane.errors import Invalid
from control_plane.ports import EventStore
from control_plane.web.listing import Page, Search, page
from infra.clock import Clock
from infra.operations import (
    OPERATORS,
    READERS,
    SERVICES,
    Caller,
    Command,
    Content,
    Operation,
    Operations,
    Question,
)

_OK, _CREATED = 200, 201
_UNKNOWN = (errors.EndpointNotFoundError,)
_STALE = (errors.EndpointNotFoundError, errors.StaleVersionError)
_UNKNOWN_DEPLOYMENT = (*_STALE, errors.DeploymentNotFoundError)
_DEPLOYING = (
    errors.VersionNotFoundError,
    errors.InvalidReplicasError,
    errors.InvalidRegionsError,
    errors.ParentNotDeployedError,
)
_INSTANCE = (Invalid, errors.StaleVersionError, errors.InstanceNotFoundError)


def operations(store: EventStore, *, clock: Clock) -> Operations:
    """Declare them."""
    last = LastMeasurements()
    return Operations(
        "endpoints",
        [
            *_questions(store),
            _create(),
            *_deployment_commands(),
            *_traffic_commands(),
            *_policy_commands(),
            *_shadow_commands(),
            *_scaling(last, clock),
            *_instance_commands(),
            *_gateway_commands(),
        ],
    )


def find_endpoints(store: EventStore, caller: Caller, asked: Search) -> Page[EndpointResource]:
    """Return a page of endpoints."""
    items = list_endpoints(
        store.catalogue(), workspace=caller.workspace, query=asked.query, after=asked.cursor, limit=asked.size
    )
    return page(items, asked)


def show_endpoint(store: EventStore, caller: Caller, endpoint: str) -> Content:
    """Return one endpoint."""
    found = get_endpoint(store.catalogue(), endpoint, workspace=caller.workspace)
    return Content(body=msgspec.json.encode(found), version=found.stream_version)


def _questions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/endpoints",
            handler=partial(find_endpoints, store),
            sdk="endpoints.list",
            asks=Search,
            answers=Page[EndpointResource],
            roles=READERS,
            summary="List the endpoints, oldest first",
        ),
        Question(
            method="GET",
            path="/v1/endpoints/{endpoint}",
            handler=partial(show_endpoint, store),
            sdk="endpoints.get",
            answers=EndpointResource,
            is_tagged=True,
            roles=READERS,
            summary="Get an endpoint by its name or id",
            errors=_UNKNOWN,
        ),
    ]


def _create() -> Operation:
    return Command(
        method="POST",
        path="/v1/endpoints",
        handler=handlers.create_endpoint,
        sdk="endpoints.create",
        asks=requests.CreateEndpointRequest,
        answers=EndpointResource,
        status=_CREATED,
        roles=OPERATORS,
        summary="Create an endpoint, optionally serving a version from the start",
        errors=(
            errors.StaleVersionError,
            errors.EndpointNameTakenError,
            errors.InvalidNameError,
            *_DEPLOYING,
        ),
    )


def _deployment_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments",
            handler=handlers.add_deployment,
            sdk="endpoints.deploy",
            asks=requests.AddDeploymentRequest,
            answers=DeploymentResource,
            status=_CREATED,
            roles=OPERATORS,
            summary="Deploy a version to an endpoint, without traffic",
            errors=(*_STALE, *_DEPLOYING),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/remove",
            handler=handlers.remove_deployment,
            sdk="endpoints.remove_deployment",
            asks=requests.RemoveDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Remove a deployment that serves no traffic",
            errors=(
                *_UNKNOWN_DEPLOYMENT,
                errors.DeploymentTakesTrafficError,
                errors.DeploymentHasAdaptersError,
                errors.DeploymentIsBackupError,
                errors.DeploymentIsShadowError,
                errors.EndpointOwnedByRolloutError,
            ),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/regions",
            handler=failover_handlers.place_deployment,
            sdk="endpoints.place",
            asks=requests.PlaceDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the regions in which a deployment runs its instances",
            errors=(*_UNKNOWN_DEPLOYMENT, errors.InvalidRegionsError),
        ),
    ]


def _traffic_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/traffic",
            handler=handlers.set_traffic,
            sdk="endpoints.set_traffic",
            asks=requests.SetTrafficRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the traffic split by hand",
            errors=(
                *_UNKNOWN_DEPLOYMENT,
                errors.InvalidWeightsError,
                errors.DeploymentNotReadyError,
                errors.EndpointOwnedByRolloutError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/applied",
            handler=handlers.confirm_traffic,
            asks=commands.ConfirmTraffic,
            answers=EndpointResource,
            roles=SERVICES,
            summary="Confirm that a region's gateways serve a traffic epoch",
            errors=(*_STALE, Invalid, errors.InvalidConfirmationError),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/assignment-key",
            handler=copy_handlers.choose_assignment_key,
            sdk="endpoints.choose_assignment_key",
            asks=commands.ChooseAssignmentKey,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose the key that keeps a caller on one version",
            errors=(*_STALE, errors.InvalidAssignmentKeyError),
        ),
    ]


def _policy_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/capture-policy",
            handler=handlers.change_capture_policy,
            sdk="endpoints.set_capture_policy",
            asks=commands.ChangeCapturePolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose what is captured of predictions, and how long it is kept",
            errors=(*_STALE, errors.InvalidCapturePolicyError),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/failover-policy",
            handler=failover_handlers.set_failover_policy,
            sdk="endpoints.set_failover_policy",
            asks=requests.SetFailoverPolicyRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose who answers when instances cannot be reached",
            errors=(*_STALE, errors.InvalidFailoverPolicyError, errors.InvalidRegionsError),
        ),
    ]


def _shadow_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/shadow",
            handler=copy_handlers.set_shadow,
            sdk="endpoints.set_shadow",
            asks=requests.SetShadowRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Copy a share of the requests to a version whose answers no caller sees",
            errors=(
                *_UNKNOWN_DEPLOYMENT,
                *_DEPLOYING,
                Invalid,
                errors.InvalidShadowError,
                errors.DeploymentNotReadyError,
                errors.DeploymentTakesTrafficError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/shadow/remove",
            handler=copy_handlers.remove_shadow,
            sdk="endpoints.remove_shadow",
            asks=commands.RemoveShadow,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Stop copying requests to the shadow; its deployment stays",
            errors=_STALE,
        ),
    ]


def _scaling(last: LastMeasurements, clock: Clock) -> list[Operation]:
    @asynccontextmanager
    async def kept(
        _caller: Caller, _endpoint: str, deployment_id: str, report: requests.ReportLoadRequest
    ) -> AsyncIterator[None]:
        yield
        last.keep(deployment_id, report.measurement, now_ms=clock.now_ms())

    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/scaling-policy",
            handler=scaling_handlers.set_scaling_policy,
            sdk="endpoints.set_scaling_policy",
            asks=commands.SetScalingPolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the policy by which replicas are scaled, or remove it",
            errors=(*_STALE, errors.InvalidScalingPolicyError),
        ),
        Command(
            method="GET",
            path="/v1/endpoints/{endpoint}/scaling",
            handler=partial(scaling_handlers.explain_scaling, last=last),
            sdk="endpoints.scaling",
            answers=scaling_handlers.EndpointScaling,
            roles=READERS,
            summary="Explain the current number of replicas",
            errors=_UNKNOWN,
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/load",
            handler=scaling_handlers.report_load,
            around=kept,
            asks=requests.ReportLoadRequest,
            answers=scaling_handlers.ScalingAnswer,
            roles=SERVICES,
            summary="Report a deployment's load",
            errors=(errors.EndpointNotFoundError, errors.DeploymentNotFoundError),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/wake",
            handler=scaling_handlers.wake_deployment,
            asks=requests.WakeDeploymentRequest,
            answers=scaling_handlers.ScalingAnswer,
            roles=SERVICES,
            summary="Wake a deployment that is scaled to zero",
            errors=(errors.EndpointNotFoundError, errors.DeploymentNotFoundError),
        ),
    ]


def _instance_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/instances",
            handler=handlers.announce_instance,
            asks=requests.AnnounceInstanceRequest,
            answers=InstanceRow,
            status=_CREATED,
            also=(_OK,),
            roles=SERVICES,
            summary="Announce an instance that is ready for traffic",
            errors=(*_UNKNOWN_DEPLOYMENT, Invalid, errors.InstanceChangedError),
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/withdraw",
            handler=handlers.withdraw_instance,
            asks=commands.WithdrawInstance,
            answers=InstanceRow,
            roles=SERVICES,
            summary="Withdraw an instance from traffic",
            errors=_INSTANCE,
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/fail",
            handler=handlers.fail_instance,
            asks=commands.FailInstance,
            answers=InstanceRow,
            roles=SERVICES,
            summary="Report that the agent has given up on an instance",
            errors=_INSTANCE,
        ),
    ]


def _gateway_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/failover-started",
            handler=failover_handlers.report_failover_start,
            asks=commands.ReportFailoverStart,
            answers=EndpointResource,
            roles=SERVICES,
            summary="Report that a failover has started in a region",
            errors=(*_STALE, Invalid),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/failover-ended",
            handler=failover_handlers.report_failover_end,
            asks=commands.ReportFailoverEnd,
            answers=EndpointResource,
            roles=SERVICES,
            summary="Report that a failover has ended in a region",
            errors=(*_STALE, Invalid),
        ),
    ]
