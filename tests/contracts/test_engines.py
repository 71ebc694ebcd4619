"""What every engine promises, over each variant with a real model in its format."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.inspection import CHECKS
from schemas.events.registry import ArtifactFormat, Signature, Tensor
from serving.engines.artifact_check import check_artifact
from serving.engines.base import FACTORIES, load_engine
from serving.engines.errors import (
    CannotLoadError,
    MalformedArtifactError,
    PredictionFailedError,
    SignatureMismatchError,
)
from serving.runtime.trial import try_out
from tests.support.digits import SIGNATURE, digits, expected, exported_doubling, model_bytes
from tests.support.echo_model import content, signature

FORMATS: tuple[ArtifactFormat, ...] = tuple(FACTORIES)
RUN_OUTSIDE_OUR_RUNTIME = {"transformers", "lora", "external"}


_IN_EXTRAS = {"torch": pytest.mark.extras, "catboost": pytest.mark.extras}


@pytest.fixture(params=[pytest.param(name, marks=_IN_EXTRAS.get(name, ())) for name in FORMATS])
def artifact_format(request: pytest.FixtureRequest) -> ArtifactFormat:
    chosen: ArtifactFormat = request.param
    return chosen


@pytest.fixture
def artifact(artifact_format: ArtifactFormat, tmp_path: Path) -> Path:
    path = tmp_path / "artifact"
    path.write_bytes(model_bytes(artifact_format))
    return path


def test_every_format_of_the_contract_has_an_engine() -> None:
    assert set(FACTORIES) == set(get_args(ArtifactFormat)) - RUN_OUTSIDE_OUR_RUNTIME


def test_labels_are_those_of_the_model_that_was_trained(artifact_format: ArtifactFormat, artifact: Path) -> None:
    pixels, _ = digits()
    engine = load_engine(artifact_format, artifact, SIGNATURE)

    outputs = engine.predict({"pixels": pixels[600:700]})

    labels, probabilities = expected(artifact_format)
    assert np.array_equal(outputs["label"], labels[600:700])
    assert np.allclose(outputs["probabilities"], probabilities[600:700], atol=1e-4)


def test_joined_rows_are_answered_as_each_alone(artifact_format: ArtifactFormat, artifact: Path) -> None:
    pixels, _ = digits()
    engine = load_engine(artifact_format, artifact, SIGNATURE)

    together = engine.predict({"pixels": pixels[:20]})["probabilities"]
    alone = [engine.predict({"pixels": pixels[row : row + 1]})["probabilities"] for row in range(20)]

    assert np.allclose(together, np.concatenate(alone), rtol=0, atol=1e-6)


def test_a_signature_that_is_read_from_a_file_is_one_that_its_model_keeps(
    artifact_format: ArtifactFormat, artifact: Path, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path / "store", max_bytes=2**30)
    with artifact.open("rb") as file:
        told = CHECKS[artifact_format](file, store)
    assert told is not None
    signature = Signature(inputs=told.inputs, outputs=told.outputs)

    try_out(load_engine(artifact_format, artifact, signature))

    assert told.difference_from(signature) is None
    assert {output.name for output in signature.outputs} == {"label", "probabilities"}


def test_outputs_have_the_order_and_types_of_the_signature(artifact_format: ArtifactFormat, artifact: Path) -> None:
    pixels, _ = digits()

    outputs = load_engine(artifact_format, artifact, SIGNATURE).predict({"pixels": pixels[:3]})

    assert list(outputs) == ["label", "probabilities"]
    assert (outputs["label"].dtype.name, outputs["label"].shape) == ("int64", (3,))
    assert (outputs["probabilities"].dtype.name, outputs["probabilities"].shape) == ("float32", (3, 10))


def test_only_the_outputs_of_the_signature_are_answered(artifact_format: ArtifactFormat, artifact: Path) -> None:
    pixels, _ = digits()
    signature = msgspec.structs.replace(SIGNATURE, outputs=SIGNATURE.outputs[:1])

    assert list(load_engine(artifact_format, artifact, signature).predict({"pixels": pixels[:1]})) == ["label"]


def test_threads_side_by_side_get_the_answers_to_their_own_rows(
    artifact_format: ArtifactFormat, artifact: Path
) -> None:
    pixels, _ = digits()
    engine = load_engine(artifact_format, artifact, SIGNATURE)

    with ThreadPoolExecutor(4) as pool:
        labels = list(
            pool.map(lambda row: int(engine.predict({"pixels": pixels[row : row + 1]})["label"][0]), range(80))
        )

    assert labels == expected(artifact_format)[0][:80].tolist()


def test_an_output_that_the_model_lacks_is_refused_at_load(artifact_format: ArtifactFormat, artifact: Path) -> None:
    mood = Tensor(name="mood", datatype="FP32", shape=(-1,))
    signature = msgspec.structs.replace(SIGNATURE, outputs=(SIGNATURE.outputs[0], mood))

    with pytest.raises(SignatureMismatchError, match="mood"):
        load_engine(artifact_format, artifact, signature)


def test_a_wrong_number_of_columns_fails_as_a_prediction(artifact_format: ArtifactFormat, artifact: Path) -> None:
    free = msgspec.structs.replace(SIGNATURE, inputs=(Tensor(name="pixels", datatype="FP32", shape=(-1, -1)),))
    engine = load_engine(artifact_format, artifact, free)

    with pytest.raises(PredictionFailedError):
        engine.predict({"pixels": np.zeros((1, 3), dtype=np.float32)})


def test_a_damaged_file_is_refused(artifact_format: ArtifactFormat, artifact: Path) -> None:
    content = artifact.read_bytes()
    artifact.write_bytes(content[: len(content) // 2])

    with pytest.raises(MalformedArtifactError):
        load_engine(artifact_format, artifact, SIGNATURE)


def test_the_static_check_lets_a_real_model_pass(artifact_format: ArtifactFormat, artifact: Path) -> None:
    check_artifact(artifact_format, artifact)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04\x95", b"not a model at all"])
def test_the_static_check_refuses_what_is_no_model(
    artifact_format: ArtifactFormat, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(content)

    with pytest.raises(MalformedArtifactError):
        check_artifact(artifact_format, path)


def test_a_model_of_another_format_is_refused(artifact_format: ArtifactFormat, artifact: Path) -> None:
    for other in sorted(set(FORMATS) - {artifact_format}):
        with pytest.raises(CannotLoadError):
            check_artifact(other, artifact)
        with pytest.raises(CannotLoadError):
            load_engine(other, artifact, SIGNATURE)


@pytest.mark.parametrize(
    ("artifact_format", "library"),
    [("onnx", "onnxruntime"), *((name, name) for name in ("torch", "xgboost", "lightgbm", "catboost"))],
)
def test_without_its_library_the_error_says_what_to_install(artifact_format: str, library: str) -> None:
    program = (
        f"import sys; sys.modules['{library}'] = None\n"
        "from pathlib import Path\n"
        "from serving.engines.base import load_engine\n"
        "from serving.engines.errors import EngineNotInstalledError\n"
        "from schemas.events.registry import Signature\n"
        f"try: load_engine('{artifact_format}', Path('none'), Signature(inputs=(), outputs=()))\n"
        "except EngineNotInstalledError as error: print(error.code, error)\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "engine-not-installed" in result.stdout
    assert f"rollbook-server[{artifact_format}]" in result.stdout


@pytest.mark.extras
def test_torch_calculates_in_bf16_where_the_signature_says_so(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(exported_doubling())
    tensor = Tensor(name="x", datatype="BF16", shape=(-1, 2))
    wrong = Signature(inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 2)),), outputs=(tensor,))

    engine = load_engine("torch", path, Signature(inputs=(tensor,), outputs=(tensor,)))
    outputs = engine.predict({"x": np.array([[1.0, 1.00390625], [3.0, -0.5]], dtype=np.float32)})

    # 1.00390625 is not a BF16 and becomes 1.
    assert outputs["x"].tolist() == [[2.0, 2.0], [6.0, -1.0]]
    assert outputs["x"].dtype == np.float32
    with pytest.raises(SignatureMismatchError, match="'x' is FP32"):
        load_engine("torch", path, wrong)


def test_onnx_gives_back_bf16_as_it_was_and_refuses_texts_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(content("bf16"))
    held = signature("bf16")
    texts = Tensor(name="texts", datatype="BYTES", shape=(-1, 1))
    mixed = msgspec.structs.replace(held, outputs=(*held.outputs, texts))

    outputs = load_engine("onnx", path, held).predict(
        {"in_BF16": np.array([[-1.5], [1.00390625]], dtype=np.float32), "in_FP32": np.ones((2, 1), dtype=np.float32)}
    )

    # 1.00390625 is not a BF16 and becomes 1.
    assert outputs["out_BF16"].tolist() == [[-1.5], [1.0]]
    assert outputs["out_FP32"].tolist() == [[1.0], [1.0]]
    with pytest.raises(SignatureMismatchError):
        load_engine("onnx", path, mixed)
