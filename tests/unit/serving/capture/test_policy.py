import json
from typing import Any

import msgspec
import pytest

from schemas.events.endpoints import CapturePolicy
from serving.capture.policy import captured_inputs, captured_outputs, captured_prediction, is_sampled

BODY = (
    b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,4],"data":[0.0, 1.5,2,3]},'
    b'{"name":"person","datatype":"BYTES","shape":[1],"data":["Ada Lovelace"]}]}'
)
ANSWER = b'{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[7]}]}'
KEY = b"endpoint-1"


def _inputs(body: bytes = BODY, **policy: object) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(captured_inputs(msgspec.convert(policy, CapturePolicy), body, hash_key=KEY))
    return kept


def test_everything_is_kept_unless_the_policy_says_otherwise() -> None:
    assert _inputs()["pixels"] == {"datatype": "FP32", "shape": [1, 4], "data": [0.0, 1.5, 2, 3]}
    assert json.loads(captured_outputs(CapturePolicy(), ANSWER, hash_key=KEY)) == {
        "label": {"datatype": "INT64", "shape": [1], "data": [7]}
    }


def test_only_the_named_fields_are_kept() -> None:
    assert set(_inputs(inputs=("pixels",))) == {"pixels"}
    assert _inputs(inputs=()) == {}
    assert captured_outputs(CapturePolicy(outputs=()), ANSWER, hash_key=KEY) == "{}"


def test_a_hashed_input_leaves_no_trace_of_its_values() -> None:
    kept = _inputs(hashed=("person",))

    assert "Ada" not in json.dumps(kept)
    assert len(kept["person"]["blake2b"]) == 32


def test_a_hashed_output_leaves_no_trace_of_its_values() -> None:
    kept = json.loads(captured_outputs(CapturePolicy(hashed=("label",)), ANSWER, hash_key=KEY))

    assert set(kept["label"]) == {"datatype", "shape", "blake2b"}


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({}, "Zürich"),
        ({"prediction": False}, None),
        ({"outputs": ()}, "Zürich"),
        ({"max_bytes": 6}, None),
        ({"max_bytes": 7}, "Zürich"),
    ],
)
def test_the_prediction_is_kept_or_not_as_the_policy_says(policy: dict[str, Any], kept: str | None) -> None:
    assert captured_prediction(CapturePolicy(**policy), "Zürich") == kept


def test_a_digest_ignores_white_space_and_nesting_and_depends_on_the_key() -> None:
    policy = CapturePolicy(hashed=("person",))
    nested = BODY.replace(b'["Ada Lovelace"]', b'[ [ "Ada Lovelace" ] ]')

    same = {captured_inputs(policy, body, hash_key=KEY) for body in (BODY, nested)}

    assert len(same) == 1
    assert captured_inputs(policy, BODY, hash_key=b"endpoint-2") not in same


def test_long_data_is_cut_and_says_so() -> None:
    kept = _inputs(max_values=2)["pixels"]

    assert (kept["data"], kept["truncated"]) == ([0.0, 1.5], True)


def test_a_single_huge_text_does_not_get_past_the_byte_limit() -> None:
    body = msgspec.json.encode({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["x" * 9_000]}]})

    assert _inputs(body, max_bytes=1_000)["text"] == {
        "datatype": "BYTES",
        "shape": [1],
        "data": [],
        "truncated": True,
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs": 5}', b"\xff\xfe"])
def test_a_body_that_is_no_request_is_captured_as_nothing(body: bytes) -> None:
    assert captured_inputs(CapturePolicy(), body, hash_key=KEY) == ""


def test_the_sample_has_the_asked_share_and_the_same_members_each_time() -> None:
    policy = CapturePolicy(sampling_rate=0.25)
    ids = [f"1700000000000-{number}" for number in range(4_000)]

    sample = [prediction_id for prediction_id in ids if is_sampled(policy, prediction_id)]

    assert 0.22 < len(sample) / len(ids) < 0.28
    assert sample == [prediction_id for prediction_id in ids if is_sampled(policy, prediction_id)]
    assert not any(is_sampled(CapturePolicy(sampling_rate=0.0), prediction_id) for prediction_id in ids)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_outside_zero_to_one_is_refused(rate: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sampling_rate": rate}, CapturePolicy)
