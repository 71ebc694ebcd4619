"""What features are called: `input.age`, `output.scores[3]`, `input.picture~norm`, `tokens.in`."""

import hashlib
import re

STATUS = "status"
TOKENS_IN = "tokens.in"
TOKENS_OUT = "tokens.out"
FINISH_REASON = "finish_reason"

MAX_NAME = 128
_DIGEST_BYTES = 8
# What our own endings consist of, and what would spoil a terminal or a line of a log.
_ESCAPED = re.compile(r"[%\[\]~\x00-\x1f\x7f-\x9f\u2028\u2029]")


def of_tensor(side: str, tensor: str) -> str:
    """Return the name of a tensor's feature. Different tensors have different names, whatever they are called."""
    name = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", tensor)
    if len(name) > MAX_NAME:
        digest = hashlib.blake2b(tensor.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()
        name = f"{name[: MAX_NAME - 2 * _DIGEST_BYTES]}~{digest}"
    return f"{side}.{name}"


def of_column(feature: str, column: int) -> str:
    """Return the name of one column of a tensor."""
    return f"{feature}[{column}]"


def derived(feature: str, what: str) -> str:
    """Return the name of a number that is computed from the values of a feature."""
    return f"{feature}~{what}"
