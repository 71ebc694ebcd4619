"""A signature is what was stated, completed by what the file says, and never what the file contradicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from control_plane.artifacts.inspection import InspectedArtifact
from control_plane.artifacts.skops_format import check_skops
from control_plane.registry import errors
from schemas.events.registry import Tensor
from tests.support.builders import ARTIFACT
from tests.unit.control_plane.registry.test_registry import BODY, register, with_model


def told(path: Path, model: Any) -> InspectedArtifact:  # noqa: ANN401 - scikit-learn has no types
    skops.io.dump(model, path)
    with path.open("rb") as file:
        return InspectedArtifact(artifact=ARTIFACT, description=check_skops(file))


def linear(targets: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    return LinearRegression().fit(np.eye(3), np.eye(3)[:, :targets])


def test_a_signature_that_nobody_states_is_read_from_the_file_and_named_as_such(tmp_path: Path) -> None:
    log, _ = with_model()

    version = register(log, {"artifact": BODY["artifact"]}, file=told(tmp_path / "model", linear(2)))

    assert version.signature.inputs == (Tensor(name="x", datatype="FP64", shape=(-1, 3)),)
    assert version.signature.outputs == (Tensor(name="value", datatype="FP64", shape=(-1, 2)),)
    assert version.inferred == ("inputs", "outputs")


def test_what_is_stated_stays_as_it_was_stated(tmp_path: Path) -> None:
    log, _ = with_model()
    stated = {"outputs": [{"name": "price", "datatype": "FP32", "shape": [-1, 2]}]}

    version = register(
        log, {"artifact": BODY["artifact"], "signature": stated}, file=told(tmp_path / "model", linear(2))
    )

    assert version.signature.outputs == (Tensor(name="price", datatype="FP32", shape=(-1, 2)),)
    assert version.inferred == ("inputs",)


def test_a_signature_that_the_file_contradicts_is_refused_with_what_would_fit(tmp_path: Path) -> None:
    log, _ = with_model()
    body = {"artifact": BODY["artifact"], "signature": {"outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}]}}
    file = told(tmp_path / "model", linear(2))

    with pytest.raises(errors.SignatureDiffersError) as refused:
        register(log, body, file=file)

    assert refused.value.field == "signature.outputs[0]"
    assert refused.value.detail == "what this LinearRegression predicts is FP64 [-1, 2]"
    assert refused.value.remedy == "register it with --input x:FP64:-1x3 --output y:FP64:-1x2"
