"""LoRA adapters on vLLM: trained here, loaded into the running engine of their parent, told apart in every answer."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollbook import Problem, Rollbook
from rollbook.evaluation import Evaluation, ScoredPassage, evaluate
from rollbook.resources import Deployment
from tests.extras.conftest import ROOT, SERVES_WITHIN_S, SIGNATURE, Trained
from tests.extras.records import observed
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

TRAINING = ROOT / "clients/demo/rollbook_demo/llm/train_adapter.py"
CORPUS = TRAINING.with_name("corpus.txt")
LOADED_WITHIN_S = 300
PROMPTS = ("RETURN THE", "IT IS", "ONE OF", "AS IT", "FOR THE", "DOES NOT", "THE VERSION", "IN THE")

pytestmark = pytest.mark.timeout(1_500)


@pytest.fixture(scope="module")
def adapted(vllm_python: Path, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("adapter") / "capitals"
    command = [str(vllm_python), str(TRAINING), "--base", str(trained.directory), "--out", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return Trained(directory, json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def version(rollbook: Rollbook, story: str, adapted: Trained) -> str:
    """Register the adapter as a version whose parent is the served one."""
    assert story
    registered = rollbook.versions.register(
        "story", adapted.directory, signature=SIGNATURE, golden=adapted.golden, parent="story/1"
    )
    assert (registered.artifact.format, registered.artifact.parent) == ("lora", rollbook.versions.get("story/1").id)
    return registered.reference


@pytest.fixture(scope="module")
def deployment(rollbook: Rollbook, version: str) -> Iterator[str]:
    """Deploy the adapter beside its parent, and take it away in the end."""
    deployed = rollbook.endpoints.deploy("story", version).id
    eventually(lambda: state_of(rollbook, deployed) == "ready", "the adapter is loaded", within_s=LOADED_WITHIN_S)
    yield deployed
    if any(each.id == deployed for each in rollbook.endpoints.get("story").deployments):
        rollbook.endpoints.remove_deployment("story", deployed, reason="the test is over")


@pytest.fixture
def gateway(stack: RunningStack, rollbook: Rollbook) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint(['story']).token}"}
    with httpx.Client(base_url=stack.gateway_url, headers=headers, timeout=180) as client:
        yield client


def state_of(rollbook: Rollbook, deployment_id: str) -> str:
    found = of(rollbook, deployment_id)
    return found.state if found else "removed"


def of(rollbook: Rollbook, deployment_id: str) -> Deployment | None:
    deployments = rollbook.endpoints.get("story").deployments
    return next((each for each in deployments if each.id == deployment_id), None)


def identity_of(rollbook: Rollbook, deployment_id: str) -> dict[str, Any]:
    """Ask an engine who it is; nothing while none is there."""
    found = of(rollbook, deployment_id)
    if not found or not found.instances:
        return {}
    try:
        answer = httpx.get(f"http://127.0.0.1:{found.instances[0].port}/rollbook/instance", timeout=180)
    except httpx.HTTPError:
        return {}
    identity: dict[str, Any] = answer.json()
    return identity


def asked(model: str, prompt: str = PROMPTS[0], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, **more}


def completed(gateway: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    """Ask until it is answered: an engine that was too slow for its probe is out of rotation until the next one."""
    answers: list[httpx.Response] = []

    def is_answered() -> bool:
        answers.append(gateway.post("/v1/completions", json=body))
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

    eventually(is_answered, f"{body['model']} answers", within_s=LOADED_WITHIN_S, poll_s=0.5)
    return answers[-1]


def adapters_in(rollbook: Rollbook, parent: str) -> list[str]:
    """Ask the parent's engine itself what it holds."""
    found = of(rollbook, parent)
    assert found
    listed = httpx.get(f"http://127.0.0.1:{found.instances[0].port}/v1/models", timeout=180).json()["data"]
    return [model["id"] for model in listed if model.get("parent")]


def test_the_adapter_has_learned(adapted: Trained) -> None:
    assert adapted.report["held_out_loss"] < adapted.report["held_out_loss_before"] - 0.2


