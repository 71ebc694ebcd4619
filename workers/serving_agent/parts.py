"""What the agent and its keepers work with."""

import msgspec

from infra.background import Background
from infra.clock import Clock
from workers.serving_agent.artifacts import ModelShelf
from workers.serving_agent.capture_files import CaptureFiles
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.instance_book import InstanceBook
from workers.serving_agent.instance_start import InstanceStarter
from workers.serving_agent.settings import AgentSettings


class AgentParts(msgspec.Struct, frozen=True, kw_only=True):
    """Created once by the program, and passed down as a value."""

    settings: AgentSettings
    control_plane: ControlPlane
    shelf: ModelShelf
    book: InstanceBook
    starter: InstanceStarter
    captures: CaptureFiles
    clock: Clock
    background: Background
