"""The model that is served while we measure: the demo's classifiers of handwritten digits."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from rollbook import Rollbook
from rollbook.resources import Endpoint
from rollbook_demo.models import PIXELS, SIGNATURE, golden_example, read_digits, save_version, train_versions

MODEL = ENDPOINT = "digits"
PATH = f"/v2/models/{ENDPOINT}/infer"
_READY_WITHIN_S = 60.0
_POLL_S = 0.05
_BODIES = 16


def register_two_versions(rollbook: Rollbook) -> tuple[str, str]:
    """Register naive Bayes and logistic regression, and return how they are called."""
    digits = read_digits()
    rollbook.models.register(MODEL)
    references = []
    with tempfile.TemporaryDirectory() as folder:
        for trained in train_versions(digits)[:2]:
            path = save_version(trained, Path(folder) / "model.skops")
            golden = golden_example(trained, digits.train_images[0])
            references.append(rollbook.versions.register(MODEL, path, signature=SIGNATURE, golden=golden).reference)
    return references[0], references[1]


def serve(rollbook: Rollbook, *versions: str) -> Endpoint:
    """Have the agent start an engine for each version, and all traffic go to the first; return once it is served."""
    rollbook.endpoints.create(ENDPOINT, version=versions[0])
    for version in versions[1:]:
        rollbook.endpoints.deploy(ENDPOINT, version)
    eventually(lambda: all(one.state == "ready" for one in rollbook.endpoints.get(ENDPOINT).deployments))
    eventually(lambda: _is_applied(rollbook))
    return rollbook.endpoints.get(ENDPOINT)


def image_bodies() -> list[str]:
    """Return requests of one image each."""
    images = read_digits().live_images[:_BODIES]
    return [_body(image.tolist()) for image in images]


def eventually(check: Callable[[], bool], *, within_s: float = _READY_WITHIN_S) -> None:
    """Poll until the check holds.

    Raises:
        TimeoutError: it does not come to hold.
    """
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not ready within {within_s:g} s")
        time.sleep(_POLL_S)


def _is_applied(rollbook: Rollbook) -> bool:
    events = rollbook.events(event_type="endpoints.TrafficApplied.v1", limit=1)
    return bool(events)


def _body(pixels: list[float]) -> str:
    tensor = {"name": "pixels", "datatype": "FP64", "shape": [1, PIXELS], "data": pixels}
    return msgspec.json.encode({"inputs": [tensor]}).decode()
