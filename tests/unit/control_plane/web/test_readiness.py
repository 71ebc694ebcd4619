"""Anybody may ask for readiness, so asking often costs little; what fails shows within seconds all the same."""

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from control_plane.errors import Unavailable
from control_plane.ports import EventStore
from control_plane.web import health
from control_plane.web.health import Readiness
from infra.background import Background
from infra.operations import Content, Operation
from tests.support.fakes import FakeClock


class Installation:
    """A store, a part that the API works without, and how often somebody looked at the part."""

    def __init__(self, data_dir: Path) -> None:
        self.clock = FakeClock()
        self.position = 7
        self.is_readable = True
        self.is_reachable = True
        self.looks = 0
        operations = health.operations(
            cast("EventStore", self),
            {"kafka": self._probe},
            background=Background(),
            data_dir=data_dir,
            gateway_url="",
            clock=self.clock,
        ).operations
        self._readyz: Operation = next(each for each in operations if each.path == "/readyz")

    def head(self) -> int:
        if not self.is_readable:
            raise Unavailable("the store is away")
        return self.position

    async def ready(self) -> Readiness:
        answer: Content = await self._readyz.handler(cast("Any", None))
        ready = msgspec.json.decode(answer.body, type=Readiness)
        assert answer.status == (200 if ready.status == "ready" else 503)
        return ready

    async def _probe(self) -> bool:
        self.looks += 1
        await asyncio.sleep(0)
        return self.is_reachable


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


async def test_many_who_ask_within_a_second_share_one_look(installation: Installation) -> None:
    answers = await asyncio.gather(*(installation.ready() for _ in range(100)))
    installation.clock.advance(seconds=0.9)
    answers.append(await installation.ready())

    assert {(each.status, each.parts["kafka"]) for each in answers} == {("ready", "ok")}
    assert installation.looks == 1


async def test_what_fails_and_what_is_back_shows_after_a_second(installation: Installation, tmp_path: Path) -> None:
    await installation.ready()
    installation.is_reachable = False
    installation.clock.advance(seconds=1)
    without_kafka = await installation.ready()
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    installation.clock.advance(seconds=1)
    without_disk = await installation.ready()
    tmp_path.with_name("elsewhere").rename(tmp_path)
    installation.clock.advance(seconds=1)

    assert (without_kafka.status, without_kafka.parts) == ("ready", {"kafka": "unavailable"})
    assert (without_disk.status, without_disk.store) == ("unavailable", "unavailable")
    assert (await installation.ready()).status == "ready"


async def test_the_position_is_never_an_earlier_one_and_an_unreadable_store_shows_at_once(
    installation: Installation,
) -> None:
    first = await installation.ready()
    installation.position = 8
    second = await installation.ready()
    installation.is_readable = False

    assert (first.position, second.position) == (7, 8)
    assert (await installation.ready()).store == "unavailable"
