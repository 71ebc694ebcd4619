"""How the story of a language model rates a continuation."""

import pytest

from rollbook_demo.llm.prose import rating_of, streamed_text


@pytest.mark.parametrize(
    ("text", "rating"),
    [(" THE LOG, 3 EVENTS.", 5), (" THE log", 3), (" the log", 1), ("", 1), (" 1 2 3", 1)],
)
def test_a_text_is_rated_by_its_share_of_capitals(text: str, rating: int) -> None:
    assert rating_of(text) == rating


def test_the_text_of_a_stream_is_put_together() -> None:
    answer = (
        b'data: {"choices": [{"index": 0, "text": "the "}]}\n\n'
        b': a comment\n\ndata: {"choices": [{"index": 0, "text": "log"}]}\n\n'
        b'data: {"choices": []}\n\ndata: [DONE]\n\n'
    )

    assert streamed_text(answer) == "the log"


@pytest.mark.parametrize("answer", [b"", b'data: {"choices": [{"text": "the"}]}\n\n', b'{"error": "busy"}'])
def test_a_stream_that_broke_off_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ValueError, match="broke off"):
        streamed_text(answer)
