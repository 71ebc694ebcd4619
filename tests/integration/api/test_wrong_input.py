"""Every wrong request gets a problem document that names the field and the remedy, and leaves no event."""

import json
from typing import Any, get_args

import httpx
import msgspec
import pytest

from schemas.events.access import Duty
from tests.support.api import RunningApi, Stage
from tests.support.digits import SIGNATURE

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = "endpoint-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
NO_ROLLOUT = "rollout-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
NO_INSTANCE = "instance-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
NO_PRINCIPAL = "principal-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
NO_DIGEST = "sha256:" + "0" * 64
SIGNED = msgspec.to_builtins(SIGNATURE)
INSTANCE = {"agent_id": "a", "boot_id": "b", "host": "h", "port": 1, "region": "r", "zone": "z"}
PREDICTION = "1700000000000-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
GATE = {"kind": "error_rate", "max_increase": 0.1, "min_requests": 10}
TIMES = {"from_ms": 0, "to_ms": 60_000}
EPOCH = {"endpoint": "digits", "epoch": 1, "candidate": "a", "baseline": "b"}

# path, body, code, field. {digest}, {endpoint} and so on stand for what the stage made.
SHAPES = [
    ("/v1/endpoints/digits/feature-summaries", {"from_ms": 0}, "invalid-body", "to_ms"),
    ("/v1/endpoints/digits/feature-summaries", {**TIMES, "window": 60_000}, "invalid-body", "window"),
    ("/v1/endpoints/digits/feature-summaries", {**TIMES, "from_ms": "today"}, "invalid-body", "from_ms"),
    ("/v1/endpoints/digits/feature-summaries", {**TIMES, "features": ["x"] * 513}, "invalid-body", "features"),
    ("/v1/endpoints/digits/feature-summaries", {**TIMES, "features": ["x" * 257]}, "invalid-body", "features[0]"),
    ("/v1/models", {}, "invalid-body", "name"),
    ("/v1/models", {"name": "a", "colour": "red"}, "invalid-body", "colour"),
    ("/v1/models", {"name": 7}, "invalid-body", "name"),
    ("/v1/models", {"name": None}, "invalid-body", "name"),
    ("/v1/models", {"name": "a", "tags": {"k": 1}}, "invalid-body", "tags[...]"),
    ("/v1/models", {"name": "a", "tags": {"": "v"}}, "invalid-body", None),
    ("/v1/models", {"name": "a", "description": "x" * 2_001}, "invalid-body", "description"),
    ("/v1/models", [], "invalid-body", None),
    ("/v1/models", "a", "invalid-body", None),
    ("/v1/models", None, "invalid-body", None),
    ("/v1/models", {"name": "no/slash"}, "invalid-name", "name"),
    ("/v1/models", {"name": "-begins-with-a-dash"}, "invalid-name", "name"),
    ("/v1/models", {"name": "ä"}, "invalid-name", "name"),
    ("/v1/models/digits/versions", {"artifact": {"digest": "{digest}"}}, "invalid-body", "artifact.format"),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": "{digest}", "format": "pickle"}, "signature": SIGNED},
        "invalid-body",
        "artifact.format",
    ),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": "{digest}", "format": "skops"}, "signature": {"inputs": [], "outputs": []}},
        "invalid-body",
        "signature.inputs",
    ),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": "{digest}", "format": "skops"}, "signature": {**SIGNED, "extra": 1}},
        "invalid-body",
        "signature.extra",
    ),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": "sha256:abc", "format": "skops"}, "signature": SIGNED},
        "malformed-digest",
        "artifact.digest",
    ),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": NO_DIGEST, "format": "skops"}, "signature": SIGNED},
        "artifact-not-found",
        "artifact.digest",
    ),
    (
        "/v1/models/digits/versions",
        {"artifact": {"digest": "{digest}", "format": "onnx"}, "signature": SIGNED},
        "artifact-is-no-model",
        "artifact",
    ),
    (
        "/v1/models/nobody/versions",
        {"artifact": {"digest": "{digest}", "format": "skops"}, "signature": SIGNED},
        "model-not-found",
        "model",
    ),
    ("/v1/endpoints", {"name": "e", "replicas": "1"}, "invalid-body", "replicas"),
    ("/v1/endpoints", {"name": "e", "version": "digits/99"}, "version-not-found", "version"),
    ("/v1/endpoints", {"name": "e", "version": "digits"}, "version-not-found", "version"),
    ("/v1/endpoints", {"name": "e", "version": "digits/1", "replicas": 0}, "invalid-replicas", "replicas"),
    ("/v1/endpoints", {"name": "DIGITS"}, "endpoint-name-taken", "name"),
    ("/v1/endpoints/{endpoint}/deployments", {"version": "digits/1", "x": 1}, "invalid-body", "x"),
    (f"/v1/endpoints/{NOWHERE}/deployments", {"version": "digits/1"}, "endpoint-not-found", "endpoint"),
    ("/v1/endpoints/nobody/deployments", {"version": "digits/1"}, "endpoint-not-found", "endpoint"),
    ("/v1/endpoints/{endpoint}/deployments/{deployment}/remove", {}, "invalid-body", "reason"),
    (
        "/v1/endpoints/{endpoint}/deployments/{deployment}/remove",
        {"reason": "x"},
        "deployment-takes-traffic",
        None,
    ),
    ("/v1/endpoints/{endpoint}/deployments/nothing/remove", {"reason": "x"}, "deployment-not-found", None),
    ("/v1/endpoints/{endpoint}/rollback", {"reason": "x", "epoch": 99}, "earlier-traffic-gone", "epoch"),
    ("/v1/endpoints/{endpoint}/rollback", {"reason": "x", "epoch": "1"}, "invalid-body", "epoch"),
    ("/v1/rollouts", {"endpoint": "digits", "version": "digits/2", "gates": "none"}, "invalid-body", "gates"),
    (
        "/v1/rollouts",
        {"endpoint": "digits", "version": "digits/2", "gates": [{**GATE, "y": 1}]},
        "invalid-body",
        "gates[0].y",
    ),
    (
        "/v1/rollouts",
        {"endpoint": "digits", "version": "digits/2", "gates": [{**GATE, "kind": "astrology"}]},
        "invalid-body",
        "gates[0].kind",
    ),
    ("/v1/rollouts", {"endpoint": "nobody", "version": "digits/2", "gates": [GATE]}, "endpoint-not-found", "endpoint"),
    ("/v1/rollouts", {"endpoint": "digits", "version": "digits/9", "gates": [GATE]}, "version-not-found", "version"),
    (f"/v1/rollouts/{NO_ROLLOUT}/abort", {"reason": "x"}, "rollout-not-found", "rollout"),
    ("/v1/rollouts/nonsense/abort", {"reason": "x"}, "rollout-not-found", "rollout"),
    ("/v1/principals", {"kind": "person", "name": "x", "role": "king"}, "invalid-body", "role"),
    ("/v1/principals", {"kind": "person", "role": "viewer"}, "invalid-body", "name"),
    (f"/v1/principals/{NO_PRINCIPAL}/role", {"role": "viewer"}, "principal-not-found", None),
    (f"/v1/principals/{NO_PRINCIPAL}/tokens", {"ttl_s": 0}, "invalid-body", "ttl_s"),
    (f"/v1/principals/{NO_PRINCIPAL}/tokens", {"forever": True}, "invalid-body", "forever"),
    (f"/v1/principals/{NO_PRINCIPAL}/tokens", {}, "principal-not-found", None),
    (f"/v1/principals/{NO_PRINCIPAL}/erase", {"reason": "x"}, "principal-not-found", None),
    ("/v1/inference-tokens", {"endpoints": []}, "invalid-body", "endpoints"),
    ("/v1/inference-tokens", {"endpoints": ["digits"], "ttl_s": 3_601}, "invalid-body", "ttl_s"),
    ("/v1/inference-tokens", {"endpoints": ["digits", "nobody"]}, "endpoint-not-found", "endpoints[1]"),
    ("/v1/feedback", {"items": []}, "invalid-body", "items"),
    ("/v1/feedback", {"items": [{"prediction_id": PREDICTION, "name": "label"}]}, "invalid-body", "items[0].value"),
    (
        "/v1/feedback",
        {
            "items": [
                {"prediction_id": PREDICTION, "name": "l", "value": 1},
                {"prediction_id": "x", "name": "l", "value": 1},
            ]
        },
        "invalid-feedback",
        "items[1].prediction_id",
    ),
    ("/v1/query", {"sql": "DROP TABLE x"}, "bad-query", "sql"),
    ("/v1/query", {"sql": "SELECT 1", "limit": 1}, "invalid-body", "limit"),
    ("/v1/predictions/lookup", {"prediction_ids": 1}, "invalid-body", "prediction_ids"),
    ("/v1/measurements", {"items": [EPOCH] * 501}, "invalid-body", "items"),
    ("/v1/measurements", {"items": [EPOCH, {**EPOCH, "epoch": "1"}]}, "invalid-body", "items[1].epoch"),
]
PROGRAMS = [
    ("/v1/rollouts/measurements", {"items": [{"rollout_id": "x"}]}, "invalid-body", "items[0].measurement"),
    ("/v1/instances", {**INSTANCE, "endpoint_id": "{endpoint}"}, "invalid-body", "deployment_id"),
    (
        "/v1/instances",
        {**INSTANCE, "endpoint_id": "{endpoint}", "deployment_id": "nothing"},
        "deployment-not-found",
        "deployment_id",
    ),
    (
        "/v1/instances",
        {**INSTANCE, "endpoint_id": "{endpoint}", "deployment_id": "{deployment}", "port": 70_000},
        "invalid-body",
        "port",
    ),
    (
        "/v1/instances",
        {**INSTANCE, "endpoint_id": "{endpoint}", "deployment_id": "{deployment}", "instance_id": "x"},
        "invalid-request",
        "instance_id",
    ),
    (f"/v1/instances/{NO_INSTANCE}/withdraw", {"reason": "x"}, "instance-not-found", None),
    (
        "/v1/endpoints/{endpoint}/applied",
        {"epoch": 999, "region": "r", "gateway_id": "g", "applied_at": "2026-01-02T03:04:05.678Z"},
        "unknown-epoch",
        "epoch",
    ),
    (
        "/v1/endpoints/{endpoint}/applied",
        {"epoch": 3, "region": "r", "gateway_id": "g", "applied_at": "yesterday"},
        "invalid-request",
        "applied_at",
    ),
    (f"/v1/rollouts/{NO_ROLLOUT}/warm-up", {"ready_instances": 1, "elapsed_ms": 1}, "rollout-not-found", "rollout"),
]
WEIGHTS = [
    ([], "weights"),
    ([{"deployment_id": "{deployment}", "weight_percent": 99}], "weights"),
    ([{"deployment_id": "{deployment}", "weight_percent": 101}], "weights[0].weight_percent"),
    ([{"deployment_id": "{deployment}", "weight_percent": -1}], "weights[0].weight_percent"),
    ([{"deployment_id": "nothing", "weight_percent": 100}], "weights[0].deployment_id"),
    ([{"deployment_id": "{deployment}", "weight_percent": 50}] * 2, "weights[1].deployment_id"),
]


