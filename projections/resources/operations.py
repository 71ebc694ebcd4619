"""What instances, hosts and gateways use."""

from functools import partial

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.reading import Endpoints, OverTime, Reader
from projections.resources.queries import ResourcesOverTime, resources_of_endpoint, resources_of_machines
from projections.view import Access


def operations(access: Access) -> Operations:
    """Declare them."""
    return Operations(
        "views",
        [
            Question(
                method="GET",
                path="/v1/endpoints/{endpoint}/resources",
                handler=partial(show_endpoint_resources, access.reader, access.endpoints),
                sdk="endpoints.resources",
                asks=OverTime,
                answers=ResourcesOverTime,
                roles=READERS,
                summary="Get what an endpoint's instances use, and the requests in progress",
                errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
            ),
            Question(
                method="GET",
                path="/v1/resources",
                handler=partial(show_resources, access.reader),
                sdk="views.resources",
                asks=OverTime,
                answers=ResourcesOverTime,
                roles=READERS,
                summary="Get what hosts and gateways use",
                is_for_installation=True,
                errors=(BadQuery, ViewUnavailable),
            ),
        ],
    )


async def show_endpoint_resources(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: OverTime
) -> ResourcesOverTime:
    """Return what an endpoint's instances use."""
    return await resources_of_endpoint(
        reader,
        await endpoints.id_of(endpoint, caller.workspace),
        workspace=caller.workspace,
        since_ms=asked.since_ms,
        bucket_ms=asked.bucket_ms,
    )


async def show_resources(reader: Reader, _caller: Caller, asked: OverTime) -> ResourcesOverTime:
    """Return what hosts and gateways use."""
    return await resources_of_machines(reader, since_ms=asked.since_ms, bucket_ms=asked.bucket_ms)
