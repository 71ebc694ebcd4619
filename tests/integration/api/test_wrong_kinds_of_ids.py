"""The id of one thing in the place of another's: there is no such thing."""

import msgspec
import pytest

from tests.support.api import RunningApi, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("of", ["model_id", "version_id", "endpoint_id", "instance_id"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/batches/{id}/start", {"requests": 1}),
        ("/v1/batches/{id}/cancel", {"reason": "enough"}),
        ("/v1/rollouts/{id}/pause", {"reason": "enough"}),
        ("/v1/rollouts/{id}/abort", {"reason": "enough"}),
        ("/v1/principals/{id}/erase", {"reason": "asked"}),
    ],
)
async def test_a_command_finds_nothing_under_an_id_of_another_kind(
    api: RunningApi, stage: Stage, of: str, path: str, body: dict[str, object]
) -> None:
    identifier = msgspec.structs.asdict(stage)[of]

    answer = await api.admin.post(path.format(id=identifier), json=body)

    assert answer.status_code == 404, answer.text
