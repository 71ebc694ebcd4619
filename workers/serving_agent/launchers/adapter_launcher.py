"""Adapters: loaded into a running engine of their parent on this host, with our relay in front as their instance."""

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from infra.errors import CannotStartError
from schemas.model_directory import ADAPTER_CONFIGURATION
from serving.runtime.manifest import FILES_NAME, read_manifest
from workers.serving_agent.adapted_layers import layers_of_adapter, layers_to_adapt
from workers.serving_agent.artifacts import disk_failure, lend
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.errors import MayServeLaterError, NeverServesError
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.launchers.base import Command, Order
from workers.serving_agent.launchers.external_launcher import relay_command
from workers.serving_agent.openai_client import OpenAiClient
from workers.serving_agent.settings import AgentSettings


class _Configuration(msgspec.Struct, frozen=True):
    r: int


class AdapterLauncher:
    """Implements Launcher. The parent's engine continues whatever happens to the adapter."""

    def __init__(self, settings: AgentSettings, book: InstanceBook) -> None:
        self._settings = settings
        self._book = book

    @property
    def start_deadline_s(self) -> float:
        # The parent's engine may be starting too.
        return self._settings.vllm_start_deadline_s

    @property
    def drain_deadline_s(self) -> float:
        return self._settings.vllm_drain_deadline_s

    def command(self, order: Order) -> Command:
        self._check_rank(order.model / FILES_NAME / ADAPTER_CONFIGURATION)
        engines = list(self._engines_of_parent(order))
        if not engines:
            raise MayServeLaterError(
                "parent-not-running",
                f"no engine of the parent {order.deployment.artifact.parent} runs on this host for the endpoint "
                f"{order.deployment.endpoint}; deploy the parent there",
            )
        # Replicas are spread over the parent's instances.
        engine = engines[order.record.slot.replica % len(engines)]
        adapted = layers_to_adapt(self._model_of(engine) / FILES_NAME)
        _check_layers(order.model / FILES_NAME, adapted)
        try:
            folder = lend(self._settings.directory / "models", order.deployment.id, to=engine.slot.deployment_id)
        except OSError as error:
            raise disk_failure(error) from error
        parent = {
            "ADAPTER_DIR": str(folder),
            "PARENT_HOST": self._settings.hosts.dialled,
            "PARENT_PORT": str(engine.port),
            "PARENT_BOOT_ID": engine.boot_id,
            "PARENT_SCORES_PROMPTS": "true" if adapted else "false",
        }
        return relay_command(self._settings, order, parent)

    def client(self, model: Path, *, port: int) -> EngineClient:  # noqa: ARG002 - every adapter of vLLM has the same protocol
        return OpenAiClient(host=self._settings.hosts.dialled, port=port)

    def _check_rank(self, path: Path) -> None:
        max_rank = self._settings.vllm_adapter_rank
        try:
            rank = msgspec.json.decode(path.read_bytes(), type=_Configuration).r
        except (OSError, msgspec.DecodeError) as error:
            raise NeverServesError("artifact-malformed", f"{ADAPTER_CONFIGURATION} has no rank: {error}") from error
        if not self._settings.vllm_adapters:
            raise NeverServesError(
                "adapters-not-allowed",
                "the engines of this host do not accept adapters; set ROLLBOOK_AGENT_VLLM_ADAPTERS to how many one "
                "may hold "
                "and restart the parent",
            )
        if rank > max_rank:
            raise NeverServesError(
                "adapter-rank-too-large",
                f"the adapter has rank {rank}, but the engines of this host accept at most {max_rank}; set "
                "ROLLBOOK_AGENT_VLLM_ADAPTER_RANK and restart the parent, or train it with a lower rank",
            )

    def _engines_of_parent(self, order: Order) -> Iterator[InstanceRecord]:
        beside = [record for record in self._book.running() if record.endpoint_id == order.deployment.endpoint_id]
        for record in sorted(beside, key=lambda record: record.slot):
            if self._version_of(record) == order.deployment.artifact.parent:
                yield record

    def _model_of(self, record: InstanceRecord) -> Path:
        return self._settings.directory / "models" / record.slot.deployment_id

    def _version_of(self, record: InstanceRecord) -> str | None:
        try:
            manifest = read_manifest(self._model_of(record))
        except CannotStartError:
            return None
        return manifest.version.version_id


def _check_layers(adapter: Path, adapted: Collection[str]) -> None:
    """Reject an adapter of which vLLM would silently ignore a part."""
    try:
        others = layers_of_adapter(adapter) - set(adapted)
    except (OSError, ValueError) as error:
        raise NeverServesError("artifact-malformed", f"the adapter's weights cannot be read: {error}") from error
    if adapted and others:
        raise NeverServesError(
            "adapter-layers-not-served",
            f"the adapter changes {', '.join(sorted(others))}, which engines do not adapt; only train "
            f"{', '.join(adapted)}",
        )
