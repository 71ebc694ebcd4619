"""An answer of the gateway, as numpy and pandas have it."""

import httpx
import numpy as np
import pytest

from rollbook import RollbookError
from rollbook.inference.result import result_in

HEADERS = {
    "x-prediction-id": "p-1",
    "x-rollbook-version": "flowers/2",
    "x-rollbook-deployment": "deployment-1",
    "x-rollbook-epoch": "7",
}
OUTPUTS = {
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["rose", "Nelke"]},
        {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.25, 0.75, 0.5, 0.5]},
    ]
}


def test_an_answer_says_what_it_is_and_who_gave_it() -> None:
    result = result_in(httpx.Response(200, json=OUTPUTS, headers=HEADERS))

    assert result["label"].tolist() == ["rose", "Nelke"]
    assert np.array_equal(result["probabilities"], [[0.25, 0.75], [0.5, 0.5]])
    assert (result.id, result.version, result.deployment_id, result.epoch) == ("p-1", "flowers/2", "deployment-1", 7)


def test_a_frame_has_a_row_for_each_row() -> None:
    frame = result_in(httpx.Response(200, json=OUTPUTS, headers=HEADERS)).to_pandas()

    assert frame["label"].tolist() == ["rose", "Nelke"]
    assert [list(row) for row in frame["probabilities"]] == [[0.25, 0.75], [0.5, 0.5]]


def test_another_answer_is_refused() -> None:
    with pytest.raises(RollbookError, match="cannot be read"):
        result_in(httpx.Response(200, json={"predictions": [1]}))
