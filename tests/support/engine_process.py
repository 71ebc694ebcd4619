"""A real runtime process on a free port, with the model directory and spool that an agent would give it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from infra.ports import free_port
from schemas.events.endpoints import VersionReference
from schemas.events.registry import ArtifactFormat
from serving.capture.policy_file import PolicyInForce, write_policy
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, write_manifest
from tests.support.digits import SIGNATURE, served
from tests.support.plain_http import NO_AUTHORITIES

START_DEADLINE_S = 180
CAPTURE = "capture.json"


class EngineProcess(msgspec.Struct, frozen=True):
    process: subprocess.Popen[bytes]
    url: str
    spool: Path
    log: Path
    ready_after_s: float


def write_model(directory: Path, *, artifact_format: ArtifactFormat) -> Manifest:
    model = served(artifact_format)
    directory.mkdir(parents=True)
    (directory / ARTIFACT_NAME).write_bytes(model.content)
    manifest = Manifest(
        workspace="default",
        endpoint_id="endpoint-1",
        endpoint="digits",
        deployment_id="deployment-1",
        version=VersionReference(version_id="version-1", model_name="digits", number=2),
        artifact=model.artifact,
        signature=SIGNATURE,
    )
    write_manifest(directory, manifest)
    write_policy(directory.with_name(CAPTURE), PolicyInForce())
    return manifest


def settings_of(root: Path, *, port: int, spool: str = "spool") -> dict[str, str]:
    """Return the environment of a runtime that serves `root/model`."""
    return {
        "ROLLBOOK_RUNTIME_PORT": str(port),
        "ROLLBOOK_RUNTIME_MODEL_DIR": str(root / "model"),
        "ROLLBOOK_RUNTIME_MODEL_NAME": "digits",
        "ROLLBOOK_RUNTIME_SPOOL_DIR": str(root / spool),
        "ROLLBOOK_RUNTIME_CAPTURE_FILE": str(root / CAPTURE),
        "ROLLBOOK_RUNTIME_BOOT_ID": "boot-1",
        "ROLLBOOK_RUNTIME_INSTANCE_ID": "instance-1",
        "OMP_NUM_THREADS": "1",
        # Compiling scikit-learn again takes most of a start.
        "PYTHONDONTWRITEBYTECODE": "",
    }


@contextmanager
def launched(root: Path, *, environ: Mapping[str, str] | None = None) -> Iterator[EngineProcess]:
    """Start the runtime on `root/model` and wait for nothing."""
    port = free_port()
    settings = settings_of(root, port=port)
    log = root / "runtime.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.runtime.app"],
            env={**os.environ, **settings, **(environ or {})},
            stdout=output,
            stderr=output,
        )
    try:
        yield EngineProcess(process, f"http://127.0.0.1:{port}", root / "spool", log, 0.0)
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(root: Path, *, environ: Mapping[str, str] | None = None) -> Iterator[EngineProcess]:
    """Start the runtime on `root/model` and wait until it is ready."""
    started = time.monotonic()
    with launched(root, environ=environ) as engine:
        while not _is_ready(engine.url):
            assert engine.process.poll() is None, engine.log.read_text()
            assert time.monotonic() - started < START_DEADLINE_S, engine.log.read_text()
            time.sleep(0.05)
        yield msgspec.structs.replace(engine, ready_after_s=time.monotonic() - started)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=5, verify=NO_AUTHORITIES).is_success
    except httpx.TransportError:
        return False
