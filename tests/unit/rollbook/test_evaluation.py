"""What an evaluation run reads: files of passages, and the likelihoods of their tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from rollbook.evaluation import NotScored, read_passages, scores_of


@pytest.mark.parametrize(
    ("name", "content", "passages"),
    [
        ("held_out.txt", "one\n\n  \ntwo\n", ["one", "two"]),
        ("windows.txt", "\ufeffone\r\ntwo\r\n", ["one", "two"]),
        ("held_out.NDJSON", '{"text": "one\u2028and"}\n', ["one\u2028and"]),
        ("held_out.jsonl", '{"text": "one"}\n{"text": "two\\nlines", "source": "x"}\n', ["one", "two\nlines"]),
    ],
)
def test_passages_are_lines_or_objects(tmp_path: Path, name: str, content: str, passages: list[str]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")

    assert read_passages(tmp_path / name) == passages


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"\n \n", "holds no passage"),
        ("latin.txt", b"caf\xe9\n", "can't be read"),
        ("bad.jsonl", b'{"content": "one"}\n', "can't be read"),
        ("blank.jsonl", b'{"text": " "}\n', "holds no passage"),
    ],
)
def test_a_file_without_passages_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(NotScored, match=reason):
        read_passages(tmp_path / name)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [], "usage": {"completion_tokens": 1}},
        {"choices": [{"logprobs": {"token_logprobs": [None, -1.0]}}], "usage": {"completion_tokens": 1}},
        {"choices": [{"logprobs": {"token_logprobs": [None, None, -1.0]}}], "usage": {"completion_tokens": 1}},
        {"choices": [{"text": "no likelihoods"}], "usage": {"completion_tokens": 1}},
    ],
)
def test_an_answer_that_does_not_score_every_token_is_none(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it (tells no|does not)"):
        scores_of(json.dumps(document).encode())
