"""The batch server behind a real Envoy; one for the tests of a module, each of which is somebody else to it."""

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from tests.support.batch_stand import BatchStand, batch_stand


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BatchStand]:
    async with batch_stand(tmp_path_factory.mktemp("stand") / "data") as stand:
        yield stand


@pytest_asyncio.fixture(loop_scope="module")
async def client(stand: BatchStand) -> AsyncIterator[openai.AsyncOpenAI]:
    async with await stand.other() as principal, await stand.client(of=principal) as client:
        yield client
