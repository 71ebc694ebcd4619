"""The signed checkpoint over HTTP: signed by the log's own key, and held to by the log that follows."""

import httpx
import pytest

from control_plane.audit.checkpoint import parse_verifier_key, verify
from control_plane.audit.verifier import verify_store
from control_plane.event_store.log_file import open_log_file
from tests.support.api import RunningApi, done

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_checkpoint_covers_the_log_and_what_comes_later_keeps_it(api: RunningApi) -> None:
    signed = await done(api.admin.get("/v1/audit/checkpoint"))
    await done(api.admin.post("/v1/models", json={"name": "after-the-checkpoint"}))

    _, key = parse_verifier_key(signed["public_key"])
    checkpoint = verify(signed["checkpoint"], key)
    with open_log_file(api.data_dir / "events" / "registry.sqlite") as log:
        evidence = await verify_store(log, checkpoints=[checkpoint])
    assert checkpoint.size == signed["tree_size"] > 0
    assert evidence.size == checkpoint.size + 1


async def test_a_second_checkpoint_covers_what_came_meanwhile(api: RunningApi) -> None:
    first = await done(api.admin.get("/v1/audit/checkpoint"))
    await done(api.admin.post("/v1/models", json={"name": "between-two-checkpoints"}))
    second = await done(api.admin.get("/v1/audit/checkpoint"))

    assert second["tree_size"] == first["tree_size"] + 1
    assert second["root"] != first["root"]
    assert second["public_key"] == first["public_key"]


async def test_nobody_gets_a_checkpoint_without_a_token(api: RunningApi) -> None:
    assert (await api.nobody.get("/v1/audit/checkpoint")).status_code == httpx.codes.UNAUTHORIZED
