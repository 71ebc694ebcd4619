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
            asks=Search,
            answers=Page[EndpointResource],
            roles=READERS,
            summary="The endpoints, in the order they were made",
        ),
        Question(
            method="GET",
            path="/v1/endpoints/{endpoint}",
            handler=partial(show_endpoint, store),
            answers=EndpointResource,
            is_tagged=True,
            roles=READERS,
            summary="One endpoint by its name or id",
            errors=_UNKNOWN,
        ),
    ]


def _create() -> Operation:
    return Command(
        method="POST",
        path="/v1/endpoints",
        handler=handlers.create_endpoint,
        asks=requests.CreateEndpointRequest,
        answers=EndpointResource,
        status=_CREATED,
        roles=OPERATORS,
        summary="Create an endpoint; with a version it serves it from the start",
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
            asks=requests.AddDeploymentRequest,
            answers=DeploymentResource,
            status=_CREATED,
            roles=OPERATORS,
            summary="Make a version available",
            errors=(*_STALE, *_DEPLOYING),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/remove",
            handler=handlers.remove_deployment,
            asks=requests.RemoveDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Take a deployment away that serves nothing",
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
            asks=requests.PlaceDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Say in which regions a deployment has its instances",
            errors=(*_UNKNOWN_DEPLOYMENT, errors.InvalidRegionsError),
        ),
    ]


def _traffic_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/traffic",
            handler=handlers.set_traffic,
            asks=requests.SetTrafficRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Split the traffic by hand",
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
            summary="A region's gateways serve an epoch",
            errors=(*_STALE, Invalid, errors.InvalidConfirmationError),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/assignment-key",
            handler=copy_handlers.choose_assignment_key,
            asks=commands.ChooseAssignmentKey,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose what keeps a caller on one version",
            errors=(*_STALE, errors.InvalidAssignmentKeyError),
        ),
    ]


def _policy_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/capture-policy",
            handler=handlers.change_capture_policy,
            asks=commands.ChangeCapturePolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose what is kept of the predictions, and how long",
            errors=(*_STALE, errors.InvalidCapturePolicyError),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/failover-policy",
            handler=failover_handlers.set_failover_policy,
            asks=requests.SetFailoverPolicyRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose who answers in place of instances that can't be reached",
            errors=(*_STALE, errors.InvalidFailoverPolicyError, errors.InvalidRegionsError),
        ),
    ]


def _shadow_commands() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/shadow",
            handler=copy_handlers.set_shadow,
            asks=requests.SetShadowRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Copy a share of the requests to a version that answers nobody",
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
            asks=commands.RemoveShadow,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Copy nothing any more; the deployment stays",
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
            asks=commands.SetScalingPolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose what the number of replicas follows",
            errors=(*_STALE, errors.InvalidScalingPolicyError),
        ),
        Command(
            method="GET",
            path="/v1/endpoints/{endpoint}/scaling",
            handler=partial(scaling_handlers.explain_scaling, last=last),
            answers=scaling_handlers.EndpointScaling,
            roles=READERS,
            summary="Why there are as many replicas as there are",
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
            summary="What a deployment has to do",
            errors=(errors.EndpointNotFoundError, errors.DeploymentNotFoundError),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/wake",
            handler=scaling_handlers.wake_deployment,
            asks=requests.WakeDeploymentRequest,
            answers=scaling_handlers.ScalingAnswer,
            roles=SERVICES,
            summary="Somebody asks for a deployment that sleeps",
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
            summary="An engine answers its golden input and takes traffic",
            errors=(*_UNKNOWN_DEPLOYMENT, Invalid, errors.InstanceChangedError),
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/withdraw",
            handler=handlers.withdraw_instance,
            asks=commands.WithdrawInstance,
            answers=InstanceRow,
            roles=SERVICES,
            summary="An engine takes no traffic any more",
            errors=_INSTANCE,
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/fail",
            handler=handlers.fail_instance,
            asks=commands.FailInstance,
            answers=InstanceRow,
            roles=SERVICES,
            summary="The agent gave up on an engine",
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
            summary="In a region, others answer than usual",
            errors=(*_STALE, Invalid),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/failover-ended",
            handler=failover_handlers.report_failover_end,
            asks=commands.ReportFailoverEnd,
            answers=EndpointResource,
            roles=SERVICES,
            summary="In a region, a deployment answers as usual again",
            errors=(*_STALE, Invalid),
        ),
    ]
