"""What is started for an artifact, with which arguments, and what is said where something is missing."""

import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from infra.addresses import read_networks
from infra.confinement.confine import VARIABLE, Confinement
from infra.kafka.connection import KafkaConnection
from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, ArtifactFormat, Signature
from serving.runtime.manifest import Manifest, write_manifest
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_process import environment_of
from workers.serving_agent.errors import CannotServeError, MayServeLaterError, NeverServesError
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.launchers.base import Command, Order
from workers.serving_agent.launchers.table import Launchers
from workers.serving_agent.openai_client import OpenAiClient
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.settings import AgentSettings


def settings(root: Path, **changes: object) -> AgentSettings:
    settings = AgentSettings(
        data_dir=root,
        api_url="http://127.0.0.1:1",
        token_file=root / "token",
        kafka=KafkaConnection(bootstrap="127.0.0.1:1"),
        ready_file=root / "ready",
        supervisor_pid=7,
    )
    return msgspec.structs.replace(settings, **changes)


def deployment(artifact_format: ArtifactFormat) -> Deployment:
    return Deployment(
        id="deployment-1",
        workspace="default",
        endpoint_id="endpoint-1",
        endpoint="story",
        version=VersionReference(version_id="version-1", model_name="small-llama", number=3),
        artifact=Artifact(
            digest="sha256:" + "0" * 64,
            size_bytes=1,
            format=artifact_format,
            parent="version-0" if artifact_format == "lora" else None,
        ),
        signature_id="content-1",
        signature=Signature(inputs=(), outputs=()),
        golden=None,
        replicas=1,
    )


def command(root: Path, artifact_format: ArtifactFormat, *, replica: int = 0, **changes: object) -> Command:
    wanted = deployment(artifact_format)
    record = InstanceRecord(
        slot=Slot("deployment-1", replica),
        endpoint_id="endpoint-1",
        instance_id="instance-1",
        port=4_321,
        boot_id="boot-1",
    )
    order = Order(
        deployment=wanted,
        model=root / "model",
        record=record,
        spool=root / "spool",
        capture=root / "capture" / "policy.json",
        scratch=root / "scratch",
    )
    return Launchers(settings(root, **changes), InstanceBook(root / "instances.json")).of(wanted).command(order)


def running_parent(root: Path, *, replicas: int = 1, version_id: str = "version-0") -> None:
    """Note engines of a version at the endpoint as running, and lay its manifest."""
    parent = msgspec.structs.replace(
        deployment("transformers"), id="deployment-0", version=_version(version_id, number=1)
    )
    book = InstanceBook(root / "instances.json")
    for replica in range(replicas):
        slot = Slot(parent.id, replica)
        book.put(
            InstanceRecord(
                slot=slot,
                endpoint_id=parent.endpoint_id,
                instance_id=f"instance-0-{replica}",
                port=9_000 + replica,
                boot_id=f"boot-0-{replica}",
                pid=100 + replica,
            )
        )
    folder = settings(root).directory / "models" / parent.id
    folder.mkdir(parents=True, exist_ok=True)
    fields = {name: getattr(parent, name) for name in ("workspace", "endpoint_id", "endpoint", "version")}
    manifest = Manifest(deployment_id=parent.id, artifact=parent.artifact, signature=parent.signature, **fields)
    write_manifest(folder, manifest)


def adapter_of_rank(root: Path, rank: int) -> None:
    files = root / "model" / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "adapter_config.json").write_text(f'{{"peft_type": "LORA", "r": {rank}}}')


def _version(version_id: str, *, number: int) -> VersionReference:
    return VersionReference(version_id=version_id, model_name="small-llama", number=number)


