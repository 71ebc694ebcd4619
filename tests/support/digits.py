"""Small digits models in each format, with their signature and one row to ask for."""

import hashlib
import io
from functools import cache
from typing import Any

import msgspec
import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from schemas.events.registry import Artifact, ArtifactFormat, GoldenExample, GoldenInput, Signature, Tensor

SIGNATURE = Signature(
    inputs=(Tensor(name="pixels", datatype="FP32", shape=(-1, 64)),),
    outputs=(
        Tensor(name="label", datatype="INT64", shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, 10)),
    ),
)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model file, and what a correct instance answers to one row."""

    content: bytes
    artifact: Artifact
    golden: GoldenExample


@cache
def digits() -> tuple[Any, Any]:
    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.float32), labels


@cache
def trained() -> Pipeline:
    pixels, labels = digits()
    return make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500)).fit(pixels[:600], labels[:600])


@cache
def model_bytes(artifact_format: ArtifactFormat) -> bytes:
    if artifact_format == "skops":
        return bytes(skops.io.dumps(trained()))
    if artifact_format == "torch":
        return _exported()
    if artifact_format == "catboost":
        return bytes(_boosted_by_catboost()._serialize_model())  # noqa: SLF001 - what saving a file writes
    if artifact_format == "lightgbm":
        return bytes(_boosted_by_lightgbm().model_to_string(), "utf-8")
    if artifact_format == "xgboost":
        return bytes(_boosted_by_xgboost().save_raw("ubj"))
    from skl2onnx import to_onnx  # noqa: PLC0415 - slow to import, and only this format needs it
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415 - the same

    graph = to_onnx(
        trained(), initial_types=[("pixels", FloatTensorType([None, 64]))], options={"zipmap": False}, target_opset=18
    )
    return bytes(graph.SerializeToString())


@cache
def expected(artifact_format: ArtifactFormat) -> tuple[Any, Any]:
    """Return the labels and probabilities of all digits, as the library that trained a format's model gives them."""
    pixels, _ = digits()
    if artifact_format == "xgboost":
        probabilities = _boosted_by_xgboost().inplace_predict(pixels)
        return probabilities.argmax(axis=1), probabilities
    if artifact_format == "catboost":
        probabilities = _boosted_by_catboost().predict(pixels, prediction_type="Probability")
        return probabilities.argmax(axis=1), probabilities
    if artifact_format == "lightgbm":
        probabilities = _boosted_by_lightgbm().predict(pixels)
        return probabilities.argmax(axis=1), probabilities
    return trained().predict(pixels), trained().predict_proba(pixels)


@cache
def _boosted_by_catboost() -> Any:  # noqa: ANN401 - CatBoost has no annotations
    import catboost  # noqa: PLC0415 - an extra, and only this format needs it

    pixels, labels = digits()
    parameters = {"loss_function": "MultiClass", "iterations": 5, "depth": 3, "thread_count": 1}
    return catboost.CatBoost({**parameters, "logging_level": "Silent", "allow_writing_files": False}).fit(
        pixels[:600], labels[:600]
    )


@cache
def _boosted_by_lightgbm() -> Any:  # noqa: ANN401 - LightGBM has no annotations
    import lightgbm  # noqa: PLC0415 - slow to import, and only this format needs it

    pixels, labels = digits()
    parameters = {"objective": "multiclass", "num_class": 10, "num_leaves": 5, "num_threads": 1, "verbose": -1}
    return lightgbm.train(parameters, lightgbm.Dataset(pixels[:600], labels[:600]), num_boost_round=5)


@cache
def _boosted_by_xgboost() -> Any:  # noqa: ANN401 - XGBoost has no annotations
    import xgboost  # noqa: PLC0415 - slow to import, and only this format needs it

    pixels, labels = digits()
    parameters = {"objective": "multi:softprob", "num_class": 10, "max_depth": 3, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(pixels[:600], label=labels[:600]), num_boost_round=5)


def _exported() -> bytes:
    import torch  # noqa: PLC0415 - an extra, and only this format needs it

    scaler, classifier = (step for _, step in trained().steps)

    class Digits(torch.nn.Module):  # type: ignore[misc]  # torch is an extra
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(64, 10)
            self.register_buffer("scale", torch.tensor(scaler.scale_, dtype=torch.float32))
            self.register_buffer("low", torch.tensor(scaler.min_, dtype=torch.float32))

        def forward(self, pixels: Any) -> dict[str, Any]:  # noqa: ANN401 - torch is an extra
            shares = torch.softmax(self.linear(pixels * self.scale + self.low), dim=1)
            return {"probabilities": shares, "label": shares.argmax(dim=1)}

    model = Digits().eval()
    with torch.no_grad():
        model.linear.weight.copy_(torch.tensor(classifier.coef_))
        model.linear.bias.copy_(torch.tensor(classifier.intercept_))
    return _saved(model, torch.zeros(2, 64), name="pixels")


def exported_doubling() -> bytes:
    """Return a program that doubles two columns in BF16."""
    import torch  # noqa: PLC0415 - an extra, and only this format needs it

    class Doubling(torch.nn.Module):  # type: ignore[misc]  # the same
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - torch is an extra
            return x * 2

    return _saved(Doubling(), torch.zeros(3, 2, dtype=torch.bfloat16), name="x")


def _saved(model: Any, example: Any, *, name: str) -> bytes:  # noqa: ANN401 - torch is an extra
    import torch  # noqa: PLC0415 - an extra, and only this format needs it

    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(model, (example,), dynamic_shapes={name: {0: rows}})
    saved = io.BytesIO()
    torch.export.save(program, saved)
    return saved.getvalue()


@cache
def served(artifact_format: ArtifactFormat) -> Served:
    content = model_bytes(artifact_format)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    pixels, _ = digits()
    golden = GoldenExample(
        inputs=(GoldenInput(name="pixels", datatype="FP32", shape=(1, 64), data=tuple(pixels[0].tolist())),),
        outputs={"label": (int(trained().predict(pixels[:1])[0]),)},
    )
    return Served(
        content=content,
        artifact=Artifact(digest=digest, size_bytes=len(content), format=artifact_format),
        golden=golden,
    )


def row_request(row: int = 0) -> dict[str, Any]:
    """Return the body that asks for one digit."""
    pixels, _ = digits()
    data = pixels[row].tolist()
    return {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": data}]}
