"""Which lines are requests, and what is said of those that are not."""

import json
from pathlib import Path

import pytest

from workers.batch_server import input_lines
from workers.batch_server.input_lines import MAX_PROBLEMS, Checked, Rules

RULES = Rules(endpoint="/v1/embeddings", max_requests=5, max_line_bytes=1_000)
BODY = {"model": "story", "input": "x"}


def line(custom_id: object = "a", **changes: object) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": BODY, **changes}
    return json.dumps(request).encode() + b"\n"


def without(name: str) -> bytes:
    request = json.loads(line("b"))
    del request[name]
    return json.dumps(request).encode() + b"\n"


def checked(tmp_path: Path, content: bytes) -> Checked:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    return input_lines.checked(path, RULES)


@pytest.mark.parametrize(
    "content",
    [
        line("a") + line("b"),
        (line("a") + line("b")).removesuffix(b"\n"),
        b"\xef\xbb\xbf" + line("a").replace(b"\n", b"\r\n") + b"\n  \n" + line("b"),
        line("a", extra=1) + line("é", body={**BODY, "stream": False}),
    ],
)
def test_good_lines_are_counted_and_read_back(tmp_path: Path, content: bytes) -> None:
    found = checked(tmp_path, content)

    assert (found.requests, found.problems) == (2, [])
    assert list(found.models) == ["story"]
    read = list(input_lines.unfinished(tmp_path / "in.jsonl", is_done=lambda _: False, max_line_bytes=1_000))
    assert [request.number for request in read] == [0, 1]
    assert read[0].custom_id == "a"
    assert json.loads(bytes(read[0].body)) == BODY


def test_requests_that_are_done_are_left_out(tmp_path: Path) -> None:
    checked(tmp_path, line("a") + b"\n" + line("b") + line("c"))

    read = input_lines.unfinished(tmp_path / "in.jsonl", is_done=lambda number: number == 1, max_line_bytes=1_000)

    assert [(request.number, request.custom_id) for request in read] == [(0, "a"), (2, "c")]


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [
        (b"{\n", "invalid_json_line", None),
        (b"[1]\n", "invalid_json_line", None),
        (b'"\xff"\n', "invalid_json_line", None),
        (b"[" * 990 + b"\n", "invalid_json_line", None),
        (b"x" * 2_500 + b"\n", "line_too_long", None),
        (line("x" * 513), "invalid_custom_id", "custom_id"),
        (line(""), "invalid_custom_id", "custom_id"),
        (line(7), "invalid_custom_id", "custom_id"),
        (line("a"), "duplicate_custom_id", "custom_id"),
        (line("b", method="GET"), "invalid_method", "method"),
        (line("b", method=None), "invalid_method", "method"),
        (line("b", url="/v1/completions"), "invalid_url", "url"),
        (line("b", body="x"), "invalid_request", "body"),
        (line("b", body={"model": 3}), "invalid_request", "body"),
        (line("b", body={"input": "x"}), "missing_required_parameter", "body.model"),
        (line("b", body={"model": ""}), "missing_required_parameter", "body.model"),
        (line("b", body={**BODY, "stream": True}), "invalid_request", "body.stream"),
        *((without(name), "missing_required_parameter", name) for name in ("custom_id", "method", "url", "body")),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path: Path, bad: bytes, code: str, param: str | None) -> None:
    found = checked(tmp_path, line("a") + b"\n" + bad + b"\n" + line("last"))

    (problem,) = found.problems
    assert (problem.line, problem.code, problem.param) == (3, code, param)
    assert ";" in problem.message, "it says what to do"
    assert found.requests == 2, "the lines after it are looked at"


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n"])
def test_a_file_without_requests_is_told_as_a_whole(tmp_path: Path, content: bytes) -> None:
    (problem,) = checked(tmp_path, content).problems

    assert (problem.code, problem.line) == ("empty_file", None)


def test_too_many_requests_are_told_at_the_first_that_is_too_many(tmp_path: Path) -> None:
    (problem,) = checked(tmp_path, b"".join(line(str(number)) for number in range(9))).problems

    assert (problem.code, problem.line) == ("too_many_requests", 6)


def test_a_file_of_nonsense_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert len(checked(tmp_path, b"nonsense\n" * 1_000).problems) == MAX_PROBLEMS


def test_models_are_told_with_the_first_line_that_asks_them(tmp_path: Path) -> None:
    other = line("c", body={"model": "other@2", "input": "x"})

    assert checked(tmp_path, line("a") + line("b") + other).models == {"story": 1, "other@2": 3}
