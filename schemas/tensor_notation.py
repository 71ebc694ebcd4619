"""How tensors are written in one line, as `rollbook version register` takes them: `pixels:FP64:-1x64`."""

from collections.abc import Iterable

from schemas.events.registry import Signature, Tensor


def written(tensor: Tensor) -> str:
    """Return name, data type and shape of a tensor, and whether it allows missing values."""
    missing = ":missing" if tensor.allows_missing else ""
    return f"{tensor.name}:{tensor.datatype}:{'x'.join(map(str, tensor.shape))}{missing}"


def options_of(signature: Signature) -> str:
    """Return the options of `rollbook version register` that state this signature."""
    return " ".join((*_options("--input", signature.inputs), *_options("--output", signature.outputs)))


def _options(option: str, tensors: Iterable[Tensor]) -> list[str]:
    return [f"{option} {written(tensor)}" for tensor in tensors]