def test_adapter_and_parent_answer_differently_and_each_in_its_name(
    gateway: httpx.Client, stack: RunningStack, story: str, deployment: str, version: str
) -> None:
    answers = {
        name: [completed(gateway, asked(name, prompt)) for prompt in PROMPTS]
        for name in ("story@1", f"story@{version.rpartition('/')[2]}")
    }

    (parent, adapter) = answers.values()
    texts = [[answer.json()["choices"][0]["text"] for answer in each] for each in (parent, adapter)]
    assert texts[0] != texts[1]
    for answered, by, named in ((parent, story, "story/1"), (adapter, deployment, version)):
        assert {answer.headers["x-rollbook-deployment"] for answer in answered} == {by}
        assert {answer.headers["x-rollbook-version"] for answer in answered} == {named}
        assert {answer.json()["system_fingerprint"] for answer in answered} == {by}
        assert {answer.json()["model"] for answer in answered} == {"story"}
        seen = observed(stack, answered[0].headers["x-prediction-id"])
        assert (seen["deployment_id"], seen["tokens_out"]) == (by, answered[0].json()["usage"]["completion_tokens"])
        assert seen["prediction"] == answered[0].json()["choices"][0]["text"]


def test_a_prompt_is_scored_by_whom_it_was_asked_of(gateway: httpx.Client, deployment: str, version: str) -> None:
    assert deployment
    prompt = " ".join(PROMPTS)
    for wish in ({"echo": True, "logprobs": 0}, {"prompt_logprobs": 0}):
        likelihoods = {}
        for model in ("story@1", f"story@{version.rpartition('/')[2]}"):
            answer = completed(gateway, asked(model, prompt, max_tokens=1, **wish))
            assert answer.status_code == 200, answer.text
            likelihoods[model] = log_likelihood(answer.json()["choices"][0], wish)

        # The adapter has learned to write in capitals.
        assert likelihoods["story@1"] < likelihoods[f"story@{version.rpartition('/')[2]}"] < 0


def log_likelihood(choice: dict[str, Any], wish: dict[str, Any]) -> float:
    if "echo" in wish:
        # The first token has nothing before it, and the last one was written.
        return float(sum(choice["logprobs"]["token_logprobs"][1:-1]))
    # Of each token, vLLM names the one that stands there first.
    return float(sum(next(iter(each.values()))["logprob"] for each in choice["prompt_logprobs"][1:]))


def test_an_evaluation_run_measures_adapter_and_parent_by_the_same_text(
    stack: RunningStack, rollbook: Rollbook, deployment: str, version: str
) -> None:
    assert deployment
    lines = [line.upper() for line in CORPUS.read_text(encoding="utf-8").splitlines() if len(line) > 60][:12]
    evaluation = Evaluation(gateway=stack.gateway_url, endpoint="story", versions=("story/1", version))
    told: list[ScoredPassage] = []

    parent, adapter = evaluate(rollbook, lines, evaluation, tell=told.append)

    assert (parent.passages, adapter.passages, parent.tokens) == (12, 12, adapter.tokens)
    # The adapter has learned to write in capitals.
    assert (adapter.loss or 0) < (parent.loss or 0)
    assert (adapter.bits_per_byte or 0) < (parent.bits_per_byte or 0)
    ids = {each.prediction_id for each in told}
    statement = (
        "SELECT count() AS n FROM feedback FINAL WHERE source = 'evaluation' AND prediction_id IN {ids:Array(String)}"
    )
    eventually(
        lambda: rollbook.query(statement, {"ids": sorted(ids)})["data"][0][0] in (24, "24"),
        "the losses are feedback",
        within_s=LOADED_WITHIN_S,
    )


def test_a_stream_of_the_adapter_names_it_in_every_event(
    gateway: httpx.Client, stack: RunningStack, deployment: str, version: str
) -> None:
    model = f"story@{version.rpartition('/')[2]}"
    with gateway.stream("POST", "/v1/completions", json=asked(model, stream=True, ignore_eos=True)) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]

    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    # vLLM says it with the last token alone.
    assert {event["system_fingerprint"] for event in events if "system_fingerprint" in event} == {deployment}
    assert {event["model"] for event in events} == {"story"}
    seen = observed(stack, answer.headers["x-prediction-id"])
    assert (seen["tokens_out"], seen["finish_reason"]) == (16, "length")
    assert seen["first_token_ms"] > 0


def test_callers_do_not_load_adapters(gateway: httpx.Client, rollbook: Rollbook, story: str, deployment: str) -> None:
    assert deployment
    before = adapters_in(rollbook, story)
    path = str(ROOT)

    for call in ("load_lora_adapter", "unload_lora_adapter", "%6coad_lora_adapter"):
        body = {"model": "story", "lora_name": "mine", "lora_path": path}
        assert gateway.post(f"/v1/{call}", json=body).status_code == 404

    assert adapters_in(rollbook, story) == before != []


