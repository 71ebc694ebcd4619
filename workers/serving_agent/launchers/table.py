"""The table from an artifact's format to what starts its engine."""

from schemas.events.registry import ArtifactFormat
from workers.serving_agent.desired import Deployment
from workers.serving_agent.instance_book import InstanceBook
from workers.serving_agent.launchers.adapter_launcher import AdapterLauncher
from workers.serving_agent.launchers.base import Launcher
from workers.serving_agent.launchers.external_launcher import ExternalLauncher
from workers.serving_agent.launchers.runtime_launcher import RuntimeLauncher
from workers.serving_agent.launchers.vllm_launcher import VllmLauncher
from workers.serving_agent.settings import AgentSettings


class Launchers:
    """One launcher a kind of engine, made once."""

    def __init__(self, settings: AgentSettings, book: InstanceBook) -> None:
        runtime = RuntimeLauncher(settings)
        self._of_format: dict[ArtifactFormat, Launcher] = {
            "skops": runtime,
            "onnx": runtime,
            "torch": runtime,
            "xgboost": runtime,
            "lightgbm": runtime,
            "catboost": runtime,
            "transformers": VllmLauncher(settings),
            "lora": AdapterLauncher(settings, book),
            "external": ExternalLauncher(settings),
        }
        self._default = runtime

    def of(self, deployment: Deployment | None) -> Launcher:
        """Return the launcher of a deployment; of one that is gone only the end is left, which is alike for all."""
        return self._of_format[deployment.artifact.format] if deployment else self._default
