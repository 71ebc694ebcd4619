"""vllm-router from PyPI in an environment of its own, laid once and kept under `.tools/`."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.ports import free_port

VERSION = "0.1.17"
_ROOT = Path(__file__).resolve().parents[1]
_READY_WITHIN_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.1
_LAY_S = 600.0


def install_environment() -> Path:
    """Return the router's program, after its environment is laid.

    Raises:
        LookupError: uv, which lays it, is not there.
    """
    environment = _ROOT / ".tools" / "benchmarks" / f"vllm-router-{VERSION}"
    program = environment / "bin" / "vllm-router"
    if (environment / "laid").is_file():
        return program
    uv = shutil.which("uv")
    if uv is None:
        raise LookupError("uv installs vllm-router's environment but is not on the PATH; start with `./task bench`")
    shutil.rmtree(environment, ignore_errors=True)
    python = str(environment / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--python", "3.11", str(environment)],
        [uv, "pip", "install", "--quiet", "--python", python, f"vllm-router=={VERSION}"],
    ):
        subprocess.run(command, check=True, timeout=_LAY_S)
    (environment / "laid").touch()
    return program


@contextmanager
def running_router(folder: Path, *, worker_url: str) -> Iterator[str]:
    """Route to one engine until the block is left, and give out the router's address."""
    program, port, log = install_environment(), free_port(), folder / "vllm-router.log"
    url = f"http://127.0.0.1:{port}"
    places = ["--host", "127.0.0.1", "--port", str(port)]
    prometheus = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), "--worker-urls", worker_url, "--policy", "round_robin", *places, *prometheus],
            stdout=output,
            stderr=output,
        )
        try:
            _wait(f"{url}/readiness", process, log)
            yield url
        finally:
            process.terminate()
            process.wait(_STOP_S)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"vllm-router did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  a server of ours on this machine
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
