"""One stack and one served endpoint for the whole campaign; each case is a rollout of its own on it."""

from collections.abc import Iterator

import pytest

from rollbook_demo.traffic import Traffic
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.stack import RunningStack, running_stack
from tests.support.stack_history import SteadyWriter


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as stack:
        yield stack


@pytest.fixture(scope="session")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "survivor", directory=tmp_path_factory.mktemp("survivor"), replicas=2)


@pytest.fixture
def writer(stack: RunningStack, request: pytest.FixtureRequest) -> Iterator[SteadyWriter]:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-40:].strip("-")
    with SteadyWriter(stack, f"steady-{name}") as writer:
        yield writer


@pytest.fixture
def traffic(service: DigitsService) -> Iterator[Traffic]:
    with service.traffic() as traffic:
        yield traffic
