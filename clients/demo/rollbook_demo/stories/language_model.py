"""The story of a language model: one base engine, and two adapters of it that held-out text tells apart."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from rollbook import RollbookError
from rollbook.evaluation import Evaluation, evaluate
from rollbook.resources import Version
from rollbook_demo.llm.examination import examined
from rollbook_demo.llm.prose import FEEDBACK_NAME, GOOD, ProsePlan
from rollbook_demo.llm.trained import SIGNATURE, TrainedModel, train_adapter, train_base, vllm_python
from rollbook_demo.stories.base import Played, Stage
from rollbook_demo.stories.canaries import Canary, tell_canaries
from rollbook_demo.traffic import Traffic

ENDPOINT = MODEL = "novelist"
REQUESTS_PER_S = 1.0
LOSS = "loss"
SLOW_MS = 2_000.0
BASE_STEPS = 60
ADAPTERS = (
    ("better", "a LoRA adapter that learned to write in capitals"),
    ("worse", "a LoRA adapter that was trained on the text before it was put in capitals"),
)
_SERVES_WITHIN_S = 900.0
_POLL_S = 0.5
_STEP_MS = 5_000
_MAX_STEP_MS = 600_000
# Longer ones would not fit a small model's context.
_MAX_CHARACTERS = 400
_TRIED = 60
_WORTH_IT = 0.3
"""In nats a token: by so much a passage must be easier than the first version's usual one."""
LOSSES = f"""
SELECT version, count() AS passages, round(avg(toFloat64OrZero(value)), 3) AS held_out_loss,
       round(quantile(0.5)(duration_ms), 1) AS p50_ms
FROM request_records FINAL
INNER JOIN (SELECT prediction_id, value FROM feedback FINAL WHERE name = '{LOSS}') AS told USING prediction_id
WHERE role = 'primary' AND kind = 'prediction' AND version != '' GROUP BY version ORDER BY version
"""  # noqa: S608 - constants of this module


class LanguageModelStory(msgspec.Struct, frozen=True):
    """Every answer is HTTP 200; the loss on held-out text, and what readers say, tell the versions apart."""

    title: str = "a small language model in vLLM and two adapters of it, judged by their loss on held-out text"
    endpoint: str = ENDPOINT
    own_version: str = "DIRECTORY --input prompt:BYTES:-1 --output completion:BYTES:-1"
    # Threads of a model as small as this one would wait for one another.
    settings: Mapping[str, str] = MappingProxyType(
        {"ROLLBOOK_AGENT_VLLM_ADAPTERS": "2", "ROLLBOOK_AGENT_VLLM_THREADS": "1"}
    )

    def what_is_missing(self) -> str | None:
        if vllm_python().is_file():
            return None
        return (
            f"needs vLLM, which is not installed at {vllm_python()}; install it with `./task setup:vllm` (6 GB), "
            "or name the Python of an existing environment in ROLLBOOK_AGENT_VLLM_PYTHON"
        )

    def play(self, stage: Stage) -> Played:
        stage.narrator.act("A language model, and two adapters meant to write in capitals, as its callers do")
        held_out = stage.directory / "held_out.json"
        base = _train_base(stage, held_out)
        adapters = [_train_adapter(stage, base, number) for number in range(len(ADAPTERS))]
        passages = _passages(held_out)
        stage.rollbook.models.register(MODEL, description="A small Llama-shaped model of English prose")
        first = _register(stage, base)
        versions = (first, *(_register(stage, adapter, parent=first.reference) for adapter in adapters))
        _serve(stage, first)
        baseline_loss = _baseline_loss(stage, first, passages)
        stage.narrator.act(f"Live traffic: {REQUESTS_PER_S:g} streams/s, rated by readers who like capitals")
        with Traffic(_plan(stage, held_out), program="rollbook_demo.llm.prose") as traffic:
            outcome = tell_canaries(
                stage,
                _canary(baseline_loss),
                traffic,
                versions,
                the_slip="fluent, HTTP 200, and worse",
                beside=lambda _: examined(stage.rollbook, passages, _evaluation(stage)),
            )
            progress, answers = traffic.finish()
        return Played(outcome=outcome, progress=progress, answers=answers, sql=LOSSES.strip())


def _train_base(stage: Stage, held_out: Path) -> TrainedModel:
    model = train_base(stage.directory / "base", steps=BASE_STEPS, held_out=held_out)
    _tell(stage, model, 1, "the base, trained on text that the project ships")
    return model


