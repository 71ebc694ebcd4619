"""The story of a language model: trained here, served by vLLM, and judged by its loss on text that it never saw."""

import time
from pathlib import Path
from typing import Any

import msgspec

from rollbook import RollbookError
from rollbook.resources import Version
from rollbook_demo.llm.scoring import FEEDBACK_NAME, ScoringPlan
from rollbook_demo.llm.trained import SIGNATURE, TrainedModel, train, vllm_python
from rollbook_demo.stories.base import Played, Stage
from rollbook_demo.stories.canaries import Canary, tell_canaries
from rollbook_demo.traffic import Traffic

ENDPOINT = MODEL = "novelist"
REQUESTS_PER_S = 3.0
SLOW_MS = 2_000.0
MAX_INCREASE = 0.10
VARIANTS = (
    ("base", 60, "trained briefly"),
    ("better", 180, "trained three times as long"),
    ("worse", 60, "retrained on text whose words arrived in a random order"),
)
_SERVES_WITHIN_S = 900.0
_POLL_S = 0.5
_STEP_MS = 5_000
_LONGEST_STEP_MS = 600_000
LOSSES = f"""
SELECT version, count() AS answers, round(avg(toFloat64OrZero(value)), 3) AS held_out_loss,
       round(quantile(0.5)(duration_ms), 1) AS p50_ms
FROM request_records FINAL
INNER JOIN (SELECT prediction_id, value FROM feedback FINAL WHERE name = '{FEEDBACK_NAME}') AS told USING prediction_id
WHERE role = 'primary' AND version != '' GROUP BY version ORDER BY version
"""  # noqa: S608 - constants of this module


class LanguageModelStory(msgspec.Struct, frozen=True):
    """Every answer is HTTP 200 and fluent enough; only the loss on held-out text tells the versions apart."""

    title: str = "small language models in vLLM, judged by their loss on held-out text"
    endpoint: str = ENDPOINT
    own_version: str = "DIRECTORY --input prompt:BYTES:-1 --output completion:BYTES:-1"

    def what_is_missing(self) -> str | None:
        if vllm_python().is_file():
            return None
        return (
            f"needs vLLM, and there is none at {vllm_python()}; lay its environment with `./task setup:vllm` (6 GB), "
            "or name the Python of one that you have in ROLLBOOK_AGENT_VLLM_PYTHON"
        )

    def play(self, stage: Stage) -> Played:
        stage.narrator.act("Three versions of a language model, trained on text that the project ships")
        passages = stage.directory / "held_out.json"
        models = tuple(_train(stage, number, passages) for number in range(len(VARIANTS)))
        versions = tuple(_register(stage, model) for model in models)
        canary = _canary(models[0].held_out_loss)
        _serve(stage, versions[0])
        stage.narrator.act(f"Live traffic: {REQUESTS_PER_S:g} held-out passages/s, each with its loss as feedback")
        with Traffic(_plan(stage, passages, models[0]), program="rollbook_demo.llm.scoring") as traffic:
            outcome = tell_canaries(
                stage,
                canary,
                traffic,
                versions,
                the_slip="fluent, HTTP 200, and worse",
                between=lambda: _retire(stage, versions[0]),
            )
            progress, answers = traffic.finish()
        return Played(outcome=outcome, progress=progress, answers=answers, sql=LOSSES.strip())


def _train(stage: Stage, number: int, passages: Path) -> TrainedModel:
    variant, steps, how = VARIANTS[number]
    model = train(stage.directory / variant, variant=variant, steps=steps, held_out=passages)
    stage.narrator.say(
        f"{MODEL}/{number + 1}  {how}: loss on held-out text {model.held_out_loss_before:.2f} before, "
        f"{model.held_out_loss:.2f} after {steps} steps in {model.seconds:.0f} s"
    )
    return model


def _register(stage: Stage, model: TrainedModel) -> Version:
    if not any(known.name == MODEL for known in stage.rollbook.models.list()):
        stage.rollbook.models.register(MODEL, description="A small Llama-shaped model of English prose")
    return stage.rollbook.versions.register(
        MODEL,
        model.directory,
        signature=SIGNATURE,
        golden=model.golden_example,
        metrics={"held_out_loss": model.held_out_loss},
    )


def _canary(usual_loss: float) -> Canary:
    """Judge by the share of passages that are harder to the candidate than the usual one is to the baseline."""
    steps = [
        {"weight_percent": weight, "min_duration_ms": _STEP_MS, "max_duration_ms": _LONGEST_STEP_MS}
        for weight in (50, 100)
    ]
    gates: list[dict[str, Any]] = [
        {"kind": "error_rate", "max_increase": 0.10, "min_requests": 30},
        {"kind": "latency", "threshold_ms": SLOW_MS, "max_increase": 0.30, "min_requests": 30},
        {
            "kind": "loss",
            "feedback_name": FEEDBACK_NAME,
            "threshold": usual_loss,
            "max_increase": MAX_INCREASE,
            "min_labels": 30,
        },
    ]
    return Canary(
        endpoint=ENDPOINT,
        strategy={"kind": "canary", "steps": steps, "bake_time_ms": _STEP_MS},
        gates=gates,
        serving_timeout_s=_SERVES_WITHIN_S,
        rollout_timeout_s=_SERVES_WITHIN_S,
    )


def _plan(stage: Stage, passages: Path, baseline: TrainedModel) -> ScoringPlan:
    return ScoringPlan(
        gateway_url=stage.gateway_url,
        api_url=stage.profile.api_url(),
        endpoint=ENDPOINT,
        inference_token=stage.rollbook.inference_token([ENDPOINT]).token,
        api_token=stage.admin_token,
        requests_per_s=REQUESTS_PER_S,
        label_delay_s=0.5,
        answers_file=str(stage.directory / "answers.json"),
        max_in_flight=32,
        passages_file=str(passages),
        threshold=baseline.held_out_loss,
    )


def _serve(stage: Stage, version: Version) -> None:
    """Create the endpoint and wait until the gateway sends its traffic to vLLM."""
    began = time.monotonic()
    created = stage.rollbook.endpoints.create(ENDPOINT, version=version.reference)
    while time.monotonic() - began < _SERVES_WITHIN_S:
        state = stage.rollbook.endpoints.get(ENDPOINT).deployments[0].state
        if state == "failed":
            raise RollbookError(f"{version.reference} can't be served: see `rollbook logs agent`")
        if state == "ready" and stage.rollbook.events(stream=created.id, event_type="endpoints.TrafficApplied.v1"):
            took = time.monotonic() - began
            stage.narrator.say(f"endpoint {ENDPOINT} serves {version.reference} from vLLM after {took:.0f} s")
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"endpoint {ENDPOINT} did not serve within {_SERVES_WITHIN_S:g} s")


def _retire(stage: Stage, version: Version) -> None:
    """Take the old version's deployment away: each vLLM holds gigabytes, and nothing goes to it any more."""
    endpoint = stage.rollbook.endpoints.get(ENDPOINT)
    for deployment in endpoint.deployments:
        if deployment.version == version.reference:
            stage.rollbook.endpoints.remove_deployment(ENDPOINT, deployment.id, reason="another version took over")
            stage.narrator.say(f"{version.reference} is withdrawn; its vLLM drains and ends")
