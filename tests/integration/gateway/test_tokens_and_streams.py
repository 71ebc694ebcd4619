"""Keys and revocations change under running streams, and no listener is touched."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx

from schemas.envelope import rfc3339
from schemas.events.access import InferenceTokenRevoked, InferenceTokensRevoked, SigningKey, SigningKeyRotated
from schemas.events.endpoints import DeploymentRemoved
from tests.support.gateway import BackEnd, Gateway, Tokens, serve_digits, until
from tests.support.routing import shifted, withdrawn

INFER = "/v2/models/digits/infer"
ENDPOINT = "endpoint-1"
KEYRING = "keyring-1"
LATER = rfc3339(4_000_000_000_000)
PAUSE_S = 0.02


class StreamingBackEnd(BackEnd):
    """Answers in pieces, one after the other, as a language model does; a slow one until it may end."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.may_end = asyncio.Event()
        self.said: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                if b"x-slow" in head.lower():
                    await self._say_until_it_may_end(writer)
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _say_until_it_may_end(self, writer: asyncio.StreamWriter) -> None:
        is_last = False
        while not is_last:
            is_last = self.may_end.is_set()
            self.said.append(f"{len(self.said):06d}")
            writer.write(b"7\r\n%s\n\r\n" % self.said[-1].encode())
            await writer.drain()
            await asyncio.sleep(PAUSE_S)


def public(tokens: Tokens, *, valid_until: str | None = None) -> SigningKey:
    (jwk,) = tokens.jwks
    return SigningKey(key_id=jwk["kid"], x=jwk["x"], signs_from=rfc3339(0), valid_until=valid_until)


async def streamed(client: httpx.AsyncClient, began: asyncio.Event) -> AsyncIterator[str]:
    async with client.stream("POST", INFER, content=b"", headers={"x-slow": "1"}) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            began.set()
            yield line


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_stream_survives_the_end_of_its_key_and_of_its_token_and_no_listener_is_touched(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    engine = StreamingBackEnd("streaming")
    await serve_digits(gateway, engine)
    fresh = Tokens(kid="two")
    counters = r"^listener_manager\.(listener_|total_listeners_draining)"
    before = (await gateway.stats(counters), await gateway.listener_versions())
    assert before[1]

    async def answers(headers: dict[str, str], status: int) -> bool:
        return (await client.post(INFER, content=b"", headers=headers)).status_code == status

    began = asyncio.Event()
    stream = asyncio.ensure_future(_all(streamed(client, began)))
    await began.wait()
    both = (public(gateway.tokens, valid_until=LATER), public(fresh))
    gateway.tell(KEYRING, SigningKeyRotated(keys=both, reason="yearly"))
    await until(lambda: answers(bearing(fresh.mint()), 200))
    assert await answers(bearing(gateway.tokens.mint()), 200), "both keys count during the overlap"
    gateway.tell(KEYRING, InferenceTokenRevoked(token_id="token-1", until=LATER, reason="leaked"))
    await until(lambda: answers(bearing(gateway.tokens.mint(jti="token-1")), 403))
    assert await answers(bearing(gateway.tokens.mint(jti="token-2")), 200)
    gateway.tell(KEYRING, SigningKeyRotated(keys=(public(fresh),), reason="leaked"))
    await until(lambda: answers(bearing(gateway.tokens.mint(jti="token-2")), 401))
    assert not stream.done(), "the stream was ended by the changes"
    engine.may_end.set()

    assert await stream == engine.said
    assert (await gateway.stats(counters), await gateway.listener_versions()) == before


async def test_what_a_principal_minted_before_its_revocation_is_refused_and_nothing_else(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve_digits(gateway)
    now = int(time.time())
    revoked = InferenceTokensRevoked(
        principal_id="principal-2", issued_before=rfc3339(now * 1_000), until=LATER, reason="leaked"
    )

    gateway.tell(KEYRING, revoked)

    async def status(**claims: object) -> int:
        token = gateway.tokens.mint(**claims)  # type: ignore[arg-type]
        return (await client.post(INFER, json={}, headers=bearing(token))).status_code

    async def is_refused() -> bool:
        return await status(sub="principal-2", iat=now - 1) == 403

    await until(is_refused)
    assert await status(sub="principal-2", iat=now) == 200
    assert await status(sub="principal-1", iat=now - 1) == 200


async def _all(lines: AsyncIterator[str]) -> list[str]:
    return [line async for line in lines]


async def test_a_stream_ends_whole_when_its_instance_is_withdrawn_and_its_deployment_removed(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    engine = StreamingBackEnd("streaming")
    await serve_digits(gateway, engine)
    began = asyncio.Event()
    stream = asyncio.ensure_future(_all(streamed(client, began)))
    await began.wait()

    await gateway.add(ENDPOINT, "d2", number=2)
    epoch = gateway.tell(ENDPOINT, shifted(d2=[(0, 10_000)]))
    await gateway.serves(ENDPOINT, epoch)
    gateway.tell("instance-d1-0", withdrawn(ENDPOINT, "d1"))
    gateway.tell(ENDPOINT, DeploymentRemoved(deployment_id="d1", reason="retired"))

    async def is_gone() -> bool:
        return bool((await gateway.stats(r"^cluster_manager\.cluster_removed$"))["cluster_manager.cluster_removed"])

    answer = await client.post(INFER, content=b"{}")
    assert (answer.status_code, answer.headers["x-rollbook-deployment"]) == (200, "d2")
    await until(is_gone, why="the cluster of the retired deployment is gone")
    assert not stream.done(), "the stream was ended with the deployment"
    engine.may_end.set()
    assert await stream == engine.said
