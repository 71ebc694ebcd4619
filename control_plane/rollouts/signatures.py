"""Whether one version accepts the requests that are made for another. Pure."""

from schemas.events.registry import Signature, Tensor


def unaccepted_input(candidate: Signature, baseline: Signature) -> str | None:
    """Return why the candidate refuses requests that the baseline accepts, or None."""
    taken = {tensor.name: tensor for tensor in candidate.inputs}
    sent = {tensor.name: tensor for tensor in baseline.inputs}
    for name, tensor in sent.items():
        if name not in taken:
            return f"it has no input {name!r}; it takes {', '.join(map(repr, taken))}"
        reason = _unaccepted(taken[name], tensor)
        if reason is not None:
            return f"input {name!r} {reason}"
    more = [name for name in taken if name not in sent]
    return f"it also needs input {more[0]!r}" if more else None


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
