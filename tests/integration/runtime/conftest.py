"""A runtime process with a main model and a repository of further ones, and the clients that people have."""

from collections.abc import Iterator

import pytest
import tritonclient.grpc
import tritonclient.http

from serving.runtime.manifest import ARTIFACT_NAME
from tests.support.echo_model import write_echo
from tests.support.engine_process import EngineProcess, running, write_model


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    root = tmp_path_factory.mktemp("many")
    write_model(root / "model", artifact_format="onnx")
    write_echo(root / "repository" / "echo")
    write_echo(root / "repository" / "bf16", model="bf16")
    write_model(root / "repository" / "broken", artifact_format="onnx")
    (root / "repository" / "broken" / ARTIFACT_NAME).write_bytes(b"no model")
    write_echo(root / "outside")
    with running(root, environ={"ROLLBOOK_RUNTIME_REPOSITORY_DIR": str(root / "repository")}) as engine:
        yield engine


@pytest.fixture(scope="module")
def address(many: EngineProcess) -> str:
    return many.url.removeprefix("http://")


@pytest.fixture(scope="module")
def rest(address: str) -> Iterator[tritonclient.http.InferenceServerClient]:
    with tritonclient.http.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def grpc_client(address: str) -> Iterator[tritonclient.grpc.InferenceServerClient]:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(params=["rest", "grpc"])
def client(
    request: pytest.FixtureRequest,
    rest: tritonclient.http.InferenceServerClient,
    grpc_client: tritonclient.grpc.InferenceServerClient,
) -> "Triton":
    return Triton(request.param, rest if request.param == "rest" else grpc_client)


class Triton:
    """The unmodified client, over one of its two protocols; both are written the same way but for their modules."""

    def __init__(self, protocol: str, client: object) -> None:
        self.protocol = protocol
        self.module = tritonclient.http if protocol == "rest" else tritonclient.grpc
        self.client: tritonclient.http.InferenceServerClient = client