@pytest.mark.parametrize(("path", "body", "code", "field"), SHAPES)
async def test_a_wrong_command_of_a_person_is_refused(  # the columns of the table
    api: RunningApi, stage: Stage, path: str, body: object, code: str, field: str | None
) -> None:
    await refused(api, await sent(api.admin, stage, path, body), code=code, field=field)


@pytest.mark.parametrize(("path", "body", "code", "field"), PROGRAMS)
async def test_a_wrong_command_of_a_program_is_refused(
    api: RunningApi, stage: Stage, path: str, body: object, code: str, field: str | None
) -> None:
    await refused(api, await sent(api.service, stage, path, body), code=code, field=field)


@pytest.mark.parametrize(
    ("policy", "code", "field"),
    [
        ({"sampling_rate": 1.5}, "invalid-body", "policy.sampling_rate"),
        ({"sample": 0.5}, "invalid-body", "policy.sample"),
        ({"inputs": "pixels"}, "invalid-body", "policy.inputs"),
        ({"hashed": ["pixel"]}, "invalid-capture-policy", "policy.hashed"),
        ({"retention_days": 0}, "invalid-body", "policy.retention_days"),
    ],
)
async def test_a_capture_policy_that_makes_no_sense_is_refused(
    api: RunningApi, stage: Stage, policy: dict[str, Any], code: str, field: str
) -> None:
    body = {"policy": policy, "reason": "less"}

    answer = await sent(api.admin, stage, "/v1/endpoints/{endpoint}/capture-policy", body, method="PUT")

    await refused(api, answer, code=code, field=field)


