"""What an endpoint answered, and who answered."""

from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from rollbook.errors import RollbookError
from rollbook.inference.tensors import Array
from rollbook.inference.wire import HEADER_LENGTH, UnreadableAnswer, outputs_of

if TYPE_CHECKING:
    import pandas as pd


class InferenceResult(msgspec.Struct, frozen=True):
    """The outputs by name, and what served them; `id` is what feedback is sent with. `result["label"]` is an output."""

    outputs: dict[str, Array]
    id: str
    version: str
    deployment_id: str
    epoch: int

    def __getitem__(self, name: str) -> Array:
        """Return an output.

        Raises:
            KeyError: the model has no output of the name.
        """
        return self.outputs[name]

    def to_pandas(self) -> "pd.DataFrame":
        """Return a frame with a row for each row of the outputs; an output with more than one value a row is a list.

        Raises:
            RollbookError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415  only who wants frames needs it
        except ImportError as error:
            raise RollbookError(
                "pandas is not installed; install it with: pip install 'rollbook[inference]'"
            ) from error
        return pd.DataFrame(
            {name: values if values.ndim == 1 else list(values) for name, values in self.outputs.items()}
        )


def result_in(answer: httpx.Response) -> InferenceResult:
    """Read an answer of the gateway.

    Raises:
        RollbookError: it is no answer of the Open Inference Protocol.
    """
    length = answer.headers.get(HEADER_LENGTH)
    try:
        outputs = outputs_of(answer.content, json_bytes=int(length) if length else None)
    except UnreadableAnswer as error:
        raise RollbookError(str(error)) from error
    headers = answer.headers
    return InferenceResult(
        {name: _readable(values) for name, values in outputs.items()},
        headers.get("x-prediction-id", ""),
        headers.get("x-rollbook-version", ""),
        headers.get("x-rollbook-deployment", ""),
        int(headers.get("x-rollbook-epoch", "0")),
    )


def _readable(values: Array) -> Array:
    """Return texts as str, where all of them are text."""
    if values.dtype != object:
        return values
    texts: list[Any] = [value.decode(errors="backslashreplace") for value in values.reshape(-1)]
    readable = values.copy()
    readable.reshape(-1)[:] = texts
    return readable
