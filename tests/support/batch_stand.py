"""The real batch server between a real Envoy, the real API and a real text server; only the follower is missing."""

import json
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import openai

from serving.gateway.routing_state import TokenRules
from tests.faults.text_process import text_process
from tests.support.api import RunningApi, done, running_api
from tests.support.gateway import Gateway, Program, serving_gateway, until
from tests.support.routing import added, announced, created, shifted
from tests.support.text_server import MODEL

ENDPOINT_ID = "endpoint-019a0000-0000-7000-8000-000000000001"
COMPLETIONS: Final = "/v1/completions"
RUNNING_PHASES: Final = ("validating", "in_progress", "cancelling")


def completion(number: int, *, letters: int = 8, **changes: object) -> dict[str, Any]:
    """Make a line that is good, unless it is changed."""
    body = {"model": MODEL, "prompt": f"The answer {number} of", "max_tokens": letters}
    return {"custom_id": f"line-{number}", "method": "POST", "url": COMPLETIONS, "body": body, **changes}


def lines(requests: Iterable[Any]) -> bytes:
    """Write a file of requests."""
    return b"".join(json.dumps(request).encode() + b"\n" for request in requests)


def read_lines(content: str) -> list[dict[str, Any]]:
    """Read what came of them."""
    return [json.loads(line) for line in content.splitlines()]


class BatchStand:
    """The parts, and clients for them."""

    def __init__(self, api: RunningApi, gateway: Gateway, data_dir: Path) -> None:
        self.api = api
        self.gateway = gateway
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{gateway.ports.gateway}"
        self.server = Program("batches", {}, data_dir / "batches.out")

    async def start(self, **settings: str) -> None:
        """Start the batch server, with settings beside the usual ones."""
        environ = {
            "DATA_DIR": str(self.data_dir),
            "API_URL": self.api.url,
            "GATEWAY_URL": self.url,
            "TOKEN_FILE": str(self.data_dir / "secrets" / "service.token"),
            "READY_FILE": str(self.ready_file),
            "LOOK_MS": "200",
            **settings,
        }
        named = {f"ROLLBOOK_BATCHES_{name}": value for name, value in environ.items()}
        self.server = Program("batches", named, self.data_dir / "batches.out")
        await self.server.start()
        await until(self.ready_file.exists, why="a ready batch server")

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """End the batch server."""
        code = await self.server.stop(number)
        self.ready_file.unlink(missing_ok=True)
        return code

    @asynccontextmanager
    async def set_to(self, **settings: str) -> AsyncIterator[None]:
        """Run the batch server with other settings until the block is left."""
        await self.stop()
        await self.start(**settings)
        try:
            yield
        finally:
            await self.stop()
            await self.start()

    async def until_idle(self) -> None:
        """Wait until no batch runs, of whichever test: each of them still writes files."""

        async def is_idle() -> bool:
            answers = [
                await done(self.api.admin.get("/v1/batches", params={"phase": phase})) for phase in RUNNING_PHASES
            ]
            return not any(answer["items"] for answer in answers)

        await until(is_idle, within_s=40.0, why="the end of all batches")

    @property
    def ready_file(self) -> Path:
        return self.data_dir / "batches.ready"

    async def token(self, *, of: httpx.AsyncClient | None = None, endpoints: Sequence[str] = ("*",)) -> str:
        """Mint an inference token for who holds a client of the API."""
        minted = await done((of or self.api.admin).post("/v1/inference-tokens", json={"endpoints": list(endpoints)}))
        return str(minted["token"])

    async def client(
        self, *, of: httpx.AsyncClient | None = None, endpoints: Sequence[str] = ("*",)
    ) -> openai.AsyncOpenAI:
        """Make OpenAI's client; the caller closes it."""
        token = await self.token(of=of, endpoints=endpoints)
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=token, max_retries=0, timeout=180)

    async def other(self) -> httpx.AsyncClient:
        """Make a client of the API for another principal; the caller closes it."""
        body = {"kind": "person", "name": "Somebody", "role": "viewer"}
        principal = await done(self.api.admin.post("/v1/principals", json=body))
        return self.api.client(principal["token"])

    async def events(self, batch_id: str) -> list[dict[str, Any]]:
        """Return what the log says of a batch."""
        answer = await done(self.api.admin.get("/v1/events", params={"stream": batch_id}))
        return [item["event"] for item in answer["items"]]


async def ended(client: openai.AsyncOpenAI, batch_id: str, *, within_s: float = 40.0) -> Any:  # noqa: ANN401  openai's
    """Wait for a batch's end."""

    async def has_ended() -> bool:
        batch = await client.batches.retrieve(batch_id)
        return batch.status in {"completed", "failed", "cancelled", "expired"}

    await until(has_ended, within_s=within_s, why="the batch's end")
    return await client.batches.retrieve(batch_id)


async def content_of(client: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a file, none for none."""
    return [] if file_id is None else read_lines((await client.files.content(file_id)).text)


@asynccontextmanager
async def batch_stand(data_dir: Path, **settings: str) -> AsyncIterator[BatchStand]:
    """Run all parts until the block is left."""
    data_dir.mkdir(mode=0o700)
    async with running_api(data_dir) as api, serving_gateway(Gateway(data_dir)) as gateway:
        with text_process() as text:
            keys = (await api.nobody.get("/v1/inference-tokens/keys")).json()["keys"]
            gateway.put(gateway.table.renew_tokens(TokenRules(version=1, keys=tuple(keys))))
            await done(api.admin.post("/v1/endpoints", json={"name": MODEL}))
            await _serve_texts(gateway, port=httpx.URL(text.url).port or 0)
            stand = BatchStand(api, gateway, data_dir)
            await stand.start(**settings)
            try:
                yield stand
            finally:
                if stand.server.process and stand.server.process.returncode is None:
                    await stand.stop()


async def _serve_texts(gateway: Gateway, *, port: int) -> None:
    gateway.tell(ENDPOINT_ID, created(MODEL))
    gateway.tell(ENDPOINT_ID, added("d1"))
    gateway.tell("instance-d1-0", announced(ENDPOINT_ID, "d1", port=port))
    epoch = gateway.tell(ENDPOINT_ID, shifted(d1=[(0, 10_000)]))
    await gateway.serves(ENDPOINT_ID, epoch)
