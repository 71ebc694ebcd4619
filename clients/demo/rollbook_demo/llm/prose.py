"""The load of the story of the language model: beginnings of lines are continued in streams, and each one is rated.

Runs as `python -m rollbook_demo.llm.prose`, as `rollbook_demo.load` does. The rating stands for that of a reader who
likes capitals: from 1 to 5, by the share of the continuation's letters that are some.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from rollbook_demo.load import Judged, Plan, run_plan

FEEDBACK_NAME = "rating"
GOOD = 3
_MAX_RATING = 5
_PROMPT_WORDS, _TOKENS = 6, 12
_DATA = b"data: "
_DONE = b"[DONE]"


class ProsePlan(Plan, frozen=True, kw_only=True):
    """What the load process is told: besides the usual, a file of passages."""

    passages_file: str


class Prose:
    """Implements Questions."""

    feedback_name = FEEDBACK_NAME

    def __init__(self, plan: ProsePlan) -> None:
        """Prepare a body a passage."""
        passages = msgspec.json.decode(Path(plan.passages_file).read_bytes(), type=list[str])
        self.path = "/v1/completions"
        self.bodies = [_body(plan.endpoint, passage, seed) for seed, passage in enumerate(passages) if passage.strip()]

    def judge(self, _index: int, answer: bytes) -> Judged:
        """Rate the continuation."""
        rating = rating_of(streamed_text(answer))
        return Judged(str(rating), rating >= GOOD)


def rating_of(text: str) -> int:
    """Return 1 to 5, by the share of letters that are capitals; 1 for a text without letters."""
    letters = [letter for letter in text if letter.isalpha()]
    share = sum(letter.isupper() for letter in letters) / len(letters) if letters else 0.0
    return 1 + round(share * (_MAX_RATING - 1))


def streamed_text(answer: bytes) -> str:
    """Return the text of a stream of completions.

    Raises:
        ValueError: it is none, or broke off.
    """
    events = [line.removeprefix(_DATA) for line in answer.splitlines() if line.startswith(_DATA)]
    if events[-1:] != [_DONE]:
        raise ValueError("the stream broke off")
    chunks: list[dict[str, Any]] = [msgspec.json.decode(event) for event in events[:-1]]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


def _body(endpoint: str, passage: str, seed: int) -> bytes:
    asked = {
        "model": endpoint,
        "prompt": " ".join(passage.split()[:_PROMPT_WORDS]),
        "max_tokens": _TOKENS,
        "temperature": 0.7,
        "seed": seed,
        "stream": True,
    }
    return msgspec.json.encode(asked)


def main() -> int:
    """Run the traffic."""
    argparse.ArgumentParser(prog="python -m rollbook_demo.llm.prose", description=__doc__).parse_args()
    return run_plan(ProsePlan, Prose)


if __name__ == "__main__":
    sys.exit(main())
