"""Whoever asks the API reads the answers of a newer one: a thing that it can't understand is left out, not the rest."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from control_plane.catalogue.rebuild import rows_of
from control_plane.declared import AGGREGATES
from rollbook._wire import read_answer
from rollbook.resources import RolloutPage, VersionPage
from schemas.identifiers import Kind
from tests.support.log_story import log_story
from workers.batch_server.control_plane import ControlPlane as BatchPlane

SURPRISE = {"surprise": {"of": "a newer release"}}
ARTIFACT = {"digest": "sha256:00", "size_bytes": 1}


def transport(answer: object) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(200, content=msgspec.json.encode(answer)))


async def test_the_batch_server_reads_a_phase_that_it_does_not_know(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    answer = {"id": "batch-1", "phase": "pondering", "expires_at": "2026-01-02T03:04:05Z"} | SURPRISE
    plane = BatchPlane("http://api", token_file=token, transport=transport(answer))
    batch = await plane.batch("batch-1")
    await plane.close()

    assert (batch.id, batch.phase) == ("batch-1", "pondering")


@pytest.mark.parametrize(
    ("kind", "page", "newer"),
    [
        (
            Kind.ROLLOUT,
            RolloutPage,
            {"phase": "asleep", "gates": [{"kind": "fairness"}], "strategy": {"kind": "ab_test", "arms": 3}},
        ),
        (Kind.VERSION, VersionPage, {"artifact": ARTIFACT | {"format": "gguf"}}),
    ],
    ids=["rollout", "version"],
)
def test_the_sdk_reads_variants_that_it_does_not_know(
    kind: Kind, page: type[RolloutPage | VersionPage], newer: dict[str, Any]
) -> None:
    (row,) = (each for each in rows_of(log_story(), AGGREGATES) if each.kind is kind)
    item = msgspec.json.decode(row.body) | newer | SURPRISE

    read = read_answer(httpx.Response(200, content=msgspec.json.encode({"items": [item]} | SURPRISE)), page)

    assert [each.id for each in read.items] == [row.id]
