"""The counts that a rollout is judged by."""

from functools import partial

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.measurement.queries import measure_epoch
from projections.reading import Endpoints, Reader
from projections.view import Access
from schemas.measurement import Measured, MeasureEpoch


def operations(access: Access) -> Operations:
    """Declare them."""
    measurement = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/measurement",
        handler=partial(show_measurement, access.reader, access.endpoints),
        sdk="endpoints.measurement",
        asks=MeasureEpoch,
        answers=Measured,
        roles=READERS,
        summary="Get the counts of one traffic epoch, by version, up to a watermark",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    return Operations("views", [measurement])


async def show_measurement(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: MeasureEpoch
) -> Measured:
    """Count what the arms of an epoch did."""
    endpoint_id = await endpoints.id_of(endpoint, caller.workspace)
    return await measure_epoch(reader, asked, workspace=caller.workspace, endpoint_id=endpoint_id)
