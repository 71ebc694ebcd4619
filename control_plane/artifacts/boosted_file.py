"""What the file of a gradient-boosting library says, and which signatures it contradicts. No library is imported."""

import math
import os
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from control_plane.artifacts.errors import NotAModelError, UnservableModelError
from control_plane.artifacts.shapes import gives
from control_plane.ports import Difference
from schemas.boosted_model import BoostedModel
from schemas.catboost_binary import NotServedError, read_binary
from schemas.events.registry import FLOATS, ArtifactFormat, Signature, Tensor
from schemas.lightgbm_text import read_text
from schemas.xgboost_document import read_document

# A document takes several times its bytes once it is decoded; a larger file is not read.
_MAX_BYTES = 64 * 1024**2


class BoostedFile(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs as the model has them."""

    model: BoostedModel

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.model.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.model.outputs

    def difference_from(self, signature: Signature) -> Difference | None:
        """Say why the model could not keep what a signature promises."""
        return self._other_inputs(signature.inputs) or self._other_outputs(signature.outputs)

    def _other_inputs(self, promised: tuple[Tensor, ...]) -> Difference | None:
        library, names = self.model.library, self.model.names
        misfit = self.model.misfit(promised)
        if misfit:
            tensor, detail = misfit
            return Difference(field=f"signature.inputs[{promised.index(tensor)}].datatype", detail=detail)
        sizes = [size for tensor in promised for size in tensor.shape[1:]]
        width = sum(math.prod(tensor.shape[1:]) for tensor in promised)
        if min(sizes, default=1) > 0 and width != self.model.columns:
            detail = f"the inputs have {width} columns; this model of {library} takes {self.model.columns}"
            return Difference(field="signature.inputs", detail=detail)
        given = {tensor.name for tensor in promised}
        if names and len(promised) > 1 and given != set(names) and (given & set(names) or len(given) == len(names)):
            detail = f"this model of {library} was fitted on columns named {', '.join(names)}"
            return Difference(field="signature.inputs", detail=detail)
        return None

    def _other_outputs(self, promised: tuple[Tensor, ...]) -> Difference | None:
        held = {tensor.name: tensor for tensor in self.outputs}
        for index, tensor in enumerate(promised):
            field = f"signature.outputs[{index}]"
            output = held.get(tensor.name, self.outputs[0] if len(promised) == 1 else None)
            if output is None:
                return Difference(field=f"{field}.name", detail=f"the model's outputs are {', '.join(held)}")
            is_lossy = output.datatype in FLOATS and tensor.datatype not in {*FLOATS, "BYTES"}
            if is_lossy or not gives(tensor.shape, output.shape):
                detail = f"{output.name!r} of the model is {output.datatype} {list(output.shape)}"
                return Difference(field=field, detail=detail)
        return None


def check_catboost(file: BinaryIO) -> BoostedFile | None:
    """Return what the file says; None of a file that is too large to be read here.

    Raises:
        NotAModelError: CatBoost did not write it.
        UnservableModelError: it takes texts or embeddings.
    """
    return _read(file, artifact_format="catboost", read=lambda content: read_binary(content).described())


def check_xgboost(file: BinaryIO) -> BoostedFile | None:
    """Return what the file says; None of a file that is too large to be read here.

    Raises:
        NotAModelError: XGBoost did not write it.
    """
    return _read(file, artifact_format="xgboost", read=lambda content: read_document(content).described())


def check_lightgbm(file: BinaryIO) -> BoostedFile | None:
    """Return what the file says; None of a file that is too large to be read here.

    Raises:
        NotAModelError: LightGBM did not write it.
    """
    return _read(file, artifact_format="lightgbm", read=lambda content: read_text(content).described())


def _read(
    file: BinaryIO, *, artifact_format: ArtifactFormat, read: Callable[[bytes], BoostedModel]
) -> BoostedFile | None:
    if file.seek(0, os.SEEK_END) > _MAX_BYTES:
        return None
    file.seek(0)
    try:
        return BoostedFile(model=read(file.read()))
    except NotServedError as error:
        remedy = "train it on numbers and categories alone"
        raise UnservableModelError(str(error), artifact_format=artifact_format, remedy=remedy) from error
    except ValueError as error:
        raise NotAModelError(artifact_format=artifact_format, reason=str(error)) from error
