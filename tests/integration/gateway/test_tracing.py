"""A trace goes from the caller through a real Envoy to a real engine; its spans reach a collector by OTLP."""

from pathlib import Path

import httpx
import msgspec

from serving.gateway.limits import Limits
from serving.runtime.manifest import write_manifest
from tests.support.collector import Collector, Span
from tests.support.digits import row_request
from tests.support.engine_process import running, write_model
from tests.support.gateway import Gateway, serving_gateway, until
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.routing import added, announced, created, shifted

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
INFER = "/v2/models/digits/infer"


async def test_the_spans_of_gateway_and_engine_stand_in_the_callers_trace(tmp_path: Path) -> None:
    manifest = write_model(tmp_path / "engine" / "model", artifact_format="onnx")
    write_manifest(tmp_path / "engine" / "model", msgspec.structs.replace(manifest, deployment_id="d1"))
    async with Collector() as collector:
        environ = {"ROLLBOOK_RUNTIME_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        gateway = Gateway(tmp_path, limits=Limits(otlp_endpoint=collector.url))
        with running(tmp_path / "engine", environ=environ) as engine:
            async with serving_gateway(gateway), httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
                # Else it waits for five spans or five seconds.
                admin = f"http://127.0.0.1:{gateway.ports.admin}/runtime_modify?tracing.opentelemetry.min_flush_spans=1"
                assert (await client.post(admin)).status_code == 200
                gateway.tell("endpoint-1", created())
                gateway.tell("endpoint-1", added("d1"))
                port = int(engine.url.rsplit(":", 1)[1])
                gateway.tell("instance-1", announced("endpoint-1", "d1", port=port))
                await gateway.serves("endpoint-1", gateway.tell("endpoint-1", shifted(d1=[(0, 10_000)])))
                headers = {
                    "authorization": f"Bearer {gateway.tokens.mint()}",
                    "traceparent": f"00-{TRACE}-{CALLER}-01",
                }
                url = f"http://127.0.0.1:{gateway.ports.gateway}{INFER}"
                answer = await client.post(url, json=row_request(), headers=headers)
                assert answer.status_code == 200, answer.text

                def ours() -> dict[str, Span]:
                    return {span.service: span for span in collector.spans if span.trace_id == TRACE}

                await until(lambda: ours().keys() == {"rollbook-gateway", "rollbook-runtime"}, why="both spans")

    found = ours()
    at_gateway, at_engine = found["rollbook-gateway"], found["rollbook-runtime"]
    assert at_gateway.parent_id == CALLER
    assert at_engine.parent_id == at_gateway.span_id
    prediction_id = answer.headers["x-prediction-id"]
    assert at_gateway.attributes["rollbook.prediction_id"] == prediction_id
    assert at_gateway.attributes["rollbook.deployment_id"] == "d1"
    assert at_engine.attributes["rollbook.prediction_id"] == prediction_id
    assert at_engine.name == f"POST {INFER}"