def test_vllm_knows_the_endpoint_the_deployment_and_its_port(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()

    started = command(tmp_path, "transformers", vllm_python=python, vllm_arguments=("--max-model-len=99",))

    arguments = " ".join(started.arguments)
    assert started.arguments[:6] == (sys.executable, "-P", "-s", "-m", "infra.confinement", str(python))
    assert f"--model {tmp_path}/model/files" in arguments
    assert "--served-model-name story story@3" in arguments
    assert "--fingerprint-mode custom --fingerprint-value deployment-1" in arguments
    assert "--host 127.0.0.1 --port 4321" in arguments
    assert "--shutdown-timeout 30" in arguments
    assert started.arguments[-1] == "--max-model-len=99"
    assert started.environment["HF_HUB_OFFLINE"] == "1"
    assert started.environment["ROLLBOOK_CAPTURE_WATCH_PID"] == "7"
    assert (Path(started.environment["PYTHONPATH"]) / "rollbook_capture" / "middleware.py").is_file()
    assert not [value for value in started.environment.values() if "token" in value]


@pytest.mark.parametrize("artifact_format", ["skops", "torch", "transformers"])
def test_an_engine_may_use_its_model_spool_and_port_and_no_other_folder_of_ours(
    tmp_path: Path, artifact_format: ArtifactFormat
) -> None:
    python = tmp_path / "python"
    python.touch()

    confinement = command(tmp_path, artifact_format, vllm_python=python).confinement

    assert confinement is not None
    ours = [path for path in (*confinement.reads, *confinement.writes, *confinement.scratch) if path != str(python)]
    directory = tmp_path / "agent" / "local"
    assert set(map(Path, ours)) <= {
        *(tmp_path / "model", tmp_path / "spool", tmp_path / "scratch"),
        *(tmp_path / "capture", directory / "models" / ".lent" / "deployment-1"),
    }
    assert confinement.listens is not None
    assert 4321 in confinement.listens


@pytest.mark.parametrize("artifact_format", ["torch", "transformers"])
def test_no_engine_runs_at_its_start_what_an_earlier_one_left_in_its_home(
    tmp_path: Path, artifact_format: ArtifactFormat
) -> None:
    python = tmp_path / "python"
    python.touch()

    started = command(tmp_path, artifact_format, vllm_python=python)

    assert started.environment["HOME"] == str(tmp_path / "scratch")
    assert started.environment["PYTHONNOUSERSITE"] == "1"


@pytest.mark.parametrize("argument", ["--tensor-parallel-size=2", "-pp=2", "--data-parallel-size=2"])
def test_the_processes_of_a_vllm_on_several_gpus_find_each_other(tmp_path: Path, argument: str) -> None:
    python = tmp_path / "python"
    python.touch()

    alone = command(tmp_path, "transformers", vllm_python=python, vllm_arguments=("--max-model-len=99",)).confinement
    several = command(tmp_path, "transformers", vllm_python=python, vllm_arguments=(argument,)).confinement

    assert alone is not None
    assert alone.connects is not None
    assert several is not None
    assert several.connects is None


def test_without_confinement_an_engine_is_started_as_it_is(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()

    started = command(tmp_path, "transformers", vllm_python=python, engine_confinement="off")

    assert started.confinement is None
    assert started.arguments[0] == str(python)


def test_without_vllm_the_reason_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MayServeLaterError, match=r"\./task setup:vllm") as missing:
        command(tmp_path, "transformers", vllm_python=tmp_path / "nowhere")

    assert missing.value.code == "engine-not-installed"


def test_a_file_of_scikit_learn_runs_in_our_runtime(tmp_path: Path) -> None:
    started = command(tmp_path, "skops")

    assert started.arguments == (sys.executable, "-P", "-s", "-m", "serving.runtime.app")
    assert started.environment["ROLLBOOK_RUNTIME_MODEL_NAME"] == "story"
    assert started.environment["OMP_NUM_THREADS"] == "1"


def test_a_server_that_already_runs_gets_a_relay_that_finds_its_credential(tmp_path: Path) -> None:
    started = command(tmp_path, "external")

    assert started.arguments[-1] == "serving.external.app"
    assert started.environment["ROLLBOOK_EXTERNAL_CREDENTIALS_DIR"] == str(tmp_path / "secrets" / "engines")
    assert "ROLLBOOK_EXTERNAL_NETWORKS" not in started.environment


def test_what_this_host_grants_is_for_servers_of_others_alone(tmp_path: Path) -> None:
    running_parent(tmp_path)
    adapter_of_rank(tmp_path, 8)
    granted = read_networks("10.2.0.0/16,127.0.0.0/8")

    outside = command(tmp_path, "external", external_networks=granted)
    adapter = command(tmp_path, "lora", external_networks=granted, vllm_adapters=4)

    assert outside.environment["ROLLBOOK_EXTERNAL_NETWORKS"] == "10.2.0.0/16,127.0.0.0/8"
    assert "ROLLBOOK_EXTERNAL_NETWORKS" not in adapter.environment


@pytest.mark.parametrize("artifact_format", get_args(ArtifactFormat))
def test_every_format_of_the_contract_has_a_launcher(tmp_path: Path, artifact_format: ArtifactFormat) -> None:
    python = tmp_path / "python"
    python.touch()
    running_parent(tmp_path)
    adapter_of_rank(tmp_path, 8)

    assert command(tmp_path, artifact_format, vllm_python=python, vllm_adapters=4).arguments


async def test_a_server_is_asked_in_the_protocol_of_its_description(tmp_path: Path) -> None:
    (tmp_path / "artifact").write_text('{"protocol": "openai", "url": "http://127.0.0.1:1", "model": "m"}')

    client = (
        Launchers(settings(tmp_path), InstanceBook(tmp_path / "instances.json"))
        .of(deployment("external"))
        .client(tmp_path, port=1)
    )

    assert isinstance(client, OpenAiClient)
    await client.close()


async def test_engines_listen_where_the_host_says_and_are_asked_where_it_reaches_them(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()
    everywhere: dict[str, Any] = {"bind_host": IPv4Address("0.0.0.0"), "advertised_host": IPv4Address("10.2.0.7")}
    running_parent(tmp_path, replicas=1)
    adapter_of_rank(tmp_path, 16)

    runtime = command(tmp_path, "skops", **everywhere).environment
    relay = command(tmp_path, "lora", vllm_adapters=4, **everywhere).environment
    vllm = command(tmp_path, "transformers", vllm_python=python, **everywhere).arguments

    assert runtime["ROLLBOOK_RUNTIME_HOST"] == relay["ROLLBOOK_EXTERNAL_HOST"] == "0.0.0.0"
    assert relay["ROLLBOOK_EXTERNAL_PARENT_HOST"] == "127.0.0.1"
    assert vllm[vllm.index("--host") + 1] == "0.0.0.0"
    assert settings(tmp_path, **everywhere).hosts.announced == "10.2.0.7"


@pytest.mark.parametrize(("replica", "port"), [(0, "9000"), (1, "9001"), (2, "9000")])
def test_adapters_are_spread_over_the_engines_of_their_parent(tmp_path: Path, replica: int, port: str) -> None:
    running_parent(tmp_path, replicas=2)
    adapter_of_rank(tmp_path, 16)

    started = command(tmp_path, "lora", replica=replica, vllm_adapters=4)

    assert started.arguments[-1] == "serving.external.app"
    assert started.environment["ROLLBOOK_EXTERNAL_PARENT_PORT"] == port
    assert started.environment["ROLLBOOK_EXTERNAL_PARENT_BOOT_ID"] == f"boot-0-{int(port) - 9_000}"


@pytest.mark.parametrize(
    ("parent", "rank", "adapters", "kind", "code"),
    [
        ("version-0", 17, 4, NeverServesError, "adapter-rank-too-large"),
        ("version-0", 8, 0, NeverServesError, "adapters-not-allowed"),
        ("version-9", 8, 4, MayServeLaterError, "parent-not-running"),
    ],
)
def test_an_adapter_that_can_not_be_loaded_is_refused_with_what_to_do(
    tmp_path: Path, parent: str, rank: int, adapters: int, kind: type[CannotServeError], code: str
) -> None:
    running_parent(tmp_path, version_id=parent)
    adapter_of_rank(tmp_path, rank)

    with pytest.raises(kind) as refusal:
        command(tmp_path, "lora", vllm_adapters=adapters)

    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("architecture", "adapters", "has_room"),
    [("LlamaForCausalLM", 4, True), ("LlamaForCausalLM", 0, False), ("BertModel", 4, False)],
)
def test_an_engine_that_writes_text_has_room_for_adapters(
    tmp_path: Path, architecture: str, adapters: int, *, has_room: bool
) -> None:
    python = tmp_path / "python"
    python.touch()
    files = tmp_path / "model" / "files"
    files.mkdir(parents=True)
    (files / "config.json").write_text(f'{{"architectures": ["{architecture}"]}}')

    started = command(tmp_path, "transformers", vllm_python=python, vllm_adapters=adapters)

    assert ("--enable-lora" in started.arguments) is has_room
    assert ("VLLM_ALLOW_RUNTIME_LORA_UPDATING" in started.environment) is has_room
    # Without weights nothing is known of the layers.
    assert ("ROLLBOOK_CAPTURE_REFUSES_PROMPT_LOGPROBS" in started.environment) is has_room
    assert "--lora-target-modules" not in started.arguments


OPERATORS = {
    "skops": {"ROLLBOOK_RUNTIME_THREADS": "2", "ROLLBOOK_RUNTIME_INTAKE_BYTES": "1000000"},
    "external": {"ROLLBOOK_EXTERNAL_ANSWER_SECONDS": "5", "ROLLBOOK_EXTERNAL_CONNECTIONS": "2"},
}


@pytest.mark.parametrize("artifact_format", OPERATORS)
def test_an_engine_has_the_limits_that_the_operator_set_and_nothing_else_of_the_agent(
    tmp_path: Path, artifact_format: ArtifactFormat
) -> None:
    chosen = OPERATORS[artifact_format]
    others = {"ROLLBOOK_AGENT_TOKEN_FILE": "/secret", "ROLLBOOK_RUNTIME_PORT": "1", "ROLLBOOK_EXTERNAL_PORT": "1"}

    started = command(tmp_path, artifact_format)
    environment = environment_of(started, {**chosen, **others, "PATH": "/bin"})

    told = environment.pop(VARIABLE, "null")
    assert environment == {**started.environment, **chosen, "PATH": "/bin"}
    assert msgspec.json.decode(told, type=Confinement | None) == started.confinement


def weights(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = msgspec.json.encode({name: {"dtype": "F32", "shape": [8, 8], "data_offsets": [0, 0]} for name in names})
    path.write_bytes(len(head).to_bytes(8, "little") + head)


LLAMA = ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "lm_head.weight")
GPT2 = ("wte.weight", "h.0.attn.c_attn.weight")


@pytest.mark.parametrize(("names", "are_named"), [(LLAMA, True), (GPT2, False)])
def test_adapters_leave_the_last_layer_of_a_model_whose_layers_are_known(
    tmp_path: Path, names: tuple[str, ...], *, are_named: bool
) -> None:
    python = tmp_path / "python"
    python.touch()
    files = tmp_path / "model" / "files"
    weights(files / "model.safetensors", *names)
    (files / "config.json").write_text('{"architectures": ["AnyForCausalLM"]}')

    started = command(tmp_path, "transformers", vllm_python=python, vllm_adapters=4)

    assert ("--lora-target-modules" in started.arguments) is are_named
    assert "lm_head" not in started.arguments
    # Elsewhere such a call would end the engine.
    assert ("ROLLBOOK_CAPTURE_REFUSES_PROMPT_LOGPROBS" in started.environment) is not are_named


@pytest.mark.parametrize(("parent", "scores"), [(LLAMA, "true"), (GPT2, "false")])
def test_an_adapter_scores_prompts_where_its_parent_does(tmp_path: Path, parent: tuple[str, ...], scores: str) -> None:
    running_parent(tmp_path)
    weights(settings(tmp_path).directory / "models/deployment-0/files/model.safetensors", *parent)
    adapter_of_rank(tmp_path, 8)
    weights(tmp_path / "model/files/adapter_model.safetensors", "base_model.model.layers.0.q_proj.lora_A.weight")

    started = command(tmp_path, "lora", vllm_adapters=4)

    assert started.environment["ROLLBOOK_EXTERNAL_PARENT_SCORES_PROMPTS"] == scores


def test_an_adapter_of_a_layer_that_engines_leave_as_it_is_is_refused(tmp_path: Path) -> None:
    running_parent(tmp_path)
    weights(settings(tmp_path).directory / "models/deployment-0/files/model.safetensors", *LLAMA)
    adapter_of_rank(tmp_path, 8)
    touched = ("layers.0.self_attn.q_proj", "lm_head")
    names = (f"base_model.model.{name}.lora_{matrix}.weight" for name in touched for matrix in "AB")
    weights(tmp_path / "model/files/adapter_model.safetensors", *names)

    with pytest.raises(NeverServesError, match="changes lm_head") as refusal:
        command(tmp_path, "lora", vllm_adapters=4)

    assert refusal.value.code == "adapter-layers-not-served"
