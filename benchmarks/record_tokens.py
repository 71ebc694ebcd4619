"""Records what the replaying engine replays: `python -m benchmarks.record_tokens`, with nothing else on the machine.

Trains the project's small model, starts vLLM on it as the serving agent does, and writes down one stream that is alone:
each token and how long after the one before it came.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import msgspec

from benchmarks.language_models import PYTHON, trained
from benchmarks.replaying_engine import RECORDED, Token
from infra.ports import free_ports
from infra.stack.addresses import LOOPBACK

_TOKENS, _WARM_UP = 64, 5
_READY_WITHIN_S = 300.0
_TIMEOUT_S = 120.0
_DATA = "data: "


def main() -> int:
    """Record."""
    (port,) = free_ports(1)
    url = f"http://{LOOPBACK}:{port}"
    with tempfile.TemporaryDirectory() as folder:
        model = trained(Path(folder) / "model", steps=120)
        command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", LOOPBACK]
        options = ["--port", port, "--served-model-name", "story", "--uvicorn-log-level", "warning"]
        engine = subprocess.Popen([str(part) for part in (*command, *options)])
        try:
            _await(url)
            for _ in range(_WARM_UP):
                tokens = _stream(url)
        finally:
            engine.terminate()
            engine.wait(_TIMEOUT_S)
    RECORDED.write_text("[\n" + ",\n".join(msgspec.json.encode(token).decode() for token in tokens) + "\n]\n")
    return 0


def _await(url: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            if httpx.get(f"{url}/health", timeout=_TIMEOUT_S).is_success:
                return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _stream(url: str) -> list[Token]:
    body = {"model": "story", "prompt": "Return the", "max_tokens": _TOKENS, "stream": True, "ignore_eos": True}
    tokens, last = [], time.perf_counter()
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=_TIMEOUT_S) as answer:
        for line in answer.iter_lines():
            if line.startswith(_DATA) and line != f"{_DATA}[DONE]":
                now = time.perf_counter()
                text = json.loads(line.removeprefix(_DATA))["choices"][0]["text"]
                tokens.append(Token(round(1_000 * (now - last), 2), text))
                last = now
    return tokens


if __name__ == "__main__":
    sys.exit(main())
