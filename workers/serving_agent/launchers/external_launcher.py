"""Servers that already run: our relay as a process beside the agent, which holds the credential and captures."""

import sys
from collections.abc import Mapping
from pathlib import Path

from schemas.external_engine import read_description
from serving.runtime.manifest import ARTIFACT_NAME
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.launchers.base import Command, Order
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.openai_client import OpenAiClient
from workers.serving_agent.settings import AgentSettings

_PREFIX = "ROLLBOOK_EXTERNAL_"
_LIMITS = ("ANSWER_SECONDS", "CONNECTIONS", "SPOOL_MAX_BYTES")
"""The settings that the operator chooses for every relay of the host."""


class ExternalLauncher:
    """Implements Launcher for the program "external"."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    @property
    def start_deadline_s(self) -> float:
        return self._settings.start_deadline_s

    @property
    def drain_deadline_s(self) -> float:
        return self._settings.vllm_drain_deadline_s

    def command(self, order: Order) -> Command:
        granted = self._settings.external_networks
        return relay_command(self._settings, order, {"NETWORKS": str(granted)} if granted else None)

    def client(self, model: Path, *, port: int) -> EngineClient:
        description = read_description((model / ARTIFACT_NAME).read_bytes())
        kind = OpenAiClient if description.protocol == "openai" else OipClient
        return kind(host=self._settings.hosts.dialled, port=port)


def relay_command(settings: AgentSettings, order: Order, more: Mapping[str, str] | None = None) -> Command:
    """Return how to start the relay for an instance."""
    own = {
        "HOST": str(settings.bind_host),
        "PORT": str(order.record.port),
        "MODEL_DIR": str(order.model),
        "SPOOL_DIR": str(order.spool),
        "CAPTURE_FILE": str(order.capture),
        "BOOT_ID": order.record.boot_id,
        "INSTANCE_ID": order.record.instance_id,
        "WATCH_PID": str(settings.supervisor_pid),
        "CREDENTIALS_DIR": str(settings.credentials_of(order.deployment.workspace)),
        "DRAIN_SECONDS": str(settings.vllm_drain_deadline_s),
        **(more or {}),
    }
    return Command(
        arguments=(sys.executable, "-P", "-m", "serving.external.app"),
        environment={_PREFIX + name: value for name, value in own.items()},
        inherits=tuple(_PREFIX + name for name in _LIMITS),
    )
