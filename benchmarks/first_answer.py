"""Registration of a new small model to the first 200 at the gateway, and where the time goes.

Each model has an endpoint of its own, and the engines of the earlier ones go on running. The parts come from the clocks
of those who write them: the caller's, the times of events, and the logs of the agent and of the engine.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from benchmarks.figures import Figure, below, quantile
from benchmarks.served_models import INPUT, PIXELS, SIGNATURE, graph_of, rest_bodies
from benchmarks.stack import Stack, running_stack
from benchmarks.wire import Answer, BlockingConnection, request_bytes
from rollbook import Rollbook
from rollbook.resources import Endpoint

_MODELS, _MODELS_FULL = 5, 20
_FORMATS = ("skops", "onnx")
_TRAINED_ON = 600
_POLL_S = 0.01
_WITHIN_S = 60.0
_OK = 200

_PARTS = (
    "model, artifact and version registered",
    "endpoint created",
    "event to agent",
    "artifact fetched, checked and linked",
    "process made",
    "model loaded and tried",
    "golden input asked, announced",
    "routed",
    "first answer",
)


class _Model(msgspec.Struct, frozen=True):
    name: str
    path: Path
    golden: dict[str, Any]


class _Sample(msgspec.Struct, frozen=True):
    """The seconds from the first request to the first answer, and of the parts in order."""

    total: float
    parts: tuple[float, ...]


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Register, deploy and ask one model after the other."""
    with tempfile.TemporaryDirectory() as folder, running_stack() as stack, stack.client() as rollbook:
        for artifact_format in _FORMATS:
            models = _write_models(Path(folder), artifact_format, count=_MODELS_FULL if full else _MODELS)
            samples = [_sample(stack, rollbook, model) for model in models]
            yield _figures(artifact_format, samples)


def _write_models(folder: Path, artifact_format: str, *, count: int) -> list[_Model]:
    """Train models that differ, so that no artifact is known already."""
    images, labels = load_digits(return_X_y=True)
    models = []
    for number in range(count):
        chosen = slice(number * 10, number * 10 + _TRAINED_ON)
        fitted = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500)).fit(images[chosen], labels[chosen])
        path = folder / f"first-{number}.{artifact_format}"
        _write(fitted, path)
        tensor = {"name": INPUT, "datatype": "FP32", "shape": [1, PIXELS], "data": images[0].tolist()}
        golden = {"inputs": [tensor], "outputs": {"label": [int(fitted.predict(images[:1])[0])]}}
        models.append(_Model(f"{artifact_format}-{number}", path, golden))
    return models


def _write(fitted: Pipeline, path: Path) -> None:
    if path.suffix == ".onnx":
        path.write_bytes(graph_of(fitted))
    else:
        skops.io.dump(fitted, path)


def _sample(stack: Stack, rollbook: Rollbook, model: _Model) -> _Sample:
    request = _request(rollbook, model)
    began = time.time()
    rollbook.models.register(model.name)
    signature = msgspec.to_builtins(SIGNATURE)
    version = rollbook.versions.register(model.name, model.path, signature=signature, golden=model.golden)
    registered = time.time()
    endpoint = rollbook.endpoints.create(model.name, version=version.reference)
    created = time.time()
    sent, answered = _first_answer(stack, request)
    # The time until the endpoint's answer is the caller's; the agent has it from the event's time on.
    moments = _moments(stack, rollbook, endpoint)
    steps = (*moments, sent, answered)
    later = tuple(end - start for start, end in itertools.pairwise(steps))
    return _Sample(answered - began, (registered - began, created - registered, *later))


def _request(rollbook: Rollbook, model: _Model) -> bytes:
    token = rollbook.inference_tokens.mint(["*"]).token
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    return request_bytes("POST", f"/v2/models/{model.name}/infer", headers=headers, body=rest_bodies()[0])


def _first_answer(stack: Stack, request: bytes) -> tuple[float, float]:
    """Ask until the answer is one, and return when that request was sent and when it was answered."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        sent = time.time()
        if _ask(stack, request).status == _OK:
            return sent, time.time()
        time.sleep(_POLL_S)
    raise TimeoutError(f"no answer within {_WITHIN_S:g} s")


def _ask(stack: Stack, request: bytes) -> Answer:
    # The gateway may close a connection on which it refused.
    with BlockingConnection(stack.gateway_url) as gateway:
        return gateway.ask(request)


def _moments(stack: Stack, rollbook: Rollbook, endpoint: Endpoint) -> tuple[float, ...]:
    """Return when the deployment was recorded, seen, laid, forked, ready and announced."""
    (deployment,) = endpoint.deployments
    agent = _logged(stack.data_dir / "logs" / "agent.log", deployment.id)
    engine = _logged(stack.data_dir / "logs" / f"engine-{deployment.id[-12:]}-0.log", "")
    added = rollbook.events(stream=endpoint.id, event_type="endpoints.DeploymentAdded.v1")[0]
    announced = next(
        recorded
        for recorded in rollbook.events(event_type="endpoints.InstanceAnnounced.v1")
        if recorded.event["data"]["deployment_id"] == deployment.id
    )
    return (
        _time(added.event["time"]),
        agent["instance_starts"],
        agent["model_laid"],
        agent["engine_started"],
        engine["instance_ready"],
        _time(announced.event["time"]),
    )


def _logged(log: Path, deployment_id: str) -> Mapping[str, float]:
    """Return when each event of a deployment first stood in a log."""
    found: dict[str, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("deployment_id", "") == deployment_id:
            found.setdefault(entry["event"], _time(entry["at"]))
    return found


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _figures(artifact_format: str, samples: list[_Sample]) -> list[Figure]:
    totals = [sample.total for sample in samples]
    note = f"{len(samples)} models: " + ", ".join(f"{each:.2f}" for each in sorted(totals))
    figures = [
        Figure(
            name=f"{artifact_format}, registered to first answer, p50",
            value=quantile(totals, 0.5),
            unit="s",
            goal=below(3),
            note=note,
        ),
        Figure(name=f"{artifact_format}, registered to first answer, p99", value=quantile(totals, 0.99), unit="s"),
    ]
    for number, part in enumerate(_PARTS):
        times = [sample.parts[number] * 1000 for sample in samples]
        p99 = f"p99 {quantile(times, 0.99):.0f} ms"
        figures.append(Figure(name=f"    {part}, p50", value=quantile(times, 0.5), unit="ms", note=p99))
    return figures
