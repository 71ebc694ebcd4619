"""How tensors are written in one line, as `rollbook version register` takes them: `pixels:FP64:-1x64`."""

import shlex

from schemas.events.registry import Signature, Tensor


def written(tensor: Tensor) -> str:
    """Return name, data type and shape of a tensor, whether it allows missing values, and its classes."""
    missing = ":missing" if tensor.allows_missing else ""
    classes = f":classes={','.join(tensor.classes)}" if tensor.classes else ""
    return f"{tensor.name}:{tensor.datatype}:{'x'.join(map(str, tensor.shape))}{missing}{classes}"


def option(name: str, tensor: Tensor) -> str:
    """Return the option of `rollbook version register` that states a tensor, quoted for a shell."""
    return f"{name} {shlex.quote(written(tensor))}"


def options_of(signature: Signature) -> str:
    """Return the options of `rollbook version register` that state this signature, quoted for a shell."""
    inputs = [option("--input", tensor) for tensor in signature.inputs]
    outputs = [option("--output", tensor) for tensor in signature.outputs]
    return " ".join((*inputs, *outputs))
