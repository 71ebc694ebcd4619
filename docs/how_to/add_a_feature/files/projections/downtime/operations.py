"""How long an endpoint was out of service."""

from functools import partial

from infra.operations import READERS, Caller, Operations, Question
from projections.downtime.queries import Downtime, downtime_of_endpoint
from projections.errors import ViewUnavailable
from projections.reading import Endpoints, Reader
from projections.view import Access


def operations(access: Access) -> Operations:
    """Declare them."""
    downtime = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/downtime",
        handler=partial(show_downtime, access.reader, access.endpoints),
        sdk="maintenance.downtime",
        answers=Downtime,
        roles=READERS,
        summary="Get how long an endpoint was out of service, by day",
        errors=(access.endpoints.unknown, ViewUnavailable),
    )
    return Operations("views", [downtime])


async def show_downtime(reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str) -> Downtime:
    """Return the downtime of an endpoint."""
    endpoint_id = await endpoints.id_of(endpoint, caller.workspace)
    return await downtime_of_endpoint(reader, endpoint_id, workspace=caller.workspace)
