"""Who served a prediction: from the gateway's record and the log, never from what a caller saw.

A record that expired is answered for by its row in `prediction_index`.
"""

import asyncio
from typing import Literal, TypeAlias

import msgspec

from projections.errors import BadQuery, PredictionUnknown
from projections.quality.rows import FEEDBACK_ROWS
from projections.reading import Reader
from projections.retention.expiry import days_kept
from schemas.envelope import rfc3339
from schemas.identifiers import prediction_started_at_ms

MAX_PREDICTIONS = 10_000

# The record's start and the time inside the id are one clock reading, formatted twice.
_SLACK_MS = 1_000
_DAY_MS = 24 * 60 * 60 * 1_000
# A shadow shares the id of the request it copies; what answered the caller is the other one.
_FOUND = """
    SELECT prediction_id, argMin(tuple(endpoint, endpoint_id, deployment_id, version_id, version, epoch, role, region,
                                       instance, status, {trace_id}, instance_region,
                                       if(drawn_deployment_id = '', deployment_id, drawn_deployment_id), started_at_ms),
                                 role = 'shadow') AS served
    FROM {table}
    WHERE workspace = %(workspace)s AND prediction_id IN %(prediction_ids)s
      AND started_at_ms BETWEEN %(earliest_ms)s AND %(latest_ms)s
    GROUP BY prediction_id
"""
_EVENT = """
    SELECT event FROM domain_events
    WHERE workspace = {workspace:String} AND stream = {stream:String} AND stream_version = {version:UInt32}
    LIMIT 1
"""
_EVENTS = """
    SELECT DISTINCT stream, stream_version, event_id, type, position FROM domain_events
    WHERE workspace = %(workspace)s AND (stream, stream_version) IN %(epochs)s
"""
_FEEDBACK = """
    SELECT source, name, value, observed_at_ms, received_at_ms FROM feedback FINAL
    WHERE workspace = {workspace:String} AND prediction_id = {prediction_id:String}
      AND predicted_at_ms = {started_at_ms:Int64}
    ORDER BY name, source
"""


FoundIn: TypeAlias = Literal["request_records", "prediction_index"]
_TRACE_ID: dict[FoundIn, str] = {"request_records": "trace_id", "prediction_index": "''"}


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What served a prediction; (endpoint_id, epoch) names the event that routed it.

    `found_in` is the table that says so: `prediction_index` where the request's own record expired.
    `trace_id` is the W3C trace that the request belonged to, empty where it belonged to none or its record expired.
    `drawn_deployment_id` is what the split named, where another stood in for it; `region` is the gateway's.
    """

    prediction_id: str
    endpoint: str
    endpoint_id: str
    deployment_id: str
    version_id: str
    version: str
    epoch: int
    role: str
    region: str
    instance: str
    status: int
    trace_id: str
    started_at: str
    instance_region: str
    drawn_deployment_id: str
    found_in: FoundIn


class KnownFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """What became known of a prediction later."""

    source: str
    name: str
    value: str
    observed_at: str
    received_at: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What served a prediction, the event that routed it (None while the log's view is behind), and its feedback.

    `expired` names the tables that no longer keep rows of its time.
    """

    served: Served
    event: msgspec.Raw | None
    feedback: list[KnownFeedback]
    expired: list[str]


class RoutedBy(msgspec.Struct, frozen=True, kw_only=True):
    """The event of an epoch, in short."""

    event_id: str
    type: str
    position: int


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """What served each prediction that is known, in the order asked; `events` by `<endpoint id>/<epoch>`."""

    items: list[Served]
    unknown: list[str]
    events: dict[str, RoutedBy]


async def who_served(reader: Reader, prediction_id: str, *, workspace: str) -> Provenance:
    """Return the provenance of one prediction.

    Raises:
        BadQuery: the value is not a prediction id.
        PredictionUnknown: no record carries it (yet).
    """
    started_at_ms = _started_at_ms(prediction_id, field="prediction_id")
    found = await _served(reader, [prediction_id], workspace=workspace)
    if prediction_id not in found:
        raise PredictionUnknown(
            f"no request record carries the prediction id {prediction_id}",
            field="prediction_id",
            remedy="records appear within seconds; check the id, and with `rollbook views` how long prediction_index "
            "is kept",
        )
    served = found[prediction_id]
    events, feedback, expired = await asyncio.gather(
        reader.select(_EVENT, {"workspace": workspace, "stream": served.endpoint_id, "version": max(served.epoch, 0)}),
        reader.select(
            _FEEDBACK, {"workspace": workspace, "prediction_id": prediction_id, "started_at_ms": started_at_ms}
        ),
        _expired(reader, served, started_at_ms),
    )
    return Provenance(
        served=served,
        event=msgspec.Raw(events[0]["event"].encode()) if events else None,
        feedback=[_feedback_item(row) for row in feedback],
        expired=expired,
    )


