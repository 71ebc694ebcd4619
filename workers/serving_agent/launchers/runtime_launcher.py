"""Models that run in our own runtime: one process per instance, in our own environment."""

import sys
from pathlib import Path

import msgspec

from infra.confinement.confine import Confinement
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.engine_confinement import bounded, confinement_of, home_of, reachable
from workers.serving_agent.launchers.base import Command, Order
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.settings import AgentSettings

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # joblib would start processes, which engines may not; it then does one thing after the other.
    "JOBLIB_MULTIPROCESSING": "0",
}
"""Engines share the cores: spinning threads of one would slow down the others."""

FORK_SERVER = Command(
    arguments=(sys.executable, "-P", "-s", "-m", "serving.runtime.fork_server"), environment=ONE_THREAD
)
SLOW_LIBRARIES = ("serving.engines.sklearn_engine",)
"""The libraries of scikit-learn models, which take seconds to load."""

# What forks have preloaded, by format. onnxruntime starts a thread, so a fork loads it itself. torch brings its own
# copies of libraries that scikit-learn has loaded, so its engines are not forks. XGBoost and LightGBM load
# scikit-learn. A fork loads them and CatBoost itself, so that they are found if they are installed later.
_FORKED: dict[str, tuple[str, ...]] = {
    "skops": SLOW_LIBRARIES,
    "onnx": (),
    "xgboost": SLOW_LIBRARIES,
    "lightgbm": SLOW_LIBRARIES,
    "catboost": (),
}
# torch takes seconds to compile to bytecode, which a confined process could not keep.
_NOT_FORKED: dict[str, tuple[str, ...]] = {"torch": ("serving.engines.torch_engine",)}


_PREFIX = "ROLLBOOK_RUNTIME_"
_LIMITS = (
    "THREADS",
    "QUEUE_BOUND",
    "BATCH_MS",
    "INTAKE_BYTES",
    "MEMORY_LIMIT_BYTES",
    "MEMORY_RESERVE_BYTES",
    "SPOOL_MAX_BYTES",
)
"""The settings that the operator chooses for every engine of the host."""
_PART_OF_DRAIN = 0.8


class RuntimeLauncher:
    """Implements Launcher for the program "runtime"."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    @property
    def start_deadline_s(self) -> float:
        return self._settings.start_deadline_s

    @property
    def drain_deadline_s(self) -> float:
        return self._settings.drain_deadline_s

    def command(self, order: Order) -> Command:
        own = {
            "HOST": str(self._settings.bind_host),
            "PORT": str(order.record.port),
            "MODEL_DIR": str(order.model),
            "MODEL_NAME": order.deployment.endpoint,
            "SPOOL_DIR": str(order.spool),
            "CAPTURE_FILE": str(order.capture),
            # A little less than the agent waits, so that the runtime itself aborts what takes too long.
            "DRAIN_SECONDS": f"{_PART_OF_DRAIN * self.drain_deadline_s:g}",
            "MAX_BODY_BYTES": str(self._settings.max_body_bytes),
            "BOOT_ID": order.record.boot_id,
            "INSTANCE_ID": order.record.instance_id,
            "WATCH_PID": str(self._settings.supervisor_pid),
        }
        if self._settings.otlp_endpoint:
            own["OTLP_ENDPOINT"] = reachable(self._settings.otlp_endpoint)
        is_forked = order.deployment.artifact.format in _FORKED
        return Command(
            arguments=(sys.executable, "-P", "-s", "-m", "serving.runtime.app"),
            environment={
                **ONE_THREAD,
                **home_of(order),
                **{_PREFIX + name: value for name, value in own.items()},
            },
            inherits=tuple(_PREFIX + name for name in _LIMITS),
            is_forked=is_forked,
            libraries=_FORKED.get(order.deployment.artifact.format, ()),
            # Those formats are only data; an exported program is not, and could do anything to its neighbours.
            may_share=is_forked,
            confinement=_confinement(self._settings, order, _NOT_FORKED.get(order.deployment.artifact.format, ())),
        )

    def client(self, model: Path, *, port: int) -> EngineClient:  # noqa: ARG002 - all our models have the same protocol
        return OipClient(host=self._settings.hosts.dialled, port=port)


def _confinement(settings: AgentSettings, order: Order, libraries: tuple[str, ...]) -> Confinement | None:
    confinement = bounded(confinement_of(settings, order))
    return msgspec.structs.replace(confinement, libraries=libraries) if confinement is not None else None
