"""Language models: vLLM as a separate process in its own environment, with our capture middleware inside."""

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from infra.confinement.confine import Confinement
from infra.ports import free_port
from infra.stack.addresses import LOOPBACK
from schemas.model_directory import CONFIGURATION
from serving.capture import in_engine
from serving.runtime.manifest import FILES_NAME
from workers.serving_agent.adapted_layers import layers_to_adapt
from workers.serving_agent.artifacts import lent_to
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.engine_confinement import confinement_of, home_of
from workers.serving_agent.errors import MayServeLaterError
from workers.serving_agent.launchers.base import Command, Order
from workers.serving_agent.openai_client import OpenAiClient
from workers.serving_agent.settings import AgentSettings

ENVIRONMENT = ".venv-vllm"
_MIDDLEWARE = "rollbook_capture.middleware.CaptureMiddleware"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""The model directory is complete; an engine downloads nothing and reports to nobody."""

_PARALLEL = ("--tensor-parallel", "--pipeline-parallel", "--data-parallel", "-tp", "-pp", "-dp", "--nnodes")
_ON_THIS_HOST = {"VLLM_HOST_IP": LOOPBACK, "GLOO_SOCKET_IFNAME": "lo"}
"""Where the processes of an engine find each other, without asking the network."""

_ADAPTERS_COME_AND_GO = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
"""The middleware only accepts such a call from this host, and not from the gateway."""

# If adapters may change the last layer, vLLM 0.32 computes prompt log probabilities with tensors that do not fit, and
# the engine dies.
_NO_PROMPT_LOGPROBS = {"ROLLBOOK_CAPTURE_REFUSES_PROMPT_LOGPROBS": "1"}
_TEXT = "ForCausalLM"


class _Configuration(msgspec.Struct, frozen=True):
    architectures: tuple[str, ...] = ()


class VllmLauncher:
    """Implements Launcher.

    The environment can be installed while deployments wait for it: the next attempt finds it.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    @property
    def start_deadline_s(self) -> float:
        return self._settings.vllm_start_deadline_s

    @property
    def drain_deadline_s(self) -> float:
        return self._settings.vllm_drain_deadline_s

    def command(self, order: Order) -> Command:
        endpoint, number = order.deployment.endpoint, order.deployment.version.number
        named = {
            "--model": str(order.model / FILES_NAME),
            "--host": str(self._settings.bind_host),
            "--port": str(order.record.port),
            "--middleware": _MIDDLEWARE,
            "--shutdown-timeout": str(round(self.drain_deadline_s)),
            "--fingerprint-mode": "custom",
            "--fingerprint-value": order.deployment.id,
            "--uvicorn-log-level": "warning",
            "--tool-call-parser": self._settings.vllm_tool_parser,
        }
        has_room = self._has_room_for_adapters(order.model / FILES_NAME)
        layers = layers_to_adapt(order.model / FILES_NAME) if has_room else ()
        python, inside = self._python(), free_port(avoid=(order.record.port,))
        confinement = self._confinement(order, python, inside=inside)
        return Command(
            arguments=(
                *((sys.executable, "-P", "-s", "-m", "infra.confinement") if confinement is not None else ()),
                str(python),
                *("-m", "vllm.entrypoints.openai.api_server"),
                *(part for pair in named.items() for part in pair),
                # Callers name the endpoint, and may also name the version; the gateway has already chosen this one.
                *("--served-model-name", endpoint, f"{endpoint}@{number}"),
                "--enable-auto-tool-choice",
                *(self._adapter_arguments(layers) if has_room else ()),
                *self._settings.vllm_arguments,
            ),
            environment={
                **_OFFLINE,
                **_ON_THIS_HOST,
                **home_of(order),
                "VLLM_PORT": str(inside),
                # Names of sockets without a file: the path of a file may be longer than a socket's name can be.
                "VLLM_RPC_BASE_PATH": f"@rollbook-vllm-{order.record.boot_id}",
                **self._resources(),
                **self._capture(order),
                **(_ADAPTERS_COME_AND_GO if has_room else {}),
                **(_NO_PROMPT_LOGPROBS if has_room and not layers else {}),
            },
            confinement=confinement,
        )

    def client(self, model: Path, *, port: int) -> EngineClient:  # noqa: ARG002 - every model of vLLM has the same protocol
        return OpenAiClient(host=self._settings.hosts.dialled, port=port)

    def _python(self) -> Path:
        beside = Path(sys.prefix).parent / ENVIRONMENT / "bin" / "python"
        python = self._settings.vllm_python or beside
        if not python.is_file():
            raise MayServeLaterError(
                "engine-not-installed",
                f"this host has no vLLM at {python}; install it with `./task setup:vllm`, "
                "or name the Python of another installation in ROLLBOOK_AGENT_VLLM_PYTHON",
            )
        return python

    def _confinement(self, order: Order, python: Path, *, inside: int) -> Confinement | None:
        """Return what its processes may use; they talk over the port `inside` and over ones that the kernel chooses."""
        confinement = confinement_of(self._settings, order)
        if confinement is None:
            return None
        lent = lent_to(self._settings.directory / "models", order.deployment.id)
        return msgspec.structs.replace(
            confinement,
            reads=(*confinement.reads, str(lent), *map(str, _environments(python))),
            listens=(order.record.port, inside, 0),
            connects=None if self._is_of_several_ranks() else (*(confinement.connects or ()), inside),
            starts_programs=True,
        )

    def _is_of_several_ranks(self) -> bool:
        """Processes of several GPUs or hosts connect to ports that only they know."""
        return any(argument.startswith(_PARALLEL) for argument in self._settings.vllm_arguments)

    def _has_room_for_adapters(self, model: Path) -> bool:
        """Engines of models that write text have room for adapters; vLLM does not support them for embeddings."""
        return bool(self._settings.vllm_adapters) and _writes_text(model)

    def _adapter_arguments(self, layers: Iterable[str]) -> tuple[str, ...]:
        max_loras, rank = str(self._settings.vllm_adapters), str(self._settings.vllm_adapter_rank)
        named = ("--lora-target-modules", *layers) if layers else ()
        return ("--enable-lora", "--max-loras", max_loras, "--max-lora-rank", rank, *named)

    def _resources(self) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": str(self._settings.vllm_threads),
            # Pinned threads of two engines would use the same cores and leave others idle.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": str(self._settings.vllm_cpu_cache_gib),
        }

    def _capture(self, order: Order) -> dict[str, str]:
        return {
            "PYTHONPATH": in_engine.__path__[0],
            "ROLLBOOK_CAPTURE_SPOOL_DIR": str(order.spool),
            "ROLLBOOK_CAPTURE_BOOT_ID": order.record.boot_id,
            "ROLLBOOK_CAPTURE_INSTANCE_ID": order.record.instance_id,
            "ROLLBOOK_CAPTURE_DEPLOYMENT_ID": order.deployment.id,
            "ROLLBOOK_CAPTURE_POLICY_FILE": str(order.capture),
            "ROLLBOOK_CAPTURE_WATCH_PID": str(self._settings.supervisor_pid),
        }


def _environments(python: Path) -> tuple[Path, ...]:
    """Return where the packages of a Python are, and those of the Python that its environment was made from."""
    return tuple(each.parent.parent if each.parent.name == "bin" else each for each in (python, python.resolve()))


def _writes_text(model: Path) -> bool:
    try:
        configuration = msgspec.json.decode((model / CONFIGURATION).read_bytes(), type=_Configuration)
    except (OSError, msgspec.DecodeError):
        # vLLM reports what is wrong with it.
        return False
    return any(name.endswith(_TEXT) for name in configuration.architectures)
