"""What served a prediction, and the event that routed it."""

from functools import partial

import msgspec

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, PredictionUnknown, ViewUnavailable
from projections.predictions.queries import KnownFeedback, Lookup, Served, who_served, who_served_each
from projections.reading import Reader
from projections.view import Access


class Prediction(Served, frozen=True, kw_only=True):
    """What served it, the event that routed it (null while the log's view is behind), and its feedback.

    `expired` names the tables that no longer keep rows of its time.
    """

    event: msgspec.Raw | None
    feedback: list[KnownFeedback]
    expired: list[str]


class PredictionIds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name the predictions by their ids."""

    prediction_ids: list[str]


def operations(access: Access) -> Operations:
    """Declare them."""
    return Operations(
        "views",
        [
            Question(
                method="GET",
                path="/v1/predictions/{prediction_id}",
                handler=partial(show_prediction, access.reader),
                sdk="predictions.who_served",
                answers=Prediction,
                roles=READERS,
                summary="Find the version that answered a prediction, and the event that routed it",
                errors=(BadQuery, PredictionUnknown, ViewUnavailable),
            ),
            Question(
                method="POST",
                path="/v1/predictions/lookup",
                handler=partial(look_up_predictions, access.reader),
                sdk="predictions.who_served_each",
                asks=PredictionIds,
                answers=Lookup,
                roles=READERS,
                summary="Find the versions that answered up to 10,000 predictions",
                errors=(BadQuery, ViewUnavailable),
            ),
        ],
    )


async def show_prediction(reader: Reader, caller: Caller, prediction_id: str) -> Prediction:
    """Return what served a prediction."""
    found = await who_served(reader, prediction_id, workspace=caller.workspace)
    return Prediction(
        **msgspec.structs.asdict(found.served), event=found.event, feedback=found.feedback, expired=found.expired
    )


async def look_up_predictions(reader: Reader, caller: Caller, asked: PredictionIds) -> Lookup:
    """Return what served each of many predictions."""
    return await who_served_each(reader, asked.prediction_ids, workspace=caller.workspace)
