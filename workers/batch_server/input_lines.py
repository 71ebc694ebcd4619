"""Reads a batch's input line by line: first to check whether each is a request, then for the requests."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec

from workers.batch_server.wire import Problem

MAX_PROBLEMS = 50
MAX_MODELS = 100
_MAX_CUSTOM_ID_LENGTH = 512
_BOM = b"\xef\xbb\xbf"
_HASHED_BYTES = 16


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for the lines of an input."""

    endpoint: str
    max_requests: int
    max_line_bytes: int


class Checked(msgspec.Struct, kw_only=True):
    """What an input contains: how many requests, the first line for each model, and what is wrong with others."""

    requests: int = 0
    models: dict[str, int] = msgspec.field(default_factory=dict)
    problems: list[Problem] = msgspec.field(default_factory=list)


class Request(msgspec.Struct, frozen=True):
    """One request; `number` counts from 0 and skips blank lines."""

    number: int
    custom_id: str
    body: msgspec.Raw


class _Line(msgspec.Struct, frozen=True):
    custom_id: str
    body: msgspec.Raw


class _Body(msgspec.Struct, frozen=True):
    model: str | None = None
    stream: bool | None = None


class _WrongLine(Exception):
    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def checked(path: Path, rules: Rules) -> Checked:
    """Check every line; report the first problems, and do not read on after them."""
    found, seen = Checked(), set[bytes]()
    with path.open("rb") as file:
        for line, text in _lines(file, max_line_bytes=rules.max_line_bytes):
            try:
                model = _checked(text, rules, seen)
            except _WrongLine as error:
                found.problems.append(Problem(code=error.code, line=line, message=str(error), param=error.param))
                if len(found.problems) >= MAX_PROBLEMS:
                    break
                continue
            found.requests += 1
            found.models.setdefault(model, line)
            too_many = _too_many(found, rules, line)
            if too_many:
                found.problems.append(too_many)
                break
    if not found.requests and not found.problems:
        empty = "the file contains no request; write one on each line"
        found.problems.append(Problem(code="empty_file", line=None, message=empty, param="input_file_id"))
    return found


def unfinished(path: Path, *, is_done: Callable[[int], bool], max_line_bytes: int) -> Iterator[Request]:
    """Yield the requests of a valid input that are not done."""
    decode = msgspec.json.Decoder(_Line).decode
    with path.open("rb") as file:
        for number, (_, text) in enumerate(_lines(file, max_line_bytes=max_line_bytes)):
            if not is_done(number):
                line = decode(text)
                yield Request(number, line.custom_id, line.body)


def _lines(file: BinaryIO, *, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers. Only the beginning of an overlong line is read."""
    number = 0
    while text := file.readline(max_line_bytes + 2):
        number += 1
        if not text.endswith(b"\n"):
            while (rest := file.readline(max_line_bytes)) and not rest.endswith(b"\n"):
                pass
        text = (text.removeprefix(_BOM) if number == 1 else text).strip()
        if text:
            yield number, text


def _checked(text: bytes, rules: Rules, seen: set[bytes]) -> str:
    """Return the model that a line names."""
    if len(text) > rules.max_line_bytes:
        raise _WrongLine("line_too_long", f"the line is longer than {rules.max_line_bytes} bytes; shorten its body")
    try:
        line = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongLine(
            "invalid_json_line", f"the line is not a JSON object: {error}; write one on each line"
        ) from error
    for param in ("custom_id", "method", "url", "body"):
        if param not in line:
            raise _WrongLine("missing_required_parameter", f"the line has no {param}; add it", param=param)
    _check_custom_id(line["custom_id"], seen)
    if _text(line["method"]) != "POST":
        raise _WrongLine("invalid_method", "the method is not 'POST'; use that one", param="method")
    if _text(line["url"]) != rules.endpoint:
        message = f"the url is not {rules.endpoint!r}, the endpoint of the batch; use another batch for other urls"
        raise _WrongLine("invalid_url", message, param="url")
    model = _model_of(line["body"])
    try:
        # Of a member that is there twice, the request is read as strictly as the last one.
        msgspec.json.decode(text, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongLine("invalid_json_line", f"the line is ambiguous: {error}; name each member once") from error
    return model


def _check_custom_id(raw: msgspec.Raw, seen: set[bytes]) -> None:
    custom_id = _text(raw)
    if custom_id is None or not 0 < len(custom_id) <= _MAX_CUSTOM_ID_LENGTH:
        message = f"custom_id must be a string of 1 to {_MAX_CUSTOM_ID_LENGTH} characters; give the line one"
        raise _WrongLine("invalid_custom_id", message, param="custom_id")
    # Digests of a fixed size, so that long ids of many lines take no more memory than short ones.
    digest = blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=_HASHED_BYTES).digest()
    if digest in seen:
        message = f"custom_id {custom_id[:100]!r} is already used on an earlier line; give each line its own"
        raise _WrongLine("duplicate_custom_id", message, param="custom_id")
    seen.add(digest)


def _model_of(raw: msgspec.Raw) -> str:
    try:
        body = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongLine(
            "invalid_request", f"the body cannot be sent: {error}; send what the endpoint accepts", param="body"
        ) from error
    if not body.model:
        raise _WrongLine(
            "missing_required_parameter", "the body does not name a model; name an endpoint", param="body.model"
        )
    if body.stream:
        raise _WrongLine("invalid_request", "a batch cannot stream; remove body.stream", param="body.stream")
    return body.model


def _too_many(found: Checked, rules: Rules, line: int) -> Problem | None:
    if found.requests > rules.max_requests:
        message = f"the file contains more than {rules.max_requests} requests; send it in parts"
        return Problem(code="too_many_requests", line=line, message=message)
    if len(found.models) > MAX_MODELS:
        message = f"the file uses more than {MAX_MODELS} models; send it in parts"
        return Problem(code="too_many_models", line=line, message=message, param="body.model")
    return None


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
