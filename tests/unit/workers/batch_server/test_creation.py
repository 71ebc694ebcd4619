"""The body that makes a batch is read strictly."""

import json

import pytest

from workers.batch_server.errors import ApiError
from workers.batch_server.routes import creation_of

BODY = {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h", "metadata": {"a": "b"}}


def test_a_byte_order_mark_before_the_body_is_skipped() -> None:
    assert creation_of(b"\xef\xbb\xbf" + json.dumps(BODY).encode()).metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (json.dumps(BODY)[:-1] + ', "input_file_id": "file-2"}', "input_file_id", "input_file_id appears twice"),
        (json.dumps(BODY).replace('"a": "b"', '"a": "b", "a": "c"'), "metadata.a", "metadata.a appears twice"),
        (json.dumps({**BODY, "endpoint": "/v1/nothing"}), "endpoint", "the body is not a batch"),
        ("[", None, "the body is not a batch"),
    ],
)
def test_a_wrong_body_is_refused_with_its_member(body: str, param: str | None, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refusal:
        creation_of(body.encode())

    assert refusal.value.param == param
