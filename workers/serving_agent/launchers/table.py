"""The table from an artifact's format to the launcher of its engine."""

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
    """One launcher per kind of engine, created once."""

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
        """Return the launcher of a deployment; one that is gone only has to be ended, which is the same for all."""
        return self._of_format[deployment.artifact.format] if deployment else self._default
