"""One stack for all acceptance tests; each test makes its own models and endpoints on it."""

import uuid
from collections.abc import Iterator

import pytest

from benchmarks.replaying_engine import write_program
from rollbook import Rollbook
from tests.support.stack import RunningStack, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    # Language models of these tests replay what vLLM once wrote, in an engine that stands in vLLM's place.
    settings = {"ROLLBOOK_AGENT_VLLM_PYTHON": str(write_program(tmp_path_factory.mktemp("replaying")))}
    with running_stack(tmp_path_factory.mktemp("stack") / "data", settings=settings) as stack:
        yield stack


@pytest.fixture
def rollbook(stack: RunningStack) -> Iterator[Rollbook]:
    with stack.client() as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"digits-{uuid.uuid4().hex[:8]}"