@pytest.mark.parametrize(
    ("policy", "code", "field"),
    [
        ({"backup": "digits/77"}, "invalid-failover-policy", "policy.backup"),
        ({"backup_regions": ["eu", "eu"]}, "invalid-regions", "policy.backup_regions"),
        ({"backup_regions": "eu"}, "invalid-body", "policy.backup_regions"),
        ({"max_retries": 11}, "invalid-failover-policy", "policy.max_retries"),
        ({"per_try_timeout_ms": 1}, "invalid-failover-policy", "policy.per_try_timeout_ms"),
        ({"retry_budget_percent": 101}, "invalid-body", "policy.retry_budget_percent"),
        ({"max_requests": 0}, "invalid-failover-policy", "policy.max_requests"),
        ({"backup_region": ["eu"]}, "invalid-body", "policy.backup_region"),
    ],
)
async def test_a_failover_policy_that_makes_no_sense_is_refused(
    api: RunningApi, stage: Stage, policy: dict[str, Any], code: str, field: str
) -> None:
    body = {"policy": policy, "reason": "more"}

    answer = await sent(api.admin, stage, "/v1/endpoints/{endpoint}/failover-policy", body, method="PUT")

    await refused(api, answer, code=code, field=field)


@pytest.mark.parametrize(("weights", "field"), WEIGHTS)
async def test_weights_that_do_not_split_the_traffic_are_refused(
    api: RunningApi, stage: Stage, weights: object, field: str
) -> None:
    answer = await sent(api.admin, stage, "/v1/endpoints/{endpoint}/traffic", {"weights": weights}, method="PUT")

    await refused(api, answer, code="invalid-weights", field=field)


