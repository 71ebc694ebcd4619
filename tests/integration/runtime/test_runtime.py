"""The runtime as a process of its own, asked over HTTP."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from schemas.events.endpoints import CapturePolicy
from schemas.events.registry import ArtifactFormat
from serving.capture import records
from serving.capture.policy_file import PolicyInForce, write_policy
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool_reader import SpoolReader
from tests.support.digits import digits, row_request, trained
from tests.support.engine_process import CAPTURE, EngineProcess, running, write_model
from tests.support.plain_http import NO_AUTHORITIES

DEADLINE_S = 200
INFER = "/v2/models/digits/infer"
PREDICTION_ID = "1700000000000-0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    root = tmp_path_factory.mktemp("runtime")
    write_model(root / "model", artifact_format="skops")
    with running(root) as process:
        yield process


@pytest.fixture(scope="module")
def client(engine: EngineProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=engine.url, timeout=DEADLINE_S, verify=NO_AUTHORITIES) as shared:
        yield shared


def _records(engine: EngineProcess) -> list[ObservationRecord]:
    payloads = SpoolReader(engine.spool).read(0, max_frames=100_000, max_bytes=10**9).payloads
    return [record for record in map(records.decode, payloads) if isinstance(record, ObservationRecord)]


def _recorded(engine: EngineProcess, prediction_id: str) -> ObservationRecord:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for record in _records(engine):
            if record.prediction_id == prediction_id:
                return record
        time.sleep(0.05)
    pytest.fail(f"{prediction_id} was not captured")


@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v2/models/DIGITS/versions/2/infer"])
def test_a_digit_is_predicted_with_its_version(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json=row_request(5)).raise_for_status().json()

    label, probabilities = answer["outputs"]
    assert label == {
        "name": "label",
        "datatype": "INT64",
        "shape": [1],
        "data": [int(trained().predict(digits()[0][5:6])[0])],
    }
    assert probabilities["shape"] == [1, 10]
    assert (answer["model_name"], answer["model_version"]) == ("digits", "2")
    assert answer["parameters"] == {"version": "digits/2", "deployment_id": "deployment-1"}


def test_only_the_asked_outputs_are_answered_under_the_callers_id(client: httpx.Client) -> None:
    body = row_request() | {"id": "mine", "outputs": [{"name": "label"}]}

    answer = client.post(INFER, json=body).json()

    assert answer["id"] == "mine"
    assert [output["name"] for output in answer["outputs"]] == ["label"]


def test_many_rows_are_answered_in_order(client: httpx.Client) -> None:
    pixels, _ = digits()
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [50, 64], "data": pixels[:50].tolist()}

    answer = client.post(INFER, json={"inputs": [tensor]}).json()

    assert answer["outputs"][0]["data"] == trained().predict(pixels[:50]).tolist()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "pictures"}, "pictures"),
        ({"datatype": "FP64"}, "pixels"),
        ({"datatype": "FLOAT"}, "pixels"),
        ({"shape": [1, 63]}, "pixels"),
        ({"shape": [2, 64]}, "pixels"),
        ({"data": ["a"] * 64}, "pixels"),
        ({"data": [1e39] * 64}, "pixels"),
        ({"data": None}, "pixels"),
    ],
)
def test_a_tensor_that_does_not_fit_is_answered_with_its_name(
    client: httpx.Client, change: dict[str, Any], named: str
) -> None:
    tensor = row_request()["inputs"][0] | change

    answer = client.post(INFER, json={"inputs": [tensor]})

    assert answer.status_code == 400
    assert named in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs": []}',
        b'{"inputs": [{"name": "pixels"}]}',
        json.dumps(row_request() | {"outputs": [{"name": "mood"}]}).encode(),
        json.dumps({"inputs": row_request()["inputs"] * 2}).encode(),
    ],
)
def test_a_body_that_is_no_request_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(INFER, content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/models/letters/infer"),
        ("POST", "/v2/models/digits/versions/3/infer"),
        ("GET", "/v2/models/letters"),
        ("GET", "/v2/models/digits/versions/1/ready"),
        ("GET", "/v2/models/digits/nothing"),
        ("GET", "/"),
        ("DELETE", "/v2/models/digits"),
    ],
)
def test_what_does_not_exist_is_not_found(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready", "/v2/models/digits/versions/2/ready"],
)
def test_a_served_model_is_live_and_ready(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/2"])
def test_metadata_tells_the_signature(client: httpx.Client, path: str) -> None:
    metadata = client.get(path).json()

    assert metadata["versions"] == ["2"]
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
    assert client.get("/v2").json()["name"] == "rollbook"


def test_the_instance_says_who_it_is(client: httpx.Client, engine: EngineProcess) -> None:
    described = client.get("/rollbook/instance").json()

    assert described["pid"] == engine.process.pid
    assert (described["instance_id"], described["boot_id"], described["in_flight"]) == ("instance-1", "boot-1", 0)


def test_a_body_above_the_limit_is_refused_also_without_a_length(client: httpx.Client) -> None:
    large = b" " * (33 * 1024 * 1024)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 1024 * 1024):
            yield large[start : start + 1024 * 1024]

    for content in (large, chunks()):
        try:
            answer = client.post(INFER, content=content)
        except httpx.WriteError:
            # The server closed the connection before all of it was sent.
            continue
        assert answer.status_code == 413
        assert "error" in answer.json()
    assert client.get("/v2/health/ready").status_code == 200


def test_a_prediction_of_the_gateway_is_captured(client: httpx.Client, engine: EngineProcess) -> None:
    body = row_request(3) | {"outputs": [{"name": "probabilities"}]}

    answer = client.post(INFER, json=body, headers={"x-prediction-id": PREDICTION_ID})

    record = _recorded(engine, PREDICTION_ID)
    assert record.prediction == str(trained().predict(digits()[0][3:4])[0])
    assert record.prediction_datatype == "INT64"
    assert (record.status, record.engine_ms > 0) == (200, True)
    assert json.loads(record.inputs)["pixels"]["data"] == body["inputs"][0]["data"]
    assert json.loads(record.outputs)["probabilities"]["data"] == answer.json()["outputs"][0]["data"]
    assert answer.json()["id"] == PREDICTION_ID


def test_a_refused_prediction_is_captured_with_its_status(client: httpx.Client, engine: EngineProcess) -> None:
    client.post(INFER, content=b"{", headers={"x-prediction-id": "refused"})

    record = _recorded(engine, "refused")
    assert (record.status, record.prediction, record.inputs) == (400, "", "")


def test_a_capture_policy_that_changes_is_followed_without_a_restart(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    policy = CapturePolicy(hashed=("pixels",), outputs=(), prediction=False, retention_days=2)
    with running(tmp_path) as engine:
        _ask(engine, "before")
        assert json.loads(_recorded(engine, "before").inputs)["pixels"]["data"]

        _change_policy(engine, PolicyInForce(version=9, policy=policy))
        _ask(engine, "after")
        after = _recorded(engine, "after")
        _change_policy(engine, PolicyInForce(version=10, policy=CapturePolicy(sampling_rate=0.0)))
        _ask(engine, "left-out")
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(DEADLINE_S) == 0

    assert set(json.loads(after.inputs)["pixels"]) == {"datatype", "shape", "blake2b"}
    assert (after.outputs, after.prediction, after.policy_version, after.retention_days) == ("{}", "", 9, 2)
    assert [record.prediction_id for record in _records(engine)] == ["before", "after"]
    assert (_marks(engine)[-1].seen, _marks(engine)[-1].unsampled) == (3, 1)


def _ask(engine: EngineProcess, prediction_id: str) -> None:
    answer = httpx.post(
        engine.url + INFER,
        json=row_request(),
        headers={"x-prediction-id": prediction_id},
        timeout=DEADLINE_S,
        verify=NO_AUTHORITIES,
    )
    assert answer.status_code == 200


def _change_policy(engine: EngineProcess, in_force: PolicyInForce) -> None:
    """Replace the file as the agent does, and wait until the engine says that it follows."""
    write_policy(engine.spool.with_name(CAPTURE), in_force)
    deadline = time.monotonic() + DEADLINE_S
    while engine.log.read_text().count("capture_policy_followed") < in_force.version - 8:
        assert time.monotonic() < deadline, engine.log.read_text()
        time.sleep(0.05)


def _marks(engine: EngineProcess) -> list[Mark]:
    payloads = SpoolReader(engine.spool).read(0, max_frames=100_000, max_bytes=10**9).payloads
    return [mark for mark in map(records.decode, payloads) if isinstance(mark, Mark)]


def test_a_request_without_prediction_id_is_not_captured(client: httpx.Client, engine: EngineProcess) -> None:
    client.post(INFER, json=row_request())
    client.post(INFER, json=row_request(), headers={"x-prediction-id": "after"})

    _recorded(engine, "after")
    assert "" not in {record.prediction_id for record in _records(engine)}


def test_a_connection_is_idle_for_longer_than_servers_wait_and_answered(engine: EngineProcess) -> None:
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().read() is not None
    socket_before = connection.sock
    time.sleep(uvicorn.Config("").timeout_keep_alive + 0.5)  # a longer idleness asks more of the server, not less

    connection.request("GET", "/v2/health/live")

    assert connection.getresponse().status == 200
    assert connection.sock is socket_before
    connection.close()


def test_a_full_queue_answers_503_with_retry_after(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    content, is_full = _many_rows(), threading.Event()
    with (
        running(tmp_path, environ={"ROLLBOOK_RUNTIME_THREADS": "1", "ROLLBOOK_RUNTIME_QUEUE_BOUND": "0"}) as engine,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(_: int) -> list[httpx.Response]:
            answers = []
            while not is_full.is_set():
                answers.append(
                    httpx.post(engine.url + INFER, content=content, timeout=DEADLINE_S, verify=NO_AUTHORITIES)
                )
                if answers[-1].status_code == 503:
                    is_full.set()
            return answers

        answers = [answer for some in pool.map(ask, range(8)) for answer in some]

    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


def _many_rows() -> bytes:
    rows = digits()[0][:1_000].tolist() * 20
    return json.dumps(
        {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [len(rows), 64], "data": rows}]}
    ).encode()


@pytest.mark.parametrize("artifact_format", ["skops", "onnx"])
def test_a_stop_answers_what_is_under_way_and_keeps_what_was_captured(
    tmp_path: Path, artifact_format: ArtifactFormat
) -> None:
    write_model(tmp_path / "model", artifact_format=artifact_format)
    with running(tmp_path) as engine, ThreadPoolExecutor(1) as pool:
        under_way, asked = _seen_under_way(engine, pool)

        engine.process.send_signal(signal.SIGTERM)

        assert under_way.result().status_code == 200
        assert engine.process.wait(DEADLINE_S) == 0, engine.log.read_text()
        assert [record.prediction_id for record in _records(engine)] == asked


def _seen_under_way(engine: EngineProcess, pool: ThreadPoolExecutor) -> tuple[Future[httpx.Response], list[str]]:
    """Ask, again where the answer came before anybody looked; return the request and all prediction ids."""
    content, asked = _many_rows(), list[str]()
    while True:
        asked.append(f"request-{len(asked)}")
        headers = {"x-prediction-id": asked[-1]}
        request = pool.submit(httpx.post, engine.url + INFER, content=content, timeout=DEADLINE_S, headers=headers)
        while not request.done():
            if httpx.get(f"{engine.url}/rollbook/instance", timeout=DEADLINE_S, verify=NO_AUTHORITIES).json()[
                "in_flight"
            ]:
                return request, asked


def test_the_spool_says_up_to_when_it_is_complete(engine: EngineProcess) -> None:
    def last_mark() -> int:
        payloads = SpoolReader(engine.spool).read(0, max_frames=100_000, max_bytes=10**9).payloads
        return max(
            (item.closed_until_ms for item in map(records.decode, payloads) if isinstance(item, Mark)), default=0
        )

    now_ms, deadline = time.time() * 1000, time.monotonic() + DEADLINE_S

    while last_mark() < now_ms:
        assert time.monotonic() < deadline, "no mark was written"
        time.sleep(0.05)
