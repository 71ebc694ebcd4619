"""A follower of a newer release learns what an older one had to pass over."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.routing_state import RoutingSnapshot
from serving.gateway.routing_table import RoutingTable
from serving.gateway.snapshot_file import KeptState, write_state
from serving.gateway.starting_state import starting_state
from tests.support.routing import NOTHING_KNOWN, Log, created

NEWER = "endpoints.EndpointTwinned.v1"
ANSWER = {"position": 9, "endpoints": [], "instances": [], "jwks": {"keys": []}, "revoked_subjects": []}


def state_after(*types: str) -> RoutingSnapshot:
    """Return what a follower keeps after an event of its own release, and others of these types."""
    log, table = Log(), RoutingTable(NOTHING_KNOWN)
    table.apply(log.append("endpoint-1", created()), position=log.position)
    for name in types:
        newer = msgspec.structs.replace(log.append("endpoint-1", created()), type=name)
        table.apply(newer, position=log.position)
    return table.snapshot()


async def position_at_start(
    folder: Path, kept: RoutingSnapshot, *, api_status: int = 200, answer: dict[str, Any] | None = None
) -> int:
    (folder / "token").write_text("secret")
    await write_state(folder / "state.json", KeptState(snapshot=kept, cursor=None))
    transport = httpx.MockTransport(lambda _: httpx.Response(api_status, json=answer or ANSWER))
    async with ControlPlaneClient("http://api", token_file=folder / "token", transport=transport) as plane:
        return (await starting_state(folder / "state.json", plane)).snapshot.position


async def test_a_state_without_gaps_is_served_as_it_is(tmp_path: Path) -> None:
    assert await position_at_start(tmp_path, state_after()) == 1


async def test_what_was_passed_over_is_asked_of_the_control_plane(tmp_path: Path) -> None:
    assert await position_at_start(tmp_path, state_after(NEWER)) == 9


async def test_what_the_control_plane_says_is_not_served_in_place_of_what_it_leaves_unread(tmp_path: Path) -> None:
    answer = ANSWER | {"endpoints": [{"id": "endpoint-1", "name": {"in": "another form"}}]}

    assert await position_at_start(tmp_path, state_after(NEWER), answer=answer) == 2


@pytest.mark.parametrize("status", [401, 503])
async def test_without_a_control_plane_a_state_with_gaps_is_better_than_none(tmp_path: Path, status: int) -> None:
    assert await position_at_start(tmp_path, state_after(NEWER), api_status=status) == 2


def test_a_gap_is_remembered_from_one_start_to_the_next() -> None:
    assert RoutingTable(state_after(NEWER)).snapshot().has_passed_over
