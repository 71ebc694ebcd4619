"""One request at a server that answers as gateways and models do on bad days."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from schemas.envelope import rfc3339
from workers.batch_server import asking
from workers.batch_server.asking import Bearer, Gateway
from workers.batch_server.control_plane import TokenAnswer
from workers.batch_server.errors import PartAwayError, RefusedError
from workers.batch_server.places import Place, Places, Share
from workers.batch_server.stop import Stop
from workers.batch_server.wire import LineError, LineResponse


class Server:
    """Answers by a script, and then well; it notes what came."""

    def __init__(self, *script: tuple[int, str]) -> None:
        self.script = list(script)
        self.seen: list[dict[str, str]] = []
        self.retry_after = "0.2"
        self.answers = asyncio.Event()
        self.answers.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        await self.answers.wait()
        status, body = self.script.pop(0) if self.script else (200, '{\n "text": "well" }')
        if status == 0:
            assert request.transport
            request.transport.abort()
        headers = {"retry-after": self.retry_after, "x-prediction-id": f"prediction-{len(self.seen)}"}
        return web.Response(status=status or 200, text=body, headers=headers)


class Plane:
    """Mints tokens that differ."""

    def __init__(self, *, lives_s: int = 900, refusals: Sequence[Exception] = ()) -> None:
        self.minted = 0
        self._lives_s = lives_s
        self._refusals = list(refusals)

    async def token(self, batch_id: str) -> TokenAnswer:
        if self._refusals:
            raise self._refusals.pop(0)
        self.minted += 1
        expires_at = rfc3339(int(time.time() * 1_000) + self._lives_s * 1_000)
        return TokenAnswer(token=f"{batch_id}-{self.minted}", expires_at=expires_at)


class Passing(Place):
    """The only place; waiting in it takes no time, and is noted."""

    def __init__(self) -> None:
        places = Places(1)
        super().__init__(places, Share(places))
        self.waits: list[float] = []

    async def wait(self, seconds: float, stop: Stop, *, size: int) -> None:
        assert size
        assert not stop.is_set
        self.waits.append(seconds)


@asynccontextmanager
async def gateway(server: Server, *, request_s: float = 5.0) -> AsyncIterator[Gateway]:
    app = web.Application()
    app.router.add_post("/v1/completions", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        yield Gateway(f"http://127.0.0.1:{runner.addresses[0][1]}", session, request_s=request_s)
    server.answers.set()
    await runner.cleanup()


async def ask(
    server: Server, plane: Plane | None = None, *, request_s: float = 60.0, place: Place | None = None
) -> LineResponse | LineError | None:
    async with gateway(server, request_s=request_s) as there:
        bearer = Bearer(plane or Plane(), "batch")
        return await there.ask(
            "/v1/completions", b'{"model":"m"}', bearer=bearer, stop=Stop(), place=place or Passing()
        )


async def test_an_answer_is_kept_on_one_line_with_its_predictions_id() -> None:
    server = Server()

    answer = await ask(server)

    assert isinstance(answer, LineResponse)
    assert (answer.status_code, answer.request_id, bytes(answer.body)) == (200, "prediction-1", b'{"text":"well"}')
    assert server.seen[0]["x-rollbook-priority"] == "batch"
    assert server.seen[0]["authorization"] == "Bearer batch-1"


@pytest.mark.parametrize("status", [429, 503])
async def test_who_is_sent_away_comes_back_when_told_and_as_often_as_it_takes(status: int) -> None:
    server, place = Server(*([(status, "busy")] * 9)), Passing()
    server.retry_after = "3"

    answer = await ask(server, place=place)

    assert isinstance(answer, LineResponse)
    assert answer.status_code == 200
    assert len(server.seen) == 10
    wanted = [3.0] * 5 + [3.2, 6.4, 10.0, 10.0]
    assert all(0.75 <= wait / least <= 1.25 for wait, least in zip(place.waits, wanted, strict=True)), place.waits


async def test_a_lost_connection_is_tried_again() -> None:
    server = Server((0, ""), (0, ""), (0, ""))

    answer = await ask(server)

    assert isinstance(answer, LineResponse)
    assert len(server.seen) == 4


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_request_that_is_wrong_is_asked_once(status: int) -> None:
    server = Server((status, '{"error": {"message": "no"}}'))

    answer = await ask(server)

    assert isinstance(answer, LineResponse)
    assert (answer.status_code, bytes(answer.body)) == (status, b'{"error":{"message":"no"}}')
    assert len(server.seen) == 1


async def test_a_model_that_fails_each_time_has_its_failure_kept() -> None:
    server = Server(*([(500, "<html>no JSON</html>")] * 9))

    answer = await ask(server)

    assert isinstance(answer, LineResponse)
    assert (answer.status_code, bytes(answer.body)) == (500, b'"<html>no JSON</html>"')
    assert len(server.seen) == 5


async def test_a_model_that_never_answers_is_told_as_a_timeout() -> None:
    server = Server()
    server.answers.clear()

    answer = await ask(server, request_s=0.1)

    assert isinstance(answer, LineError)
    assert answer.code == "request_timeout"


async def test_an_answer_that_is_too_large_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_MAX_ANSWER_BYTES", 1_000)

    answer = await ask(Server(*([(200, '"' + "x" * 200_000 + '"')] * 9)))

    assert isinstance(answer, LineError)
    assert answer.code == "answer_too_large"


async def test_a_token_that_is_refused_is_minted_anew_and_at_last_believed() -> None:
    once, always = Server((401, "{}")), Server(*([(403, '{"error":1}')] * 9))
    plane = Plane()

    renewed, refused = await ask(once, plane), await ask(always)

    assert isinstance(renewed, LineResponse)
    assert renewed.status_code == 200
    assert [seen["authorization"] for seen in once.seen] == ["Bearer batch-1", "Bearer batch-2"]
    assert isinstance(refused, LineResponse)
    assert (refused.status_code, len(always.seen)) == (403, 3)


async def test_a_token_is_kept_while_it_is_good() -> None:
    for lives_s, minted in ((900, 1), (30, 3)):
        plane = Plane(lives_s=lives_s)
        bearer = Bearer(plane, "batch")
        for _ in range(3):
            await bearer.token()
        assert plane.minted == minted


async def test_nobody_is_asked_in_the_name_of_who_may_not_act() -> None:
    server = Server()
    refusals = [PartAwayError("away"), RefusedError("may not", code="batch-owner-may-not-act", status=403)]

    answer = await ask(server, Plane(refusals=refusals))

    assert answer == LineError(code="batch-owner-may-not-act", message="may not")
    assert server.seen == []


async def test_a_stop_ends_the_waiting() -> None:
    stop, server, places = Stop(), Server(*([(503, "busy")] * 1_000)), Places(1)
    server.retry_after = "3600"
    async with gateway(server, request_s=60.0) as there, asyncio.timeout(60):
        with places.share() as share:
            place = await share.place(stop)
            assert place
            bearer = Bearer(Plane(), "batch")
            waiting = asyncio.create_task(there.ask("/v1/completions", b"{}", bearer=bearer, stop=stop, place=place))
            # It has given its place away, so it waits.
            assert await places.take(stop)

            stop.set("cancelled")

            assert await waiting is None
    assert len(server.seen) == 1


async def test_an_answer_of_lists_within_lists_becomes_a_text() -> None:
    nested = "[" * 100_000

    answer = await ask(Server((200, nested)))

    assert isinstance(answer, LineResponse)
    assert json.loads(bytes(answer.body)) == nested
