"""The counts that a rollout is judged by."""

from functools import partial

import msgspec

from infra.operations import JUDGE, READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.measurement.queries import measure_epoch, measure_epochs, require_possible
from projections.reading import Endpoints, Reader
from projections.view import Access
from schemas.measurement import Measured, MeasureEpoch, MeasureEpochOf, MeasureEpochs
from schemas.results import ItemProblem, Result, Results, problem_of


def operations(access: Access) -> Operations:
    """Declare them."""
    of_one = Question(
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
    of_many = Question(
        method="POST",
        path="/v1/measurements",
        handler=partial(measure_many, access.reader, access.endpoints),
        sdk="endpoints.measurements",
        asks=MeasureEpochs,
        answers=Results[Measured],
        roles=READERS,
        duties=JUDGE,
        summary="Get the counts of up to 500 traffic epochs; one that cannot be counted does not fail the others",
        errors=(ViewUnavailable,),
        item_errors=(access.endpoints.unknown, BadQuery),
    )
    return Operations("views", [of_one, of_many])


async def show_measurement(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: MeasureEpoch
) -> Measured:
    """Count what the arms of an epoch did."""
    endpoint_id = await endpoints.id_of(endpoint, caller.workspace)
    return await measure_epoch(reader, asked, workspace=caller.workspace, endpoint_id=endpoint_id)


async def measure_many(reader: Reader, endpoints: Endpoints, caller: Caller, asked: MeasureEpochs) -> Results[Measured]:
    """Count what the arms of many epochs did."""
    ids = await endpoints.ids_of([each.endpoint for each in asked.items], caller.workspace)
    possible = [_possible(each, endpoint_id) for each, endpoint_id in zip(asked.items, ids, strict=True)]
    questions = [each for each in possible if isinstance(each, MeasureEpochOf)]
    measured = iter(await measure_epochs(reader, questions, workspace=caller.workspace))
    return Results(
        items=[
            Result(problem=each) if isinstance(each, ItemProblem) else Result(answer=next(measured))
            for each in possible
        ]
    )


def _possible(asked: MeasureEpochOf, endpoint_id: str | ItemProblem) -> MeasureEpochOf | ItemProblem:
    if isinstance(endpoint_id, ItemProblem):
        return endpoint_id
    try:
        require_possible(asked)
    except BadQuery as error:
        return problem_of(error)
    return msgspec.structs.replace(asked, endpoint=endpoint_id)