async def who_served_each(reader: Reader, prediction_ids: list[str], *, workspace: str) -> Lookup:
    """Return what served up to 10,000 predictions."""
    if len(prediction_ids) > MAX_PREDICTIONS:
        raise BadQuery(
            f"{len(prediction_ids)} prediction ids exceed the limit of {MAX_PREDICTIONS}",
            field="prediction_ids",
            remedy="ask in several calls",
        )
    found = await _served(reader, prediction_ids, workspace=workspace)
    epochs = sorted({(one.endpoint_id, one.epoch) for one in found.values() if one.epoch >= 0})
    rows = await reader.select(_EVENTS, {"workspace": workspace, "epochs": epochs}) if epochs else []
    events = {
        f"{row['stream']}/{row['stream_version']}": RoutedBy(
            event_id=row["event_id"], type=row["type"], position=row["position"]
        )
        for row in rows
    }
    return Lookup(
        items=[found[one] for one in prediction_ids if one in found],
        unknown=[one for one in prediction_ids if one not in found],
        events=events,
    )


async def _served(reader: Reader, prediction_ids: list[str], *, workspace: str) -> dict[str, Served]:
    starts = {one: _started_at_ms(one, field=f"prediction_ids[{index}]") for index, one in enumerate(prediction_ids)}
    found = await _found(reader, starts, "request_records", workspace=workspace)
    # Records stay for a day at least: a younger one that is missing has not arrived, though its index row may have.
    before_ms = reader.now_ms() - _DAY_MS
    expired = {one: at_ms for one, at_ms in starts.items() if one not in found and at_ms < before_ms}
    return found | await _found(reader, expired, "prediction_index", workspace=workspace)


async def _found(reader: Reader, starts: dict[str, int], table: FoundIn, *, workspace: str) -> dict[str, Served]:
    if not starts:
        return {}
    parameters = {
        "workspace": workspace,
        "prediction_ids": tuple(starts),
        "earliest_ms": min(starts.values()) - _SLACK_MS,
        "latest_ms": max(starts.values()) + _SLACK_MS,
    }
    rows = await reader.select(_FOUND.format(table=table, trace_id=_TRACE_ID[table]), parameters)
    return {row["prediction_id"]: _served_of(row["prediction_id"], row["served"], table) for row in rows}


async def _expired(reader: Reader, served: Served, started_at_ms: int) -> list[str]:
    days = (await days_kept(reader, [FEEDBACK_ROWS])).get(FEEDBACK_ROWS.name)
    is_over = days is not None and reader.now_ms() - started_at_ms > days * _DAY_MS
    records = [] if served.found_in == "request_records" else ["request_records"]
    return records + ([FEEDBACK_ROWS.name] if is_over else [])


def _served_of(prediction_id: str, values: tuple[object, ...], found_in: FoundIn) -> Served:
    names = [name for name in Served.__struct_fields__ if name not in ("prediction_id", "started_at", "found_in")]
    *plain, started_at_ms = values
    fields = {**dict(zip(names, plain, strict=True)), "prediction_id": prediction_id, "found_in": found_in}
    return msgspec.convert(fields | {"started_at": rfc3339(msgspec.convert(started_at_ms, int))}, Served)


def _feedback_item(row: dict[str, object]) -> KnownFeedback:
    times = {name: rfc3339(msgspec.convert(row.pop(f"{name}_ms"), int)) for name in ("observed_at", "received_at")}
    return msgspec.convert(row | times, KnownFeedback)


def _started_at_ms(prediction_id: str, *, field: str) -> int:
    started_at_ms = prediction_started_at_ms(prediction_id)
    if started_at_ms is None:
        raise BadQuery(
            "the text is not a prediction id",
            field=field,
            remedy="take it from the x-prediction-id header of an answer",
        )
    return started_at_ms
