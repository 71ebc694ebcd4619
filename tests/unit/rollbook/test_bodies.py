"""What the API takes, the SDK can send, and the command line can say: no member of a body is forgotten."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import pytest

from control_plane.rollouts.commands import StartRollout
from rollbook import _wire
from rollbook._sync import operations
from rollbook._sync.client import Rollbook
from rollbook._sync.connection import Connection
from rollbook._sync.endpoints import Endpoints
from rollbook.cli.capture import set_capture
from rollbook.cli.failover import set_failover
from rollbook.cli.rollouts import PLAN
from rollbook.cli.scaling import set_scaling
from rollbook.resources import CapturePolicy, FailoverPolicy, ScalingPolicy

T = TypeVar("T")

DOCUMENT = json.loads((Path(__file__).parents[3] / "schemas" / "generated" / "openapi.json").read_text())
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["x-rollbook-sdk"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "x-rollbook-sdk" in operation
}
HEADERS = {"idempotency_key", "if_match"}
# The SDK asks page by page, and moves files, with parameters of its own.
OWN = {"limit", "cursor", "content", "to"}
# What is hand-written, of bytes or of other formats than JSON.
BY_HAND = {"head_artifact", "query_views"}


class Recording(Connection):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: tuple[str, str, set[str]] = ("", "", set())

    def command(self, method: str, path: str, body: Mapping[str, Any], result: type[T], **options: Any) -> Any:  # noqa: ANN401, ARG002
        self.sent = (method, path, set(body))

    def get(self, path: str, result: type[T], **parameters: object) -> Any:  # noqa: ANN401, ARG002
        self.sent = ("GET", path, set(parameters))

    def list_all(self, path: str, page: type[_wire.Page[T]], *, limit: int | None, **parameters: object) -> Any:  # noqa: ANN401, ARG002
        self.sent = ("GET", path, set(parameters) | {"limit", "cursor"})

    def upload(self, path: str, content: Path | bytes, result: type[T]) -> Any:  # noqa: ANN401, ARG002
        self.sent = ("PUT", path, set())

    def download(self, path: str, to: Path) -> None:  # noqa: ARG002
        self.sent = ("GET", path, set())


def members(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def asked(operation: Mapping[str, Any]) -> set[str]:
    """Return the members of the body and the parameters of the query."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    named = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    body = DOCUMENT["components"]["schemas"][named]["properties"] if named else {}
    return {*body, *(each["name"] for each in operation["parameters"] if each.get("in") == "query")}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_sends_all_that_its_operation_takes(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    group, _, verb = name.partition(".")
    recording = Recording()
    api = getattr(operations, group.title().replace("_", ""))(recording)
    call = getattr(api, verb)
    values = dict.fromkeys(set(inspect.signature(call).parameters) - HEADERS, "a/b")

    call(**values)

    filled = path.format(**{each["name"]: "a%2Fb" for each in operation["parameters"] if each.get("in") == "path"})
    assert recording.sent == (method, filled, asked(operation))


def test_every_operation_that_people_need_has_a_method() -> None:
    forgotten = {
        operation["operationId"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        if "x-rollbook-sdk" not in operation and operation["x-rollbook-roles"] != ["admin", "service"]
    }

    assert forgotten <= BY_HAND


def test_the_clients_have_every_group_of_operations() -> None:
    rollbook = Rollbook("http://127.0.0.1:9")

    assert {name.partition(".")[0] for name in OPERATIONS} <= vars(rollbook).keys()
    rollbook.close()


def test_weights_are_a_mapping_and_the_policy_of_an_endpoint_is_taken_back() -> None:
    class Bodies(Recording):
        def command(self, method: str, path: str, body: Mapping[str, Any], result: type[T], **options: Any) -> Any:  # noqa: ANN401, ARG002
            self.body = body

    recording = Bodies()

    Endpoints(recording).set_traffic("e", {"d": 100.0}, reason="x")
    assert recording.body == {"weights": [{"deployment_id": "d", "weight_percent": 100.0}], "reason": "x"}
    Endpoints(recording).set_failover_policy("e", FailoverPolicy(backup_deployment_id="d"), "x")
    assert recording.body["policy"]["backup"] == "d"
    assert "backup_deployment_id" not in recording.body["policy"]


def test_a_plan_takes_what_a_rollout_takes() -> None:
    named_by_arguments = {"endpoint", "version"}

    assert members(StartRollout) - named_by_arguments == PLAN
    assert set(inspect.signature(operations.Rollouts.start).parameters) >= PLAN


@pytest.mark.parametrize(
    ("command", "policy"),
    [(set_capture, CapturePolicy), (set_scaling, ScalingPolicy), (set_failover, FailoverPolicy)],
)
def test_a_policy_has_an_option_for_each_of_its_members(command: click.Command, policy: type[msgspec.Struct]) -> None:
    assert {parameter.name for parameter in command.params} >= members(policy)
