"""What the serving agent is told by its environment."""

from pathlib import Path
from typing import Annotated

import msgspec

PREFIX = "ROLLBOOK_AGENT_"


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The variables of the program "agent"."""

    data_dir: Annotated[Path, msgspec.Meta(description="the stack's data directory")]
    api_url: Annotated[str, msgspec.Meta(description="the control plane's address")]
    token_file: Annotated[Path, msgspec.Meta(description="file with a service token")]
    kafka_bootstrap: Annotated[str, msgspec.Meta(description="Kafka's address, host:port")]
    ready_file: Annotated[Path, msgspec.Meta(description="made once the first snapshot is acted upon")]
    agent_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+$", description="name of this agent")] = "local"
    region: Annotated[str, msgspec.Meta(description="region of this host")] = "local"
    zone: Annotated[str, msgspec.Meta(description="zone of this host")] = "local"
    supervisor_pid: Annotated[int, msgspec.Meta(ge=0, description="engines end when this process is gone; 0: none")] = 0
    start_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="time for an engine to become ready")] = 120.0
    drain_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="time for requests under way at a stop")] = 5.0

    @property
    def directory(self) -> Path:
        """Where all of the agent's own state is."""
        return self.data_dir.absolute() / "agent" / self.agent_id

    def capture_file_of(self, endpoint_id: str) -> Path:
        """Where the capture policy is that the engines of an endpoint follow."""
        return self.directory / "capture" / f"{endpoint_id}.json"
