"""GET /v1/predictions/{prediction_id} and POST /v1/predictions/lookup."""

from typing import Any

import msgspec
from litestar import Request, Router, get, post
from litestar.params import FromPath

from projections.predictions.queries import Lookup, Provenance, who_served, who_served_each
from projections.reading import Caller, Reader


class PredictionIds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which predictions are asked for."""

    prediction_ids: list[str]


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/predictions/{prediction_id:str}", summary="Which version answered, and the event that routed it")
    async def get_prediction(request: Request[Any, Any, Any], prediction_id: FromPath[str]) -> dict[str, Any]:
        provenance = await who_served(reader, prediction_id, workspace=caller.workspace_of(request))
        return _flat(provenance)

    @post(
        "/predictions/lookup",
        status_code=200,
        opt={"body": PredictionIds},
        summary="Which version answered each of up to 10,000 predictions",
    )
    async def look_up_predictions(request: Request[Any, Any, Any]) -> Lookup:
        asked = await caller.read_body(request, PredictionIds)
        return await who_served_each(reader, asked.prediction_ids, workspace=caller.workspace_of(request))

    return Router(path="/v1", route_handlers=[get_prediction, look_up_predictions], tags=["views"])


def _flat(provenance: Provenance) -> dict[str, Any]:
    served = msgspec.structs.asdict(provenance.served)
    return served | {"event": provenance.event, "feedback": provenance.feedback}
