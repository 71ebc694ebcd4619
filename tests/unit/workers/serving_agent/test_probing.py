import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, GoldenExample
from tests.support.digits import SIGNATURE
from tests.support.fakes import FakeClock
from tests.support.virtual_time import in_virtual_time
from workers.serving_agent.desired import Deployment
from workers.serving_agent.errors import EngineBusyError, EngineFaultError, NeverServesError, PartAwayError
from workers.serving_agent.health import Busy, Outcome, Right, Silent, Unsure, Wrong
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.probing import probe

GOLDEN = GoldenExample(inputs=(), outputs={"label": (3,)})
DEPLOYMENT = Deployment(
    id="deployment-1",
    workspace="default",
    endpoint_id="endpoint-1",
    endpoint="digits",
    version=VersionReference(version_id="version-1", model_name="digits", number=1),
    artifact=Artifact(digest="sha256:00", size_bytes=1, format="skops"),
    signature_id="content-1",
    signature=SIGNATURE,
    golden=GOLDEN,
    replicas=1,
)


class Engine(OipClient):
    """Answers the golden input as a test says; nothing is sent."""

    def __init__(self, answer: Callable[[], Awaitable[None]], *, is_live: bool = True) -> None:
        super().__init__(host="127.0.0.1", port=1)
        self._answer = answer
        self._is_live = is_live

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        assert (model, golden) == ("digits", GOLDEN)
        await self._answer()

    async def is_live(self) -> bool:
        return self._is_live


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def answer() -> None:
        raise error

    return answer


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (raising(NeverServesError("golden-answer-wrong", "7, not 3")), Wrong("7, not 3")),
        (raising(EngineFaultError("golden-answer-wrong", "500")), Wrong("500", is_fault=True)),
        (raising(PartAwayError("connection refused")), Silent("connection refused")),
        (raising(EngineBusyError("503")), Busy()),
        (never, Silent("no answer within 5 s")),
    ],
)
@in_virtual_time
async def test_each_end_of_a_golden_input_is_told_apart(
    answer: Callable[[], Awaitable[None]], outcome: Outcome
) -> None:
    assert await probe(Engine(answer), DEPLOYMENT, timeout_s=5.0, clock=FakeClock()) == outcome


async def test_a_right_answer_says_how_long_it_took() -> None:
    clock = FakeClock()

    async def in_time() -> None:
        clock.advance(seconds=1.5)

    assert await probe(Engine(in_time), DEPLOYMENT, timeout_s=5.0, clock=clock) == Right(1.5)


async def test_without_a_golden_input_an_answer_at_all_is_what_counts() -> None:
    without = msgspec.structs.replace(DEPLOYMENT, golden=None)

    assert isinstance(await probe(Engine(never), without, timeout_s=1.0, clock=FakeClock()), Right)
    assert isinstance(await probe(Engine(never, is_live=False), without, timeout_s=1.0, clock=FakeClock()), Silent)


async def test_a_time_out_that_came_late_blames_no_engine() -> None:
    clock = FakeClock()

    async def held_up() -> None:
        clock.advance(seconds=60)
        raise PartAwayError("no answer")

    assert await probe(Engine(held_up), DEPLOYMENT, timeout_s=5.0, clock=clock) == Unsure()
