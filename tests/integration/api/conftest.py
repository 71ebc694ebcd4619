"""One API for each module of tests; what a test needs alone it makes under names of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.api import RunningApi, Stage, running_api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(api: RunningApi) -> Stage:
    return await api.stage()
