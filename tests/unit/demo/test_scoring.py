"""How the story of a language model reads a loss out of an answer."""

import msgspec
import pytest

from rollbook_demo.llm.scoring import loss_of


def answer(scored: list[float | None], *, made: int = 1) -> bytes:
    choice = {"index": 0, "text": "", "logprobs": {"token_logprobs": scored}}
    return msgspec.json.encode({"choices": [choice], "usage": {"completion_tokens": made}})


def test_the_loss_is_the_mean_over_the_tokens_that_were_asked_about() -> None:
    assert loss_of(answer([None, -1.0, -2.0, -9.0])) == 1.5


def test_tokens_that_the_model_made_count_for_nothing() -> None:
    assert loss_of(answer([None, -1.0, -7.0, -9.0], made=2)) == 1.0


@pytest.mark.parametrize("scored", [[], [None], [None, -1.0], [None, None, -1.0]])
def test_an_answer_that_scores_nothing_is_none(scored: list[float | None]) -> None:
    with pytest.raises(ValueError, match="score"):
        loss_of(answer(scored))
