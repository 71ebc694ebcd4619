"""The API's spans reach a collector, and a command's events carry its trace as their correlation."""

import asyncio
import time
from pathlib import Path

from tests.support.api import done, running_api
from tests.support.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


async def test_a_command_is_a_span_and_its_event_names_the_trace(tmp_path: Path) -> None:
    async with Collector() as collector:
        async with running_api(tmp_path, otlp_endpoint=collector.url) as api:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            await done(api.admin.post("/v1/models", json={"name": "digits"}, headers=headers))
            (event,) = (await done(api.admin.get("/v1/events", params={"type": "registry.ModelRegistered.v1"})))[
                "items"
            ]
        deadline = time.monotonic() + 60
        while not (spans := [span for span in collector.spans if span.trace_id == TRACE]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    (span,) = spans
    assert (span.service, span.name, span.parent_id) == ("rollbook-api", "POST /v1/models", CALLER)
    assert event["event"]["correlationid"] == TRACE
