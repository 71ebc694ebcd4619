import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from schemas.events.registry import Signature, Tensor
from serving.engines.artifact_check import check_artifact
from serving.engines.base import load_engine
from serving.engines.errors import MalformedArtifactError, SignatureMismatchError, UntrustedTypeError
from tests.support.digits import SIGNATURE, model_bytes

WITNESSES: list[object] = []
TWO_COLUMNS = Signature(
    inputs=(Tensor(name="a", datatype="FP64", shape=(-1,)), Tensor(name="b", datatype="FP64", shape=(-1, 1))),
    outputs=(Tensor(name="value", datatype="FP64", shape=(-1,)),),
)


def home_made(values: object) -> object:
    WITNESSES.append(values)
    return values


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "artifact"
    path.write_bytes(content)
    return path


def test_a_function_of_ones_own_is_refused_by_its_name_and_never_called(tmp_path: Path) -> None:
    path = _file(tmp_path, skops.io.dumps(FunctionTransformer(home_made)))

    with pytest.raises(UntrustedTypeError, match="home_made") as refused:
        load_engine("skops", path, SIGNATURE)

    assert refused.value.code == "artifact-untrusted"
    assert WITNESSES == []


def test_a_schema_that_names_a_system_call_is_refused(tmp_path: Path) -> None:
    schema = {
        "__class__": "system",
        "__module__": "posix",
        "__loader__": "TypeNode",
        "protocol": 2,
        "_skops_version": "0.13",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))

    with pytest.raises(UntrustedTypeError, match=r"posix\.system"):
        load_engine("skops", _file(tmp_path, buffer.getvalue()), SIGNATURE)


def test_a_pickle_is_refused_before_anything_is_unpickled(tmp_path: Path) -> None:
    path = _file(tmp_path, pickle.dumps({"model": 1}))

    with pytest.raises(MalformedArtifactError):
        check_artifact("skops", path)
    with pytest.raises(MalformedArtifactError):
        load_engine("skops", path, SIGNATURE)


@pytest.mark.parametrize("name", ["../../evil.npy", "/etc/passwd", "a/../../b", "..\\evil", "C:\\evil"])
def test_an_archive_with_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO(model_bytes("skops"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, b"x")

    with pytest.raises(MalformedArtifactError, match="leads out"):
        check_artifact("skops", _file(tmp_path, buffer.getvalue()))


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.npy", bytes(100 * 1024 * 1024))

    with pytest.raises(MalformedArtifactError, match="unpacks"):
        check_artifact("skops", _file(tmp_path, buffer.getvalue()))


def test_functions_of_numpy_that_only_calculate_are_trusted(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(np.nan_to_num), LinearRegression())
    rows = np.arange(8.0).reshape(4, 2)
    path = _file(tmp_path, skops.io.dumps(model.fit(rows, [0.0, 1.0, 2.0, 3.0])))

    engine = load_engine("skops", path, TWO_COLUMNS)

    answer = engine.predict({"a": rows[:, 0], "b": rows[:, 1:]})
    assert np.allclose(answer["value"], model.predict(rows))


def test_a_pipeline_answers_as_its_own_methods_do_with_steps_left_out(tmp_path: Path) -> None:
    rows = np.arange(8.0).reshape(4, 2)
    model = Pipeline([("skip", "passthrough"), ("scale", StandardScaler()), ("fit", LinearRegression())])
    path = _file(tmp_path, skops.io.dumps(model.fit(rows, [0.0, 1.0, 2.0, 4.0])))

    answer = load_engine("skops", path, TWO_COLUMNS).predict({"a": rows[:, 0], "b": rows[:, 1:]})

    assert np.array_equal(answer["value"], model.predict(rows))


def test_a_model_that_takes_other_columns_than_its_signature_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, skops.io.dumps(LinearRegression().fit(np.ones((3, 5)), [1.0, 2.0, 3.0])))

    with pytest.raises(SignatureMismatchError, match="2 columns"):
        load_engine("skops", path, TWO_COLUMNS)


def test_an_estimator_that_cannot_predict_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, skops.io.dumps(StandardScaler().fit(np.ones((3, 2)))))

    with pytest.raises(SignatureMismatchError, match="StandardScaler"):
        load_engine("skops", path, TWO_COLUMNS)
