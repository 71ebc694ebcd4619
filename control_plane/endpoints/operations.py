"""The operations on endpoints: those on the whole, and those of each part in the order that people read them in."""

from functools import partial

import msgspec

from control_plane.endpoints import errors, handlers
from control_plane.endpoints.assignment import operations as assignment
from control_plane.endpoints.capture import operations as capture
from control_plane.endpoints.commands import CreateEndpoint, RemoveEndpoint
from control_plane.endpoints.deployments import operations as deployments
from control_plane.endpoints.failover import operations as failover
from control_plane.endpoints.instances import operations as instances
from control_plane.endpoints.queries import get_endpoint, list_endpoints
from control_plane.endpoints.resources import EndpointResource, RemovedEndpoint
from control_plane.endpoints.scaling import operations as scaling
from control_plane.endpoints.shadow import operations as shadow
from control_plane.endpoints.traffic import operations as traffic
from control_plane.ports import EventStore
from control_plane.web.listing import Page, Search, page
from infra.clock import Clock
from infra.operations import BATCHES, OPERATORS, READERS, Caller, Command, Content, Operation, Operations, Question

_CREATED = 201


def operations(store: EventStore, *, clock: Clock) -> Operations:
    """Declare them."""
    return Operations(
        "endpoints",
        [
            *_questions(store),
            _create(),
            _remove(),
            *deployments.operations(),
            *traffic.operations(),
            *assignment.operations(),
            *capture.operations(),
            *failover.policy_operations(),
            *shadow.operations(),
            *scaling.operations(clock),
            *instances.operations(),
            *failover.report_operations(),
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
            duties=BATCHES,
            summary="Get an endpoint by its name or id",
            errors=(errors.EndpointNotFoundError,),
        ),
    ]


def _create() -> Operation:
    return Command(
        method="POST",
        path="/v1/endpoints",
        handler=handlers.create_endpoint,
        sdk="endpoints.create",
        asks=CreateEndpoint,
        answers=EndpointResource,
        status=_CREATED,
        roles=OPERATORS,
        summary="Create an endpoint, optionally serving a version from the start",
        errors=(
            errors.StaleVersionError,
            errors.EndpointNameTakenError,
            errors.InvalidNameError,
            *errors.DEPLOYING,
        ),
    )


def _remove() -> Operation:
    return Command(
        method="POST",
        path="/v1/endpoints/{endpoint}/remove",
        handler=handlers.remove_endpoint,
        sdk="endpoints.remove",
        asks=RemoveEndpoint,
        answers=RemovedEndpoint,
        roles=OPERATORS,
        is_for_closed=True,
        summary="Stop serving an endpoint for good, and free its name",
        errors=(errors.EndpointNotFoundError, errors.StaleVersionError, errors.EndpointOwnedByRolloutError),
    )
