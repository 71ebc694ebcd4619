"""Turns two readings into a look. Pure."""

from collections.abc import Mapping

import msgspec

from schemas.scaling import Load, LoadSample
from workers.autoscaler.engine_load import Counters
from workers.autoscaler.gateway_load import Traffic


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the sources reported about a deployment; null if one did not answer or was not asked."""

    at_ms: int
    ready: int
    traffic: Traffic | None
    engines: Mapping[str, Counters] | None
    asks_engines: bool = False


def look_at(reading: Reading, before: Reading | None) -> LoadSample:
    """Return a deployment's load; rates need an earlier reading."""
    rates = _rates(reading, before)
    in_flight = None if reading.traffic is None else float(reading.traffic.active)
    is_complete = reading.traffic is not None and (reading.engines is not None or not reading.asks_engines)
    return LoadSample(
        at_ms=reading.at_ms,
        ready=reading.ready,
        load=Load(in_flight=in_flight, **rates),
        is_busy=_is_busy(reading.traffic, before.traffic if before else None),
        is_complete=is_complete,
    )


def _is_busy(now: Traffic | None, before: Traffic | None) -> bool:
    """Requests that came and went between two looks count too, as does a counter that restarted."""
    if now is None or now.active:
        return True
    return before is not None and now.total not in {before.total, 0}


def _rates(reading: Reading, before: Reading | None) -> dict[str, float | None]:
    nothing: dict[str, float | None] = {"queue_depth": None, "latency_ms": None, "tokens_waiting": None}
    if reading.engines is None:
        return nothing
    waits = [counters.waiting for counters in reading.engines.values() if counters.waiting is not None]
    tokens = [
        counters.waiting * counters.prompt_tokens
        for counters in reading.engines.values()
        if counters.waiting is not None and counters.prompt_tokens is not None
    ]
    reported = {**nothing, "tokens_waiting": sum(tokens) if tokens else None}
    if before is None or before.engines is None or reading.at_ms <= before.at_ms:
        return {**reported, "queue_depth": sum(waits) if waits else None}
    answered, seconds, queued = _grown(reading.engines, before.engines)
    elapsed_s = (reading.at_ms - before.at_ms) / 1_000
    # By Little's law, the time that requests spent waiting per second is the mean number that waited.
    queue = sum(waits) if waits else queued / elapsed_s
    return {**reported, "queue_depth": queue, "latency_ms": seconds / answered * 1_000 if answered else 0.0}


def _grown(now: Mapping[str, Counters], before: Mapping[str, Counters]) -> tuple[float, float, float]:
    """Add up the growth of counters; a restarted instance counts from 0."""
    answered = seconds = queued = 0.0
    for instance_id, counters in now.items():
        earlier = before.get(instance_id, Counters())
        if counters.answered < earlier.answered:
            earlier = Counters()
        answered += counters.answered - earlier.answered
        seconds += counters.seconds - earlier.seconds
        queued += counters.queue_seconds - earlier.queue_seconds
    return answered, seconds, queued
