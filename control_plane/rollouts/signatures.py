"""Whether one version accepts the requests that are made for another. Pure."""

from schemas.events.registry import FLOATS, Signature, Tensor


def unaccepted_input(candidate: Signature, baseline: Signature) -> str | None:
    """Return why the candidate refuses requests that the baseline accepts, or None."""
    taken = {tensor.name: tensor for tensor in candidate.inputs}
    sent = {tensor.name: tensor for tensor in baseline.inputs}
    for name, tensor in sent.items():
        if name not in taken:
            return f"it has no input {name!r}; it takes {', '.join(map(repr, taken)) or 'none'}"
        reason = _unaccepted(taken[name], tensor)
        if reason is not None:
            return f"input {name!r} {reason}"
    more = [name for name in taken if name not in sent]
    return f"it also needs input {more[0]!r}" if more else None


def changed_answer(candidate: Signature, baseline: Signature) -> str | None:
    """Return how what labels are compared with differs from the baseline's, or None."""
    if not candidate.outputs or not baseline.outputs:
        return None
    given, known = candidate.outputs[0], baseline.outputs[0]
    are_alike = _kind(given) == _kind(known) or (given.classes and given.classes == known.classes)
    if not are_alike:
        return f"output {given.name!r} is {given.datatype} instead of {known.datatype}"
    if given.classes != known.classes:
        return f"output {given.name!r} has other classes"
    return None


def _kind(tensor: Tensor) -> str:
    """Return the data type without its size: labels are compared with each integer, or each float, alike."""
    return "FP" if tensor.datatype in FLOATS else tensor.datatype.strip("U0123456789")


def _unaccepted(taken: Tensor, sent: Tensor) -> str | None:
    if taken.datatype != sent.datatype:
        return f"is {taken.datatype} instead of {sent.datatype}"
    fits = len(taken.shape) == len(sent.shape) and all(
        size in {-1, given} for size, given in zip(taken.shape, sent.shape, strict=True)
    )
    if not fits:
        return f"has shape {list(taken.shape)} instead of {list(sent.shape)}"
    if sent.allows_missing and not taken.allows_missing:
        return "does not allow missing values"
    return None
