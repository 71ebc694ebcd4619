"""schemathesis asks every operation what the OpenAPI document allows and what it does not, and the answers fit it."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.api import RunningApi, Stage, done

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
)
# ClickHouse is away here, which is a 503 and no fault; that there are no faults test_random_input.py sees.
# The feed waits for events as long as it is asked to.
WAITING = "/v1/events"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


async def test_every_answer_is_as_the_document_says(api: RunningApi, stage: Stage, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/openapi/openapi.json"),
        *("--url", api.url, "--header", f"Authorization: Bearer {api.admin_token}"),
        *("--exclude-path", WAITING, "--phases", "coverage", "--checks", ",".join(CHECKS)),
        *("--request-timeout", "60", "--generation-database", "none", "--no-color"),
    ]
    running = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)

    printed, _ = await running.communicate()

    assert running.returncode == 0, printed.decode()[-10_000:]
    paths = (await done(api.nobody.get("/openapi")))["paths"]
    asked = sum(len(operations) for path, operations in paths.items() if path != WAITING)
    assert f"Tested: {asked}" in printed.decode()
