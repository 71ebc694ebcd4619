"""A person is erased: what was personal is nowhere any more, and every proof still holds."""

import asyncio
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from infra.clickhouse.client import connect
from infra.kafka.connection import KafkaConnection
from projections import rebuild
from rollbook import Rollbook
from rollbook.local_stack import program_command
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack
from tests.support.stack_history import history_of

pytestmark = pytest.mark.timeout(1_200)


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """A person who was let in under a canary's name, and a checkpoint from before the erasure."""

    principal_id: str
    canary: str
    checkpoint: Path


@pytest.fixture(scope="module")
def erased(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    canary = f"canary{uuid.uuid4().hex}"
    with httpx.Client(
        base_url=stack.api_url,
        headers={"authorization": f"Bearer {stack.admin_token}"},
        timeout=180,
        verify=NO_AUTHORITIES,
    ) as http:
        person = {"kind": "person", "name": f"Ms {canary}", "email": f"{canary}@example.org", "role": "viewer"}
        registered = http.post("/v1/principals", json=person, headers={"idempotency-key": canary[:20]})
        principal_id = registered.raise_for_status().json()["id"]
        assert canary in http.get("/v1/principals").text
        checkpoint = tmp_path_factory.mktemp("proof") / "checkpoint"
        checkpoint.write_text(http.get("/v1/audit/checkpoint").raise_for_status().json()["checkpoint"])
        http.post(f"/v1/principals/{principal_id}/erase", json={"reason": "she asked for it"}).raise_for_status()
    swapped = asyncio.run(
        rebuild.run(
            connection=KafkaConnection(bootstrap=stack.kafka_bootstrap), clickhouse_url=stack.clickhouse_url, swap=True
        )
    )
    assert swapped == 0
    return Erased(principal_id=principal_id, canary=canary, checkpoint=checkpoint)


def test_the_person_is_shown_without_name_and_address(stack: RunningStack, erased: Erased) -> None:
    headers = {"authorization": f"Bearer {stack.admin_token}"}
    answer = httpx.get(f"{stack.api_url}/v1/principals", headers=headers, timeout=180, verify=NO_AUTHORITIES)

    principals: list[dict[str, Any]] = answer.json()["items"]
    shown = next(principal for principal in principals if principal["id"] == erased.principal_id)
    assert shown["is_erased"]
    assert (shown["name"], shown["email"]) == (None, None)


def test_the_canary_is_in_no_file_of_the_data_directory(stack: RunningStack, erased: Erased) -> None:
    contents = _all_files(stack.data_dir)

    found = [name for name, content in contents.items() if erased.canary.encode() in content]

    assert len(contents) > 100
    assert found == []


def test_the_canary_is_in_no_event_of_store_topic_and_view(stack: RunningStack, erased: Erased) -> None:
    history = history_of(stack, [])

    copies = (*history.stored, *history.published, *history.viewed)
    assert any(erased.principal_id.encode() in copy.canonical for copy in copies)
    assert not any(erased.canary.encode() in copy.canonical for copy in copies)


def test_the_canary_is_in_no_row_of_clickhouse(stack: RunningStack, erased: Erased) -> None:
    client = connect(stack.clickhouse_url)
    try:
        tables = [
            row[0] for row in client.query("SELECT name FROM system.tables WHERE database = 'default'").result_rows
        ]
        rows = {table: _rows_with(client, table, erased.canary) for table in tables}
        known = _rows_with(client, "domain_events", erased.principal_id)
    finally:
        client.close()

    assert known > 0
    assert {table for table, count in rows.items() if count} == set()


def test_the_log_is_still_proved_by_a_checkpoint_from_before(
    stack: RunningStack, rollbook: Rollbook, erased: Erased
) -> None:
    command = program_command(
        "audit", "verify", "--data-dir", str(stack.data_dir), "--topic", "--checkpoint", str(erased.checkpoint)
    )

    verdict = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def _rows_with(client: Any, table: str, text: str) -> int:  # noqa: ANN401 - the client has two types
    sql = f"SELECT count() FROM {table} WHERE position(toString(tuple(*)), %(text)s) > 0"  # noqa: S608 - names from the server
    return int(client.query(sql, parameters={"text": text}).result_rows[0][0])


def _all_files(directory: Path) -> dict[str, bytes]:
    """Read every file; again from the start while ClickHouse merges files away that were listed."""
    for _ in range(20):
        try:
            return {
                str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
            }
        except FileNotFoundError:
            continue
    pytest.fail("the data directory never stood still for one reading")
