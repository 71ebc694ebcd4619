"""A real Envoy with small HTTP back ends in this process, and whoever serves its configuration."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from msgspec import Struct
from msgspec.structs import replace

from infra.launch import launched
from infra.ports import free_ports
from serving.gateway.ads_server import AdsServer
from serving.gateway.clusters import Comebacks
from serving.gateway.limits import Limits
from serving.gateway.probe import NotServedError, Prober
from serving.gateway.resources import everything, fixed_resources, update_for
from serving.gateway.route_documents import Change
from serving.gateway.routing_state import TokenRules
from serving.gateway.routing_table import RoutingTable
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, shifted

REGION = "local"
MAX_BODY_BYTES = 1024 * 1024
LIMITS = Limits(max_body_bytes=MAX_BODY_BYTES)
GUARD_S = 180.0
"""How long anything may take before a test gives up: only a guard, as no test is about speed."""


class BackEnd:
    """An engine that echoes what reached it, as JSON, as long as it may answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.requests = 0
        self.last: dict[str, str] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.has_no_engine = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> "BackEnd":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def asked(self) -> None:
        """Count a request; it is not answered yet."""
        self.requests += 1

    async def kill(self) -> None:
        """Go away as a killed process does: no more answers, open connections reset."""
        assert self._server
        # No one is accepted from now on; who was accepted a moment ago has a transport a few turns of the loop later,
        # which a server that is closed would refuse and leave open.
        for one in self._server.sockets:
            asyncio.get_running_loop().remove_reader(one.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked()
                self.last = headers
                await self.may_answer.wait()
                if self.has_no_engine:
                    writer.write(b"HTTP/1.1 503 Away\r\nx-rollbook-unanswered: 1\r\ncontent-length: 0\r\n\r\n")
                    continue
                seen = {"backend": self.name, "request": head[0], "headers": headers, "bytes": len(body)}
                answer = json.dumps(seen).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-rollbook-epoch: 99999\r\n")
                writer.write(f"content-length: {len(answer)}\r\n\r\n".encode() + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Tokens:
    """Mints inference tokens as the control plane does."""

    def __init__(self, *, kid: str = "one") -> None:
        self.kid = kid
        self._key = Ed25519PrivateKey.generate()
        self.jwks = [{**json.loads(OKPAlgorithm.to_jwk(self._key.public_key())), "kid": kid, "alg": "EdDSA"}]

    def mint(
        self, *, endpoints: tuple[str, ...] = ("*",), workspace: str = "default", ttl_s: int = 600, **claims: object
    ) -> str:
        now = int(time.time())
        body = {
            "iss": "rollbook",
            "sub": "principal-1",
            "workspace": workspace,
            "endpoints": list(endpoints),
            "iat": min(now, now + ttl_s),
            "exp": now + ttl_s,
            "jti": "token-1",
            **claims,
        }
        return jwt.encode(body, self._key, algorithm="EdDSA", headers={"kid": self.kid})


class Ports:
    def __init__(self) -> None:
        self.gateway, self.admin, self.ads, self.metrics = free_ports(4)


class Program:
    """A program of ours, in a process of its own."""

    def __init__(self, name: str, environ: Mapping[str, str], log: Path) -> None:
        self._name = name
        self._environ = environ
        self._log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *launched(self._name),
                env={**os.environ, **self._environ},
                stdout=log,
                stderr=log,
            )

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), timeout=180)

    @property
    def logged(self) -> str:
        return self._log.read_text()


def envoy_program(data_dir: Path, ports: Ports, **more: str) -> Program:
    environ = {
        "ROLLBOOK_ENVOY_DATA_DIR": str(data_dir),
        "ROLLBOOK_ENVOY_PORT": str(ports.gateway),
        "ROLLBOOK_ENVOY_ADMIN_PORT": str(ports.admin),
        "ROLLBOOK_ENVOY_ADS_PORT": str(ports.ads),
        **more,
    }
    return Program("envoy", environ, data_dir / "envoy.out")


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    await program.start()
    try:
        yield program
    finally:
        if program.process and program.process.returncode is None:
            await program.stop()


