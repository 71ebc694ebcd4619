"""Our runtime and MLServer on the same models, under the same load, in turn.

Both servers stay up for all laps of a model and each has every lap right after the other, so that what disturbs the
machine disturbs them alike. Neither records what it answers: our capture follows the gateway's prediction id, which
the requests lack.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
import msgspec

from benchmarks.figures import Figure, above, at_least, quantile
from benchmarks.infer_load import Calls, Lap, run_apart
from benchmarks.peer_mlserver import Addresses, running_mlserver
from benchmarks.programs import new_folder, running
from benchmarks.served_models import (
    NAME,
    ModelFiles,
    grpc_messages,
    rest_bodies,
    write_model_directory,
    write_models,
)
from infra.ports import free_port
from schemas.events.registry import ArtifactFormat

PATH = f"/v2/models/{NAME}/infer"
OURS, THEIRS = "rollbook", "MLServer"
_GOAL = 3.0
_SHARE_OF_SATURATION = 0.5
_PROTOCOLS: tuple[Literal["rest", "grpc"], ...] = ("rest", "grpc")
_NAMES = {"rest": "REST", "grpc": "gRPC"}


class Depth(msgspec.Struct, frozen=True):
    """How much is measured."""

    callers: tuple[int, ...]
    rounds: int
    seconds: float


_SHORT = Depth((1, 8, 32), 2, 2.0)
_FULL = Depth((1, 8, 32, 128), 5, 4.0)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Measure each model over each protocol."""
    depth = _FULL if full else _SHORT
    with new_folder() as folder:
        files = write_models(folder)
        for artifact_format in ("skops", "onnx"):
            with _both(folder / artifact_format, files, artifact_format) as servers:
                for protocol in _PROTOCOLS:
                    yield _compare(servers, artifact_format, protocol, depth)


@contextmanager
def _both(folder: Path, files: ModelFiles, artifact_format: Literal["skops", "onnx"]) -> Iterator[dict[str, Addresses]]:
    ours, theirs = (files.onnx, files.onnx) if artifact_format == "onnx" else (files.skops, files.joblib)
    with _runtime(folder / "ours", ours, artifact_format) as here, running_mlserver(folder / "peer", theirs) as there:
        yield {OURS: here, THEIRS: there}


@contextmanager
def _runtime(root: Path, artifact: Path, artifact_format: ArtifactFormat) -> Iterator[Addresses]:
    write_model_directory(root, artifact, artifact_format)
    port = free_port()
    settings = {
        "PORT": str(port),
        "MODEL_DIR": str(root / "model"),
        "MODEL_NAME": NAME,
        "SPOOL_DIR": str(root / "spool"),
        "CAPTURE_FILE": str(root / "capture.json"),
        "BOOT_ID": "boot-1",
        "INSTANCE_ID": "instance-1",
    }
    url = f"http://127.0.0.1:{port}"
    with running("runtime", settings, is_ready=lambda: _is_ready(url)) as pid:
        yield Addresses(url, f"127.0.0.1:{port}", pid)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=5).is_success
    except httpx.TransportError:
        return False


def _compare(
    servers: dict[str, Addresses], artifact_format: str, protocol: Literal["rest", "grpc"], depth: Depth
) -> list[Figure]:
    prefix, figures, fastest = f"{artifact_format} {_NAMES[protocol]}", [], 0.0
    for callers in depth.callers:
        laps = _laps(servers, protocol, depth, callers=callers)
        figures += _closed(f"{prefix}, {callers} callers", laps)
        fastest = max(fastest, *(len(lap.durations_ms) / lap.seconds for lap in laps[THEIRS]))
    rate = round(fastest * _SHARE_OF_SATURATION)
    laps = _laps(servers, protocol, depth, callers=max(depth.callers), rate_per_s=rate)
    return figures + _steady(f"{prefix}, {rate:,} requests/s", laps)


def _laps(
    servers: dict[str, Addresses],
    protocol: Literal["rest", "grpc"],
    depth: Depth,
    *,
    callers: int,
    rate_per_s: float = 0.0,
) -> dict[str, list[Lap]]:
    laps: dict[str, list[Lap]] = {name: [] for name in servers}
    requests = rest_bodies() if protocol == "rest" else grpc_messages()
    for number in range(depth.rounds):
        # Neither always comes first.
        for name in list(servers)[:: -1 if number % 2 else 1]:
            address = servers[name].rest if protocol == "rest" else servers[name].grpc
            calls = Calls(
                protocol=protocol,
                address=address,
                path=PATH,
                requests=requests,
                callers=callers,
                seconds=depth.seconds,
                rate_per_s=rate_per_s,
            )
            lap = run_apart(calls)
            if lap.failed:
                raise RuntimeError(f"{lap.failed} calls of {name} over {protocol} failed")
            laps[name].append(lap)
    return laps


def _closed(prefix: str, laps: dict[str, list[Lap]]) -> list[Figure]:
    rates = {
        name: sum(len(lap.durations_ms) for lap in its) / sum(lap.seconds for lap in its) for name, its in laps.items()
    }
    note = "; ".join(f"{name} {rates[name]:,.0f}/s, {_quantiles(its)}" for name, its in laps.items())
    return [
        Figure(
            name=f"{prefix}: our rate to MLServer's",
            value=rates[OURS] / rates[THEIRS],
            unit="×",
            goal=at_least(_GOAL),
            note=note,
        ),
        _p99(prefix, laps),
    ]


def _steady(prefix: str, laps: dict[str, list[Lap]]) -> list[Figure]:
    note = "; ".join(f"{name} {_quantiles(its)}" for name, its in laps.items())
    return [msgspec.structs.replace(_p99(prefix, laps), note=note)]


def _p99(prefix: str, laps: dict[str, list[Lap]]) -> Figure:
    p99 = {name: quantile(_all(its), 0.99) for name, its in laps.items()}
    return Figure(name=f"{prefix}: MLServer's p99 to ours", value=p99[THEIRS] / p99[OURS], unit="×", goal=above(1))


def _quantiles(laps: list[Lap]) -> str:
    taken = _all(laps)
    callers = sum(lap.cpu_s for lap in laps) / sum(lap.seconds for lap in laps)
    return f"p50 {quantile(taken, 0.5):.2f}, p99 {quantile(taken, 0.99):.2f} ms, its callers {callers:.0%} of a core"


def _all(laps: list[Lap]) -> list[float]:
    return [taken for lap in laps for taken in lap.durations_ms]
