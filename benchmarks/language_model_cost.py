"""What the gateway adds to vLLM's streams, with capture, and what vllm-router adds, in the same run.

One engine behind all ways, one stream after the other at a fixed rate, each round through all ways in turn. The engine
captures what comes through the gateway; the other ways carry no prediction id, so that they are vLLM as it is.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, at_most, quantile
from benchmarks.peer_vllm_router import VERSION, running_router
from benchmarks.stack import Stack, running_stack
from benchmarks.token_streams import Times, Way, timed
from rollbook import Rollbook

_ROOT = Path(__file__).resolve().parents[1]
PYTHON = _ROOT / ".venv-vllm" / "bin" / "python"
_TRAINING = _ROOT / "clients/demo/rollbook_demo/llm/train_small_llama.py"
# How well it writes says nothing about how fast it does.
_STEPS = 10
_TRAINED_WITHIN_S = 300
_SERVED_WITHIN_S = 300
_PER_S = 2.0
_TOKENS = 32
_ROUNDS, _ROUNDS_FULL, _WARM_UP = 60, 200, 5
DIRECT, GATEWAY, ROUTER = "vLLM alone", "the gateway, with capture", f"vllm-router {VERSION}"
_SIGNATURE: dict[str, Any] = {
    "inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "completion", "datatype": "BYTES", "shape": [-1]}],
}


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Time streams on all ways."""
    if not PYTHON.is_file():
        raise LookupError("vLLM's environment is missing; ./task setup:vllm lays it")
    with running_stack() as stack, stack.client() as rollbook, ExitStack() as opened:
        port = _serve(rollbook, trained(stack.data_dir / "benchmark" / "model"))
        engine = f"http://127.0.0.1:{port}"
        router = opened.enter_context(running_router(stack.data_dir / "benchmark", worker_url=engine))
        ways = {DIRECT: Way(url=engine), GATEWAY: _gateway(stack, rollbook), ROUTER: Way(url=router)}
        asyncio.run(timed(ways, _bodies(), rounds=_WARM_UP, per_s=_PER_S))
        rounds = _ROUNDS_FULL if full else _ROUNDS
        times = asyncio.run(timed(ways, _bodies(), rounds=rounds, per_s=_PER_S))
        yield [*_figures(times, "first_ms", "time to first token", most_ms=3), *_load(times)]
        yield _figures(times, "between_ms", "time between tokens", most_ms=1)


def trained(directory: Path, *, steps: int = _STEPS) -> Path:
    """Train a small model into a new directory."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    command = [str(PYTHON), str(_TRAINING), "--out", str(directory), "--steps", str(steps)]
    subprocess.run(command, check=True, capture_output=True, timeout=_TRAINED_WITHIN_S)
    return directory


def _serve(rollbook: Rollbook, directory: Path) -> int:
    rollbook.models.register("story")
    version = rollbook.versions.register("story", directory, signature=_SIGNATURE)
    rollbook.endpoints.create("story", version=version.reference)
    deadline = time.monotonic() + _SERVED_WITHIN_S
    while time.monotonic() < deadline:
        deployment = rollbook.endpoints.get("story").deployments[0]
        if deployment.state == "ready":
            return int(deployment.instances[0].port)
        time.sleep(0.5)
    raise RuntimeError(f"vLLM does not serve: {json.dumps(rollbook.events(limit=1_000)[-1].event, default=str)}")


def _gateway(stack: Stack, rollbook: Rollbook) -> Way:
    token = rollbook.inference_token(["*"]).token
    return Way(url=stack.gateway_url, headers={"authorization": f"Bearer {token}"})


def _bodies() -> list[dict[str, object]]:
    shared: dict[str, object] = {
        "model": "story",
        "max_tokens": _TOKENS,
        "stream": True,
        "ignore_eos": True,
        "temperature": 0,
    }
    return [{**shared, "prompt": f"Return the {number}"} for number in range(20)]


def _load(times: dict[str, list[Times]]) -> list[Figure]:
    busy_s = sum(each.first_ms + each.between_ms * (_TOKENS - 1) for of_way in times.values() for each in of_way) / 1e3
    seconds = sum(map(len, times.values())) / _PER_S
    return [
        Figure(
            name="streams under way, mean",
            value=busy_s / seconds,
            unit="",
            note=f"{_PER_S:g} streams of {_TOKENS} tokens a second over all ways",
        )
    ]


def _figures(times: dict[str, list[Times]], field: str, title: str, *, most_ms: float) -> list[Figure]:
    taken = {name: [float(getattr(each, field)) for each in of_way] for name, of_way in times.items()}
    shown = [
        Figure(
            name=f"{title}, {name}, p50",
            value=quantile(values, 0.5),
            unit="ms",
            note=f"p90 {quantile(values, 0.9):.2f}, p99 {quantile(values, 0.99):.2f} ms; {len(values)} streams",
        )
        for name, values in taken.items()
    ]
    return [*shown, _added(taken, GATEWAY, title, most_ms=most_ms), _added(taken, ROUTER, title)]


def _added(taken: dict[str, list[float]], way: str, title: str, *, most_ms: float | None = None) -> Figure:
    differences = [there - alone for alone, there in zip(taken[DIRECT], taken[way], strict=True)]
    return Figure(
        name=f"{title}, added by {way}, p50",
        value=quantile(taken[way], 0.5) - quantile(taken[DIRECT], 0.5),
        unit="ms",
        goal=None if most_ms is None else at_most(most_ms),
        note=f"median of the differences of rounds {quantile(differences, 0.5):.2f} ms",
    )