@pytest.mark.parametrize("body", [b"", b"{", b'{"name": "a"', b"\xff\xfe", b"nonsense", b'{"name": NaN}', b'"\\ud800"'])
async def test_a_body_that_is_no_json_is_refused(api: RunningApi, body: bytes) -> None:
    answer = await api.admin.post("/v1/models", content=body)

    assert answer.json()["code"] in {"malformed-json", "invalid-body"}
    await refused(api, answer, code=answer.json()["code"], field=None)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/models", '{"name": "a", "name": "b"}', "name"),
        ("/v1/models", r'{"name": "a", "n\u0061me": "b"}', "name"),
        ("/v1/models", '{"name": "a", "tags": {"team": "x", "size": "y", "team": "x"}}', "tags.team"),
        ("/v1/feedback", '{"items": [{"name": "a", "name": "a", "prediction_id": "x", "value": 1}]}', "items[0].name"),
        ("/v1/rollouts", '{"endpoint": "e", "version": "v/1", "replicas": 1, "replicas": 2}', "replicas"),
        ("/v1/query", '{"sql": "SELECT 1", "sql": "SELECT 2"}', "sql"),
        ("/v1/query", '{"sql": "SELECT 1", "parameters": {"a": 1, "a": 1}}', "parameters.a"),
        ("/v1/predictions/lookup", '{"prediction_ids": [], "prediction_ids": []}', "prediction_ids"),
        ("/v1/inference-tokens", '{"endpoints": ["*"], "endpoints": ["a"]}', "endpoints"),
    ],
)
async def test_a_member_that_is_there_twice_is_refused(api: RunningApi, path: str, body: str, field: str) -> None:
    answer = await api.admin.post(path, content=body)

    await refused(api, answer, code="invalid-body", field=field)
    assert "twice" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/query", "/v1/predictions/lookup"])
async def test_a_byte_order_mark_before_a_body_is_skipped(api: RunningApi, path: str) -> None:
    answer = await api.admin.post(path, content=b'\xef\xbb\xbf{"colour": "red"}')

    await refused(api, answer, code="invalid-body", field="colour")