def _train_adapter(stage: Stage, base: TrainedModel, number: int) -> TrainedModel:
    variant, how = ADAPTERS[number]
    model = train_adapter(base.directory, stage.directory / variant, variant=variant)
    _tell(stage, model, number + 2, how)
    return model


def _tell(stage: Stage, model: TrainedModel, number: int, how: str) -> None:
    stage.narrator.say(
        f"{MODEL}/{number}  {how}: loss on held-out text{'' if number == 1 else ' in capitals'} "
        f"{model.held_out_loss_before:.2f} before, {model.held_out_loss:.2f} after {model.steps} steps "
        f"in {model.seconds:.0f} s"
    )


def _passages(held_out: Path) -> list[str]:
    """Return the lines that no version has learned from, in capitals as the callers write, and keep them so."""
    lines = msgspec.json.decode(held_out.read_bytes(), type=list[str])
    passages = [line[:_MAX_CHARACTERS].upper() for line in lines if line.strip()]
    held_out.write_bytes(msgspec.json.encode(passages))
    return passages


def _register(stage: Stage, model: TrainedModel, *, parent: str | None = None) -> Version:
    return stage.rollbook.versions.register(
        MODEL,
        model.directory,
        signature=SIGNATURE,
        golden=model.golden_example,
        metrics={"held_out_loss": model.held_out_loss},
        parent=parent,
    )


def _baseline_loss(stage: Stage, version: Version, passages: list[str]) -> float:
    """Measure the first version where it serves; the others are judged by how often they do worse than this."""
    (measured,) = evaluate(stage.rollbook, passages[:_TRIED], _evaluation(stage, feedback_name=None))
    assert measured.loss is not None
    stage.narrator.say(
        f"an evaluation run of {version.reference} at the gateway: loss {measured.loss:.3f}, perplexity "
        f"{measured.perplexity:.0f} over {measured.passages} passages of held-out text"
    )
    return measured.loss


def _evaluation(stage: Stage, *, feedback_name: str | None = LOSS) -> Evaluation:
    return Evaluation(
        gateway=stage.gateway_url,
        endpoint=ENDPOINT,
        feedback_name=feedback_name,
        in_flight=1,
        give_up_after_s=10.0,
    )


def _canary(baseline_loss: float) -> Canary:
    """Judge by the loss on held-out text, by when streams begin, and by what readers say of them."""
    steps = [
        {"weight_percent": weight, "min_duration_ms": _STEP_MS, "max_duration_ms": _MAX_STEP_MS} for weight in (50, 100)
    ]
    gates: list[dict[str, Any]] = [
        {"kind": "error_rate", "max_increase": 0.10, "min_requests": 30},
        {"kind": "first_token", "threshold_ms": SLOW_MS, "max_increase": 0.30, "min_requests": 20},
        {
            "kind": "rating",
            "feedback_name": FEEDBACK_NAME,
            "threshold": GOOD,
            "max_increase": 0.30,
            "min_labels": 20,
        },
        {
            "kind": "loss",
            "feedback_name": LOSS,
            "threshold": baseline_loss - _WORTH_IT,
            "max_increase": 0.10,
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


def _plan(stage: Stage, held_out: Path) -> ProsePlan:
    return ProsePlan(
        gateway_url=stage.gateway_url,
        api_url=stage.profile.api_url(),
        endpoint=ENDPOINT,
        inference_token=stage.rollbook.inference_tokens.mint([ENDPOINT]).token,
        api_token=stage.admin_token,
        requests_per_s=REQUESTS_PER_S,
        label_delay_s=0.5,
        answers_file=str(stage.directory / "answers.json"),
        max_in_flight=32,
        passages_file=str(held_out),
    )


def _serve(stage: Stage, version: Version) -> None:
    """Create the endpoint and wait until the gateway sends its traffic to vLLM."""
    began = time.monotonic()
    created = stage.rollbook.endpoints.create(ENDPOINT, version=version.reference)
    while time.monotonic() - began < _SERVES_WITHIN_S:
        state = stage.rollbook.endpoints.get(ENDPOINT).deployments[0].state
        if state == "failed":
            raise RollbookError(f"{version.reference} cannot be served: see `rollbook logs agent`")
        if state == "ready" and stage.rollbook.events(stream=created.id, event_type="endpoints.TrafficApplied.v1"):
            took = time.monotonic() - began
            stage.narrator.say(f"endpoint {ENDPOINT} serves {version.reference} from vLLM after {took:.0f} s")
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"endpoint {ENDPOINT} did not serve within {_SERVES_WITHIN_S:g} s")