async def until(check: object, *, within_s: float = GUARD_S, why: str = "the condition") -> None:
    """Poll an (async) check until it is true."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answer = check()  # type: ignore[operator]
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{why} was not reached within {within_s} s")


async def is_ready(ports: Ports) -> bool:
    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        with suppress(httpx.HTTPError):
            return (await client.get(f"http://127.0.0.1:{ports.admin}/ready")).status_code == 200
    return False


class Gateway:
    """The gateway's parts without the log: events are told straight to the table."""

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        limits: Limits = LIMITS,
        comebacks: Comebacks | None = None,
        **environ: str,
    ) -> None:
        self.data_dir = data_dir
        self.ports = Ports()
        self.tokens = Tokens()
        self.log = Log()
        self.table = RoutingTable(replace(NOTHING_KNOWN, tokens=TokenRules(keys=tuple(self.tokens.jwks))))
        self.ads = AdsServer()
        self.ads.put(fixed_resources(host=host, port=self.ports.gateway, limits=limits))
        self.comebacks = comebacks or Comebacks()
        self.envoy = envoy_program(data_dir, self.ports, **environ)
        self.folder = data_dir / "gateway" / REGION
        self.taken: dict[str, int] = {}
        self.also_on_taken: Callable[[str, list[str]], None] = lambda _type_url, _taken: None
        self.back_ends: list[BackEnd] = []

    def on_taken(self, type_url: str, taken: list[str]) -> None:
        self.also_on_taken(type_url, taken)
        for name in taken:
            self.taken[name] = self.taken.get(name, 0) + 1

    def put(self, change: Change) -> None:
        self.ads.put(update_for(change, self.table, comebacks=self.comebacks))

    def tell(self, stream: str, event: Struct, *, workspace: str = "default") -> int:
        """Tell an event; return its stream version."""
        self.put(self.table.take(self.log.append(stream, event, workspace=workspace)))
        return self.log.version_of(stream)

    async def add(
        self, endpoint_id: str, deployment_id: str, *, number: int = 1, instances: int = 1, speaks_grpc: bool = True
    ) -> list[BackEnd]:
        """Make a deployment available on back ends of its own."""
        self.tell(endpoint_id, added(deployment_id, number=number, speaks_grpc=speaks_grpc))
        return await self.grow(endpoint_id, deployment_id, region=REGION, instances=instances)

    async def grow(self, endpoint_id: str, deployment_id: str, *, region: str, instances: int = 1) -> list[BackEnd]:
        """Give a deployment back ends in a region."""
        fresh = []
        for instance in range(instances):
            where = "" if region == REGION else f"-{region}"
            name = f"instance-{deployment_id}{where}-{instance}"
            fresh.append(await BackEnd(name).start())
            self.tell(name, announced(endpoint_id, deployment_id, port=fresh[-1].port, region=region))
        self.back_ends += fresh
        return fresh

    async def serves(self, endpoint_id: str, epoch: int) -> None:
        """Wait until Envoy is seen to serve the epoch."""
        prober = Prober(self.folder)

        async def is_served() -> bool:
            with suppress(NotServedError):
                return await prober.epoch_of(self.table.endpoints[endpoint_id]) >= epoch
            return False

        try:
            await until(is_served, why=f"epoch {epoch} of {endpoint_id}")
        finally:
            prober.close()

    async def close(self) -> None:
        await self.ads.stop()
        for back_end in self.back_ends:
            await back_end.kill()

    @property
    def envoy_process(self) -> psutil.Process:
        """Envoy itself, the child of the program that runs it."""
        assert self.envoy.process
        (envoy,) = psutil.Process(self.envoy.process.pid).children()
        return envoy

    async def stats(self, pattern: str) -> dict[str, int]:
        """Return Envoy's counters and gauges whose names fit."""
        async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
            url = f"http://127.0.0.1:{self.ports.admin}/stats"
            answer = await client.get(url, params={"filter": pattern, "format": "json"})
        return {one["name"]: one["value"] for one in answer.json()["stats"] if "name" in one}

    async def listener_versions(self) -> list[tuple[str, str]]:
        """Return what listeners Envoy has: their names and when each was last changed."""
        async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
            answer = await client.get(f"http://127.0.0.1:{self.ports.admin}/config_dump?resource=dynamic_listeners")
        active = [one["active_state"] for one in answer.json()["configs"]]
        return [(one["listener"]["name"], one["last_updated"]) for one in active]


async def _is_up(gateway: Gateway) -> bool:
    process = gateway.envoy.process
    assert process
    assert process.returncode is None, gateway.envoy.logged
    return await is_ready(gateway.ports)


@asynccontextmanager
async def serving_gateway(gateway: Gateway) -> AsyncIterator[Gateway]:
    """Run a gateway's Envoy until the block is left."""
    await gateway.ads.start(port=gateway.ports.ads, on_taken=gateway.on_taken)
    gateway.put(everything(gateway.table))
    try:
        async with running(gateway.envoy):
            await until(lambda: _is_up(gateway), why="a ready Envoy")
            yield gateway
    finally:
        await gateway.close()


@asynccontextmanager
async def calling(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that bears a token."""
    headers = {"authorization": f"Bearer {gateway.tokens.mint()}"}
    url = f"http://127.0.0.1:{gateway.ports.gateway}"
    # A connection that the client drops for its age and opens again could be the one above a limit of connections.
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=GUARD_S, limits=limits, verify=NO_AUTHORITIES
    ) as client:
        yield client


async def refused_body(
    gateway: Gateway, path: str, content: int | bytes | Iterable[bytes], **headers: str
) -> httpx.Response:
    """Send a body that the gateway refuses before it has read it to its end.

    Envoy answers at once and reads no further. A client that looks for an answer while its writing fails finds it, as
    curl and this one do; httpx.AsyncClient forgets what came when its writing fails.
    """
    url = f"http://127.0.0.1:{gateway.ports.gateway}{path}"
    body = b"x" * content if isinstance(content, int) else content
    sent = {"authorization": f"Bearer {gateway.tokens.mint()}", **headers}
    return await asyncio.to_thread(httpx.post, url, content=body, headers=sent, timeout=GUARD_S)


async def serve_digits(gateway: Gateway, back_end: BackEnd | None = None) -> int:
    """Let the endpoint `digits` be served by one back end, and return the epoch."""
    gateway.tell("endpoint-1", created())
    gateway.tell("endpoint-1", added("d1"))
    gateway.back_ends.append(await (back_end or BackEnd("one")).start())
    gateway.tell("instance-d1-0", announced("endpoint-1", "d1", port=gateway.back_ends[-1].port))
    epoch = gateway.tell("endpoint-1", shifted(d1=[(0, 10_000)]))
    await gateway.serves("endpoint-1", epoch)
    return epoch