async def test_a_body_in_another_encoding_is_named(api: RunningApi) -> None:
    answer = await api.admin.post("/v1/models", content='{"name": "a"}'.encode("utf-16"))

    await refused(api, answer, code="malformed-json", field=None)
    assert "UTF-16" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/endpoints", "/v1/feedback", "/v1/query", "/v1/principals"])
async def test_a_body_above_the_limit_is_refused(api: RunningApi, path: str) -> None:
    answer = await api.admin.post(path, content=b'{"name": "' + b"x" * (1 << 20) + b'"}')

    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    await refused(api, answer, code="body-too-large", field=None)


async def test_a_body_that_does_not_say_its_length_is_limited_too(api: RunningApi) -> None:
    async def pieces() -> Any:  # noqa: ANN401  an asynchronous iterator of bytes
        for _ in range(20):
            yield b"x" * (1 << 16)

    answer = await api.admin.post("/v1/models", content=pieces())

    await refused(api, answer, code="body-too-large", field=None)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "no-such-route"),
        ("GET", "/v1/models/nobody", 404, "model-not-found"),
        ("GET", "/v1/models/digits/versions/99", 404, "version-not-found"),
        ("GET", "/v1/models/digits/versions/one", 404, "no-such-route"),
        ("GET", f"/v1/models/digits/versions/{10**40}", 404, "version-not-found"),
        ("GET", f"/v1/models/digits/versions/-{10**40}", 404, "version-not-found"),
        ("GET", f"/v1/events?after={10**40}", 400, "invalid-request"),
        ("GET", f"/v1/events?after={2**63}", 400, "invalid-request"),
        ("GET", "/v1/versions/nothing", 404, "version-not-found"),
        ("GET", "/v1/endpoints/nobody", 404, "endpoint-not-found"),
        ("GET", f"/v1/rollouts/{NO_ROLLOUT}", 404, "rollout-not-found"),
        ("GET", f"/v1/artifacts/{NO_DIGEST}", 404, "artifact-not-found"),
        ("GET", "/v1/artifacts/nothing", 400, "malformed-digest"),
        ("DELETE", "/v1/models", 405, "method-not-allowed"),
        ("GET", "/v1/models?limit=many", 400, "invalid-request"),
        ("GET", "/v1/events?after=-1", 400, "invalid-request"),
        ("GET", "/v1/events?limit=100000", 400, "invalid-request"),
    ],
)
async def test_a_wrong_question_is_refused(
    api: RunningApi, stage: Stage, method: str, path: str, status: int, code: str
) -> None:
    answer = await api.admin.request(method, path)

    assert answer.status_code == status
    await refused(api, answer, code=code, field=answer.json().get("field"))


async def refused(api: RunningApi, answer: httpx.Response, *, code: str, field: str | None) -> None:
    """Check the document, and that nothing was recorded since the stage was set."""
    problem = answer.json()
    assert 400 <= answer.status_code < 500, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem.get("field")) == (code, field), problem
    assert problem["type"] == f"urn:rollbook:problem:{code}"
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert problem["remedy"]
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    await leaves_no_event(api)


async def leaves_no_event(api: RunningApi) -> None:
    """No test of this module appends anything, so that the log ends where the stage left it."""
    types = [item["event"]["type"] for item in (await api.admin.get("/v1/events?limit=1000")).json()["items"]]
    assert types.count("registry.ModelVersionRegistered.v1") in {0, 2}
    assert len(types) in {_OF_THE_START, _OF_THE_START + _OF_THE_STAGE}, types


# A principal and its token, for an admin, each duty, and any program.
_OF_THE_START = 2 * (len(get_args(Duty)) + 2)
_OF_THE_STAGE = 1 + 2 * 2 + 3 + 1
"""A model, two versions in two streams each, an endpoint with deployment and traffic, an instance."""


async def sent(
    client: httpx.AsyncClient, stage: Stage, path: str, body: object, *, method: str = "POST"
) -> httpx.Response:
    filled = _filled(json.dumps(body), stage)
    return await client.request(method, _filled(path, stage), content=filled)


def _filled(text: str, stage: Stage) -> str:
    names = {"{digest}": stage.digest, "{endpoint}": stage.endpoint_id, "{deployment}": stage.deployment_id}
    for name, value in names.items():
        text = text.replace(name, value)
    return text
