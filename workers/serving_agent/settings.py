"""Settings of the serving agent, from its environment."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from infra.addresses import GrantedNetworks
from infra.data_directory import folder_of_workspace
from infra.program_settings import RegionalServiceSettings
from infra.settings import load_settings
from infra.stack.addresses import ON_LOOPBACK, Hosts
from infra.tracing import OtlpEndpoint
from schemas.identifiers import DEFAULT_WORKSPACE
from workers.serving_agent.health import HealthRules

PREFIX = "ROLLBOOK_AGENT_"


class AgentSettings(RegionalServiceSettings, frozen=True, kw_only=True):
    """The variables of the program "agent"."""

    ready_file: Annotated[Path, msgspec.Meta(description="created once all documents are applied")]
    agent_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+\Z", description="name of this agent")] = "local"
    zone: Annotated[str, msgspec.Meta(description="zone of this host")] = "local"
    bind_host: Annotated[IPv4Address, msgspec.Meta(description="address that engines listen on")] = ON_LOOPBACK
    advertised_host: Annotated[
        IPv4Address | None,
        msgspec.Meta(description="address at which gateways reach the engines; defaults to the one they listen on"),
    ] = None
    supervisor_pid: Annotated[int, msgspec.Meta(ge=0, description="engines exit when this process ends; 0: none")] = 0
    fork_engines: Annotated[
        bool,
        msgspec.Meta(
            description="fork runtimes from a process with the libraries loaded, so that they start in milliseconds"
        ),
    ] = True
    preload_libraries: Annotated[
        bool,
        msgspec.Meta(
            description="load scikit-learn at startup, so that the first engine that needs it starts immediately"
        ),
    ] = True
    models_per_process: Annotated[
        int,
        msgspec.Meta(ge=1, description="models of one workspace and format that share a process; 1: none share"),
    ] = 1
    start_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="time for an engine to become ready")] = 120.0
    max_body_bytes: Annotated[
        int, msgspec.Meta(ge=1_024, description="the largest request body that an engine accepts")
    ] = 128 * 1024**2
    drain_deadline_s: Annotated[
        float, msgspec.Meta(gt=0, description="time for an engine's requests in progress to finish when it stops")
    ] = 5.0
    vllm_python: Annotated[
        Path | None,
        msgspec.Meta(description="Python of vLLM's environment; defaults to .venv-vllm beside Rollbook's own"),
    ] = None
    vllm_arguments: Annotated[
        tuple[str, ...], msgspec.Meta(description="additional arguments for every vLLM, such as --max-model-len=4096")
    ] = ()
    vllm_tool_parser: Annotated[str, msgspec.Meta(description="vLLM's parser of tool calls")] = "hermes"
    vllm_threads: Annotated[int, msgspec.Meta(ge=1, description="threads of one vLLM on a CPU")] = 2
    vllm_cpu_cache_gib: Annotated[
        int, msgspec.Meta(ge=1, description="memory for one vLLM's key-value cache on a CPU")
    ] = 1
    vllm_adapters: Annotated[
        int, msgspec.Meta(ge=0, description="adapters that one vLLM can hold beside its model; 0: none")
    ] = 0
    vllm_adapter_rank: Annotated[
        int, msgspec.Meta(ge=1, description="the highest rank of an adapter: 8, 16, 32, 64, 128, 256, 320 or 512")
    ] = 16
    vllm_start_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="time for vLLM to become ready")] = 900.0
    vllm_drain_deadline_s: Annotated[
        float, msgspec.Meta(gt=0, description="time for vLLM's requests to finish when it stops")
    ] = 30.0
    credentials_dir: Annotated[
        Path | None,
        msgspec.Meta(description="folder with the credentials of external engines; defaults to secrets/engines"),
    ] = None
    home_workspace: Annotated[
        str, msgspec.Meta(description="the home workspace, whose external engines use that folder itself")
    ] = DEFAULT_WORKSPACE
    external_networks: Annotated[
        GrantedNetworks,
        msgspec.Meta(description="private networks that external engines may be in, such as 10.2.0.0/16,127.0.0.0/8"),
    ] = GrantedNetworks()
    engine_confinement: Annotated[
        Literal["required", "possible", "off"],
        msgspec.Meta(
            description="whether engines are kept from all files, ports and processes that are not theirs: as far as "
            "the kernel can, which the log says; `required` starts none where it cannot"
        ),
    ] = "possible"
    engine_reads: Annotated[
        tuple[Path, ...],
        msgspec.Meta(description="more files and folders that engines may read, such as a chat template for vLLM"),
    ] = ()
    engine_memory_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="memory that a process of an engine may allocate; 0: 3/4 of the machine's, vLLM's not bounded",
        ),
    ] = 0
    engine_cores: Annotated[int, msgspec.Meta(ge=0, description="cores that an engine may use; 0: all")] = 0
    probe_interval_s: Annotated[
        float, msgspec.Meta(gt=0, description="time between two golden inputs to an instance")
    ] = 2.0
    probe_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="time after which an answer counts as missing")
    ] = 5.0
    probe_slow_s: Annotated[float, msgspec.Meta(gt=0, description="time after which an answer counts as slow")] = 2.0
    otlp_endpoint: OtlpEndpoint = None
    telemetry_interval_s: Annotated[
        float, msgspec.Meta(gt=0, description="time between two measurements of what instances use")
    ] = 5.0
    spools_max_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=1024**2,
            description="space for captured predictions of all engines of this host; above it, engines that ended lose "
            "inputs and outputs first, then records, but no counts",
        ),
    ] = 4 * 1024**3
    probe_faults: Annotated[
        int, msgspec.Meta(ge=1, description="failed probes, out of twice as many, after which an instance is withdrawn")
    ] = 3

    def __post_init__(self) -> None:
        """Reject an address that no gateway could use."""
        _ = self.hosts

    @property
    def hosts(self) -> Hosts:
        """Where the engines listen and can be reached."""
        return Hosts(bind=self.bind_host, advertised=self.advertised_host)

    def credentials_of(self, workspace: str) -> Path:
        """Where the credentials of a workspace's external engines are; no workspace can use those of another."""
        folder = (self.credentials_dir or self.data_dir / "secrets" / "engines").absolute()
        return folder_of_workspace(folder, workspace, home=self.home_workspace)

    @property
    def digest_key_file(self) -> Path:
        """Where the secret is from which the keys of digests follow; hosts with the same one compare digests."""
        return self.data_dir.absolute() / "secrets" / "capture-digests.key"

    @property
    def directory(self) -> Path:
        """Where all of the agent's own state is."""
        return self.data_dir.absolute() / "agent" / self.agent_id

    @property
    def health_rules(self) -> HealthRules:
        """When an instance is unhealthy."""
        return HealthRules(
            interval_s=self.probe_interval_s,
            timeout_s=self.probe_timeout_s,
            slow_after_s=self.probe_slow_s,
            faults=self.probe_faults,
        )

    def capture_file_of(self, endpoint_id: str, *, workspace: str) -> Path:
        """Where the capture policy for the engines of an endpoint is, alone in its folder: they may read no other."""
        return self.capture_folder_of(workspace) / endpoint_id / "policy.json"

    def capture_folder_of(self, workspace: str) -> Path:
        """Where the capture policies of a workspace are, with the key of its digests."""
        return self.directory / "capture" / workspace


def agent_settings(environ: Mapping[str, str]) -> AgentSettings:
    """Read the settings.

    Raises:
        CannotStartError: one is missing or malformed.
    """
    return load_settings(AgentSettings, PREFIX, environ)
