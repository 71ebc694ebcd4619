"""A language model behind the gateway, for real: trained here, served by vLLM, called by OpenAI's own client."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rollbook import Rollbook
from tests.extras.conftest import SIGNATURE, Trained, serve
from tests.extras.records import observed
from tests.support.stack import RunningStack

CALLS = Path(__file__).with_name("openai_calls.py")
SECRET = "sk-a-secret-that-must-stay-on-its-host"

pytestmark = pytest.mark.timeout(1_500)


@pytest.fixture(scope="session")
def called(stack: RunningStack, rollbook: Rollbook, story: str, vllm_python: Path) -> dict[str, Any]:
    """What OpenAI's client got; `story` serves by then."""
    assert story
    rollbook.models.set_alias("story", "champion", 1)
    rollbook.endpoints.create("idle")
    token, narrow = rollbook.inference_tokens.mint(["*"]).token, rollbook.inference_tokens.mint(["idle"]).token
    command = [str(vllm_python), str(CALLS), stack.gateway_url, token, narrow]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_model_has_learned(trained: Trained) -> None:
    report = trained.report
    assert report["held_out_loss"] < report["held_out_loss_before"] - 2.0


def test_every_answer_names_what_served_it(called: dict[str, Any], story: str) -> None:
    headers = called["headers"]

    assert headers["x-rollbook-deployment"] == story == called["fingerprint"]
    assert headers["x-rollbook-version"] == "story/1"
    assert int(headers["x-rollbook-epoch"]) > 0
    # The prediction id is the engine's own name for the request too.
    assert called["id"] == f"chatcmpl-{headers['x-prediction-id']}"


def test_openais_client_works_unmodified(called: dict[str, Any]) -> None:
    assert "story" in called["models"]
    assert called["shown"] == "story"
    # vLLM answers by the first of its names, whichever the caller used.
    assert called["pinned"][0] == "story"
    assert called["pinned"][1]
    assert called["aliased"] == ["story", "story/1"]
    assert called["content"]
    assert called["response"]
    stream = called["sync_stream"]
    assert stream["text"].startswith(called["content"].rstrip())
    assert stream["finish"] in {"stop", "length"}
    assert stream["usages"] == 0
    assert len(set(called["async"]["texts"])) == 1


def test_tools_and_schemas_pass_through(called: dict[str, Any]) -> None:
    name, arguments = called["tool"]
    assert name == "look_up"
    # vLLM holds a named tool to JSON alone, and a schema to all that it says.
    json.loads(arguments)
    assert 0 <= json.loads(called["shaped"])["number"] <= 9


def test_errors_are_those_that_openais_client_knows(called: dict[str, Any]) -> None:
    refusals = called["refusals"]

    not_there = ["NotFoundError", 404, "model_not_found"]
    assert [refusals[name] for name in ("unknown", "version", "alias")] == [not_there] * 3
    assert refusals["key"] == ["AuthenticationError", 401, "invalid_api_key"]
    too_long = ["BadRequestError", 400, "context_length_exceeded"]
    assert [refusals[name] for name in ("tokens", "overflow", "ten_megabytes")] == [too_long] * 3
    assert refusals["scope"] == ["PermissionDeniedError", 403, "endpoint_not_in_scope"]
    assert refusals["large"] == ["APIStatusError", 413, "request_too_large"]
    assert refusals["idle"] == ["InternalServerError", 503, "endpoint_not_ready"]


def test_tools_and_schemas_that_are_none_harm_nobody(called: dict[str, Any]) -> None:
    refusals = called["refusals"]

    assert refusals["tool_without_function"] == ["BadRequestError", 400, "invalid_request"]
    # vLLM looks at the schema of a tool only as far as it needs it, and at that of an answer once the stream has begun.
    assert refusals["tool_of_no_schema"][1] in {200, 400}
    assert refusals["schema_of_no_type"][0] in {"APIError", "BadRequestError"}
    assert refusals["afterwards"] == "story"


def test_a_stream_is_captured_with_its_tokens_and_times(
    called: dict[str, Any], stack: RunningStack, story: str
) -> None:
    seen = observed(stack, called["sync_stream"]["id"].removeprefix("chatcmpl-"))

    assert (seen["deployment_id"], seen["status"]) == (story, 200)
    assert seen["finish_reason"] == called["sync_stream"]["finish"]
    assert seen["tokens_in"] > 0
    assert 0 < seen["tokens_out"] <= 12
    assert seen["first_token_ms"] > 0
    assert seen["token_ms"] > 0
    assert json.loads(seen["outputs"])["completion"]["data"] == [called["sync_stream"]["text"]]


def test_a_whole_answer_is_captured_as_the_engine_counted_it(called: dict[str, Any], stack: RunningStack) -> None:
    seen = observed(stack, called["headers"]["x-prediction-id"])

    assert seen["tokens_in"] == called["usage"]["prompt_tokens"]
    assert seen["tokens_out"] == called["usage"]["completion_tokens"]
    assert seen["prediction"] == called["content"]


def test_a_caller_who_leaves_a_stream_is_on_record(called: dict[str, Any], stack: RunningStack) -> None:
    seen = observed(stack, called["async"]["left"].removeprefix("cmpl-"))

    assert (seen["status"], seen["finish_reason"]) == (499, "disconnected")
    assert seen["tokens_out"] < 400


def test_an_external_engine_serves_without_its_credential_leaving_the_host(
    stack: RunningStack, rollbook: Rollbook, called: dict[str, Any], tmp_path: Path, vllm_python: Path
) -> None:
    assert called
    instance = rollbook.endpoints.get("story").deployments[0].instances[0]
    origin = f"http://{instance.host}:{instance.port}"
    secrets = stack.data_dir / "secrets" / "engines"
    secrets.mkdir(mode=0o700)
    (secrets / "outside").write_text(json.dumps({"origin": origin, "value": f"Bearer {SECRET}"}))
    (secrets / "outside").chmod(0o600)
    description = tmp_path / "outside.json"
    description.write_text(json.dumps({"protocol": "openai", "url": origin, "model": "story", "credential": "outside"}))
    rollbook.models.register("outside")
    version = rollbook.versions.register("outside", description, signature=SIGNATURE, artifact_format="external")

    deployment = serve(rollbook, "outside", version.reference)

    token = rollbook.inference_tokens.mint(["outside"]).token
    program = (
        "import sys, json, openai\n"
        "client = openai.OpenAI(base_url=sys.argv[1] + '/v1', api_key=sys.argv[2], max_retries=0)\n"
        "raw = client.completions.with_raw_response.create(model='outside', prompt='Return the', max_tokens=4)\n"
        "print(json.dumps(dict(raw.headers)))\n"
    )
    command = [str(vllm_python), "-c", program, stack.gateway_url, token]
    headers = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout)
    assert headers["x-rollbook-deployment"] == deployment
    seen = observed(stack, headers["x-prediction-id"])
    assert (seen["status"], seen["tokens_out"] > 0) == (200, True)
    assert not [path for path in _texts(stack.data_dir) if SECRET.encode() in path.read_bytes()]


def _texts(data_dir: Path) -> list[Path]:
    """List every file of the stack but the secrets themselves: events, logs, models, spools, tables."""
    return [path for path in data_dir.rglob("*") if path.is_file() and "secrets" not in path.parts]
