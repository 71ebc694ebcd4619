"""What a runtime process promises: records whatever the wire, room before a model, crashes that stay in."""

import http.client
import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from infra.errors import EXIT_CANNOT_START
from serving.capture import records
from serving.capture.records import ObservationRecord
from serving.capture.spool_reader import SpoolReader
from serving.runtime.manifest import ARTIFACT_NAME
from tests.support.digits import digits, row_request, trained
from tests.support.echo_model import write_echo
from tests.support.engine_process import EngineProcess, launched, running, write_model
from tests.support.plain_http import NO_AUTHORITIES

DEADLINE_S = 200
PIXELS = digits()[0][7:8]
LABEL = int(trained().predict(PIXELS)[0])


def recorded(engine: EngineProcess, prediction_id: str) -> ObservationRecord:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        payloads = SpoolReader(engine.spool).read(0, max_frames=100_000, max_bytes=10**9).payloads
        for record in map(records.decode, payloads):
            if isinstance(record, ObservationRecord) and record.prediction_id == prediction_id:
                return record
        time.sleep(0.05)
    pytest.fail(f"{prediction_id} was not captured")


@pytest.mark.parametrize("triton", [tritonclient.http, tritonclient.grpc], ids=["rest", "grpc"])
def test_a_prediction_is_recorded_alike_whatever_carried_it(many: EngineProcess, triton: ModuleType) -> None:
    name = triton.__name__
    tensor = triton.InferInput("pixels", [1, 64], "FP32")
    tensor.set_data_from_numpy(PIXELS)
    with triton.InferenceServerClient(many.url.removeprefix("http://")) as client:
        client.infer("digits", [tensor], headers={"x-prediction-id": f"good-{name}"})
        tensor.set_data_from_numpy(np.full((1, 64), np.nan, dtype=np.float32))
        with pytest.raises(InferenceServerException, match="not finite"):
            client.infer("digits", [tensor], headers={"x-prediction-id": f"bad-{name}"})

    record = recorded(many, f"good-{name}")
    assert (record.status, record.prediction, record.engine_ms > 0) == (200, str(LABEL), True)
    assert json.loads(record.inputs)["pixels"]["data"] == PIXELS[0].tolist()
    assert json.loads(record.outputs)["label"]["data"] == [LABEL]
    assert recorded(many, f"bad-{name}").status == 400


@pytest.mark.parametrize(("change", "status"), [("load", 200), ("unload", 503)])
def test_a_model_may_change_while_a_body_is_on_its_way(many: EngineProcess, change: str, status: int) -> None:
    body, address = json.dumps(row_request()).encode(), httpx.URL(many.url)
    try:
        with closing(http.client.HTTPConnection(address.host, address.port, timeout=DEADLINE_S)) as connection:
            connection.putrequest("POST", "/v2/models/digits/infer")
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body[:10])
            changed = httpx.post(
                f"{many.url}/v2/repository/models/digits/{change}", timeout=DEADLINE_S, verify=NO_AUTHORITIES
            )
            assert changed.status_code == 200

            connection.send(body[10:])
            answer = connection.getresponse()

            assert (answer.status, bool(answer.getheader("retry-after"))) == (status, status == 503), answer.read()
        assert httpx.get(f"{many.url}/rollbook/instance", timeout=180, verify=NO_AUTHORITIES).json()["in_flight"] == 0
    finally:
        httpx.post(f"{many.url}/v2/repository/models/digits/load", timeout=DEADLINE_S, verify=NO_AUTHORITIES)


def test_a_model_is_ready_whatever_became_of_the_others(many: EngineProcess) -> None:
    def is_ready(model: str) -> int:
        return httpx.get(f"{many.url}/v2/models/{model}/ready", timeout=180, verify=NO_AUTHORITIES).status_code

    httpx.post(f"{many.url}/v2/repository/models/echo/load", timeout=DEADLINE_S, verify=NO_AUTHORITIES)
    httpx.post(f"{many.url}/v2/repository/models/digits/unload", timeout=DEADLINE_S, verify=NO_AUTHORITIES)
    try:
        with tritonclient.grpc.InferenceServerClient(many.url.removeprefix("http://")) as client:
            over_grpc = [client.is_model_ready(model) for model in ("echo", "digits")]

        assert (is_ready("echo"), is_ready("digits"), over_grpc) == (200, 503, [True, False])
    finally:
        httpx.post(f"{many.url}/v2/repository/models/digits/load", timeout=DEADLINE_S, verify=NO_AUTHORITIES)


def test_a_model_without_room_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    write_echo(tmp_path / "repository" / "echo")
    with (tmp_path / "repository" / "echo" / ARTIFACT_NAME).open("ab") as artifact:
        artifact.truncate(100 * 1024**2)
    environ = {
        "ROLLBOOK_RUNTIME_REPOSITORY_DIR": str(tmp_path / "repository"),
        "ROLLBOOK_RUNTIME_MEMORY_LIMIT_BYTES": str(300 * 1024**2),
    }

    with running(tmp_path, environ=environ) as engine:
        answer = httpx.post(f"{engine.url}/v2/repository/models/echo/load", timeout=180, verify=NO_AUTHORITIES)
        assert answer.status_code == 400
        assert "MiB are free" in answer.json()["error"]
        assert (
            httpx.post(
                f"{engine.url}/v2/models/digits/infer", json=row_request(), timeout=180, verify=NO_AUTHORITIES
            ).status_code
            == 200
        )


def test_a_process_without_room_for_its_model_says_so_and_ends(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")

    with launched(tmp_path, environ={"ROLLBOOK_RUNTIME_MEMORY_LIMIT_BYTES": str(1024**2)}) as engine:
        assert engine.process.wait(DEADLINE_S) == EXIT_CANNOT_START

    assert json.loads((engine.spool / "failure.json").read_text())["code"] == "memory-short"


def test_a_model_that_crashes_its_process_takes_no_other_with_it(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_model(tmp_path / name / "model", artifact_format="onnx")

    with running(tmp_path / "one") as one, running(tmp_path / "other") as other:
        os.kill(one.process.pid, signal.SIGSEGV)
        assert one.process.wait(DEADLINE_S) == -signal.SIGSEGV

        answer = httpx.post(
            f"{other.url}/v2/models/digits/infer", json=row_request(), timeout=180, verify=NO_AUTHORITIES
        )
        assert answer.status_code == 200


def test_an_open_connection_of_grpc_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    # Whoever waited for the connection would wait much longer than the test does.
    environ = {"ROLLBOOK_RUNTIME_DRAIN_SECONDS": "3600"}

    with (
        running(tmp_path, environ=environ) as engine,
        tritonclient.grpc.InferenceServerClient(engine.url[len("http://") :]) as client,
    ):
        assert client.is_server_ready()
        engine.process.terminate()

        assert engine.process.wait(DEADLINE_S) == 0
