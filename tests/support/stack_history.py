"""Reads the three copies of a running stack's history: the store's file, the topic, and the view of all events."""

import asyncio
import threading
import time
from types import TracebackType
from typing import Self

import httpx
import msgspec

from control_plane.event_store.log_file import open_log_file
from control_plane.log.ports import LogReader
from control_plane.log.reading import events_of
from control_plane.relay.topic_log import open_topic_log
from infra.clickhouse.client import connect
from infra.kafka.connection import KafkaConnection
from tests.support.eventually import eventually
from tests.support.history import Acknowledged, Copy, History
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack

_CAUGHT_UP_WITHIN_S = 180.0
_PAUSE_S = 0.1
_ANSWER_WITHIN_S = 3.0
_VIEW = "SELECT position, event FROM domain_events FINAL ORDER BY position"


def history_of(stack: RunningStack, acknowledged: list[Acknowledged]) -> History:
    """Read everything, once topic and view have what the store has."""
    stored = asyncio.run(_stored(stack))
    head = stored[-1].position
    published = eventually(
        lambda: _up_to(head, asyncio.run(_published(stack))), "the topic caught up", within_s=_CAUGHT_UP_WITHIN_S
    )
    viewed = eventually(lambda: _up_to(head, _viewed(stack)), "the view caught up", within_s=_CAUGHT_UP_WITHIN_S)
    return History(stored=stored, published=published, viewed=viewed, acknowledged=acknowledged)


def _up_to(head: int, copies: list[Copy]) -> list[Copy]:
    """Return the copies up to a position; nothing while there is none at or beyond it."""
    if not copies or max(copy.position for copy in copies) < head:
        return []
    return [copy for copy in copies if copy.position <= head]


async def _stored(stack: RunningStack) -> list[Copy]:
    with open_log_file(stack.data_dir / "events" / "registry.sqlite") as log:
        return await _copies(log)


async def _published(stack: RunningStack) -> list[Copy]:
    async with open_topic_log(KafkaConnection(bootstrap=stack.kafka_bootstrap)) as topic:
        return await _copies(topic)


async def _copies(log: LogReader) -> list[Copy]:
    return [Copy(event.position, event.canonical) async for event in events_of(log)]


def _viewed(stack: RunningStack) -> list[Copy]:
    client = connect(stack.clickhouse_url)
    try:
        return [Copy(int(position), event.encode()) for position, event in client.query(_VIEW).result_rows]
    finally:
        client.close()


class _Registered(msgspec.Struct):
    id: str
    position: int


class SteadyWriter:
    """A client that registers models one after the other, whatever dies meanwhile, and keeps what it is told.

    A command without an answer is sent again under its idempotency key until there is one.
    """

    def __init__(self, stack: RunningStack, name: str) -> None:
        self.acknowledged: list[Acknowledged] = []
        self._name = name
        self._http = httpx.Client(
            base_url=stack.api_url,
            headers={"authorization": f"Bearer {stack.admin_token}"},
            timeout=_ANSWER_WITHIN_S,
            verify=NO_AUTHORITIES,
        )
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._http.close()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            number = 0
            while not self._stopping.wait(_PAUSE_S):
                number += 1
                made = self._register(f"{self._name}-{number}")
                self.acknowledged.append(Acknowledged(stream=made.id, position=made.position))
        except httpx.HTTPStatusError as error:
            self._failure = error

    def _register(self, model: str) -> _Registered:
        headers = {"idempotency-key": f"register-{model}"}
        while True:
            try:
                answer = self._http.post("/v1/models", json={"name": model}, headers=headers)
            except httpx.TransportError:
                time.sleep(_PAUSE_S)
                continue
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                time.sleep(_PAUSE_S)
                continue
            return msgspec.json.decode(answer.raise_for_status().content, type=_Registered)