def test_an_adapter_of_too_high_a_rank_is_refused_with_the_reason(
    rollbook: Rollbook, adapted: Trained, version: str, tmp_path: Path
) -> None:
    assert version
    thick = shutil.copytree(adapted.directory, tmp_path / "thick")
    configuration = json.loads((thick / "adapter_config.json").read_text())
    (thick / "adapter_config.json").write_text(json.dumps({**configuration, "r": 64}))
    registered = rollbook.versions.register("story", thick, signature=SIGNATURE, parent="story/1")

    deployed = rollbook.endpoints.deploy("story", registered.reference).id

    eventually(lambda: state_of(rollbook, deployed) == "failed", "the adapter is refused", within_s=LOADED_WITHIN_S)
    rollbook.endpoints.remove_deployment("story", deployed, reason="the test is over")
    failures = rollbook.events(event_type="endpoints.InstanceFailed.v1", limit=1_000)
    (failure,) = [each.event["data"] for each in failures if each.event["data"]["deployment_id"] == deployed]
    assert failure["code"] == "adapter-rank-too-large"
    assert "ROLLBOOK_AGENT_VLLM_ADAPTER_RANK" in failure["reason"]


def test_an_adapter_of_another_model_is_refused_at_registration(
    rollbook: Rollbook, adapted: Trained, vllm_python: Path, version: str, tmp_path: Path
) -> None:
    assert version
    narrower = (
        "import sys; from safetensors.torch import load_file, save_file; source, target = sys.argv[1:];"
        "save_file({n: t[:, :-8].contiguous() if 'lora_A' in n else t for n, t in load_file(source).items()}, target)"
    )
    other = shutil.copytree(adapted.directory, tmp_path / "other")
    weights = "adapter_model.safetensors"
    command = [str(vllm_python), "-c", narrower, str(adapted.directory / weights), str(other / weights)]
    subprocess.run(command, check=True, timeout=600)

    with pytest.raises(Problem) as refusal:
        rollbook.versions.register("story", other, signature=SIGNATURE, parent="story/1")

    assert refusal.value.code == "adapter-does-not-fit"


def test_an_adapter_goes_nowhere_without_its_parent(rollbook: Rollbook, adapted: Trained, version: str) -> None:
    with pytest.raises(Problem, match="deploy its parent") as alone:
        rollbook.endpoints.create("alone", version=version)
    with pytest.raises(Problem) as orphan:
        rollbook.versions.register("story", adapted.directory, signature=SIGNATURE)

    assert (alone.value.code, orphan.value.code) == ("parent-not-deployed", "invalid-parent")


def test_an_adapter_comes_back_with_the_engine_of_its_parent(
    gateway: httpx.Client, rollbook: Rollbook, story: str, deployment: str, version: str
) -> None:
    told = identity_of(rollbook, story)
    model = f"story@{version.rpartition('/')[2]}"

    os.kill(told["pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = identity_of(rollbook, story)
        return bool(now) and now["boot_id"] != told["boot_id"] and bool(adapters_in(rollbook, story))

    eventually(is_back, "the parent and its adapter are back", within_s=SERVES_WITHIN_S)
    eventually(
        lambda: gateway.post("/v1/completions", json=asked(model)).headers.get("x-rollbook-deployment") == deployment,
        "the adapter answers",
        within_s=LOADED_WITHIN_S,
    )
    assert gateway.post("/v1/completions", json=asked("story@1")).headers["x-rollbook-deployment"] == story


def test_an_adapter_that_is_retired_is_unloaded_and_its_parent_goes_on(
    gateway: httpx.Client, rollbook: Rollbook, story: str, version: str
) -> None:
    held = set(adapters_in(rollbook, story))
    deployed = rollbook.endpoints.deploy("story", version).id
    eventually(lambda: state_of(rollbook, deployed) == "ready", "the adapter is loaded", within_s=LOADED_WITHIN_S)
    assert len(set(adapters_in(rollbook, story)) - held) == 1
    with pytest.raises(Problem) as refusal:
        rollbook.endpoints.remove_deployment("story", story, reason="too early")

    rollbook.endpoints.remove_deployment("story", deployed, reason="enough")

    assert refusal.value.code == "deployment-has-adapters"
    eventually(lambda: set(adapters_in(rollbook, story)) <= held, "the adapter is unloaded", within_s=LOADED_WITHIN_S)
    answer = gateway.post("/v1/completions", json=asked("story@1"))
    assert (answer.status_code, answer.headers["x-rollbook-deployment"]) == (200, story)
