"""MLServer from PyPI in an environment of its own, laid once and kept under `.tools/`."""

import importlib.metadata
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.served_models import NAME
from infra.ports import free_port

VERSION = "1.7.1"
_ROOT = Path(__file__).resolve().parents[1]
_READY_WITHIN_S = 90.0
_STOP_S = 20.0
_POLL_S = 0.1
_LAY_S = 600.0
_SKLEARN = "mlserver_sklearn.SKLearnModel"
_ONNX = "benchmarks.mlserver_onnx.OnnxModel"


class Addresses(msgspec.Struct, frozen=True):
    """Where a server answers."""

    rest: str
    grpc: str
    pid: int


def install_environment() -> Path:
    """Return MLServer's Python, after its environment is laid with the libraries in our versions.

    Raises:
        LookupError: uv, which lays it, is not there.
    """
    same = {name: importlib.metadata.version(name) for name in ("scikit-learn", "onnxruntime", "numpy", "joblib")}
    label = "-".join(["mlserver", VERSION, *same.values()])
    environment = _ROOT / ".tools" / "benchmarks" / label
    python = environment / "bin" / "python"
    if (environment / "laid").is_file():
        return python
    uv = shutil.which("uv")
    if uv is None:
        raise LookupError("uv installs MLServer's environment but is not on the PATH; start with `./task bench`")
    shutil.rmtree(environment, ignore_errors=True)
    wanted = [f"mlserver=={VERSION}", f"mlserver-sklearn=={VERSION}", *(f"{name}=={it}" for name, it in same.items())]
    for command in (
        [uv, "venv", "--quiet", "--python", "3.11", str(environment)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *wanted],
    ):
        subprocess.run(command, check=True, timeout=_LAY_S)
    (environment / "laid").touch()
    return python


@contextmanager
def running_mlserver(folder: Path, artifact: Path, *, workers: int = 0) -> Iterator[Addresses]:
    """Serve one model until the block is left.

    Without workers it predicts in its own process, which is its fastest way to serve small models on few cores.
    """
    python = install_environment()
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    _write(folder, artifact, {**ports, "parallel_workers": workers})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")}
    environment |= {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python.with_name("mlserver")), "start", str(folder)], env=environment, stdout=output, stderr=output
        )
        try:
            _wait(f"http://127.0.0.1:{ports['http_port']}/v2/models/{NAME}/ready", process, log)
            yield Addresses(f"http://127.0.0.1:{ports['http_port']}", f"127.0.0.1:{ports['grpc_port']}", process.pid)
        finally:
            process.terminate()
            process.wait(_STOP_S)


def _write(folder: Path, artifact: Path, settings: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    shared: dict[str, Any] = {"host": "127.0.0.1", "debug": False, **settings}
    (folder / "settings.json").write_bytes(msgspec.json.encode(shared))
    implementation = _ONNX if artifact.suffix == ".onnx" else _SKLEARN
    model = {"name": NAME, "implementation": implementation, "parameters": {"uri": str(artifact), "version": "v1"}}
    (folder / "model-settings.json").write_bytes(msgspec.json.encode(model))


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MLServer did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  a server of ours on this machine
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
