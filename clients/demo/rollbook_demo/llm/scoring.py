"""The load of the story of the language model: held-out text is scored by whichever version answers.

Runs as `python -m rollbook_demo.llm.scoring`, as `rollbook_demo.load` does. The endpoint is asked how likely each token
of a held-out passage was to it; the mean of the negative logarithms is the loss, which is posted as feedback.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import msgspec

from rollbook_demo.load import Judged, Plan, run_plan

FEEDBACK_NAME = "loss"
_MOST_CHARACTERS = 400


class ScoringPlan(Plan, frozen=True, kw_only=True):
    """What the load process is told: besides the usual, a file of passages, and the loss that counts as too high."""

    passages_file: str
    threshold: float


class Passages:
    """Implements Questions."""

    feedback_name = FEEDBACK_NAME

    def __init__(self, plan: ScoringPlan) -> None:
        """Prepare a body a passage, none longer than a small model's context."""
        passages = msgspec.json.decode(Path(plan.passages_file).read_bytes(), type=list[str])
        self.path = "/v1/completions"
        self.bodies = [_body(plan.endpoint, passage[:_MOST_CHARACTERS]) for passage in passages if passage.strip()]
        self._threshold = plan.threshold

    def judge(self, _index: int, answer: bytes) -> Judged:
        """Take the loss out of the answer."""
        loss = loss_of(answer)
        return Judged(f"{loss:.4f}", loss <= self._threshold)


def loss_of(answer: bytes) -> float:
    """Return the mean negative log likelihood, in nats, of the tokens that were asked about but the first.

    Raises:
        ValueError: the answer scores no token.
    """
    document: dict[str, Any] = msgspec.json.decode(answer)
    scored: list[float | None] = document["choices"][0]["logprobs"]["token_logprobs"]
    # The first token has nothing before it; the last ones were made by the model, not asked about.
    asked = scored[1 : len(scored) - document["usage"]["completion_tokens"]]
    likelihoods = [one for one in asked if one is not None and math.isfinite(one)]
    if not asked or len(likelihoods) < len(asked):
        raise ValueError("the answer does not score the passage")
    return -sum(likelihoods) / len(likelihoods)


def _body(endpoint: str, passage: str) -> bytes:
    asked = {"model": endpoint, "prompt": passage, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 0}
    return msgspec.json.encode(asked)


def main() -> int:
    """Run the traffic."""
    argparse.ArgumentParser(prog="python -m rollbook_demo.llm.scoring", description=__doc__).parse_args()
    return run_plan(ScoringPlan, Passages)


if __name__ == "__main__":
    sys.exit(main())
