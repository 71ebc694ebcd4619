"""Sends batches to Kafka through an idempotent producer, however long Kafka is unavailable."""

import asyncio
import random
from typing import Protocol, TypeAlias

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka.clients import abandon, producer, start_producer
from infra.kafka.connection import KafkaConnection

_SEND_DEADLINE_S = 30.0
_MIN_PAUSE_S = 0.2
_MAX_PAUSE_S = 3.0

_log = structlog.get_logger(__name__)

Headers: TypeAlias = list[tuple[str, bytes]]


class Sink(Protocol):
    """`send` returns once the message is stored. Sending it twice is allowed, losing it is not."""

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None: ...


class KafkaSink:
    """A producer that is replaced after an error; sources share it, each with one message in progress."""

    def __init__(self, connection: KafkaConnection, *, client_id: str) -> None:
        self._connection = connection
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None:
        """Return once Kafka has the message; retry until it does."""
        pause = _MIN_PAUSE_S
        while True:
            sender = None
            try:
                sender = await self._connected()
                async with asyncio.timeout(_SEND_DEADLINE_S):
                    await sender.send_and_wait(topic, key=key.encode(), value=value, headers=headers)
                return
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("kafka_away", reason=repr(error), next_try_s=pause)
                if sender is not None:
                    await self._discard(sender)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
                pause = min(2 * pause, _MAX_PAUSE_S)

    async def close(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            await self._discard(self._producer)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                fresh = producer(self._connection, client_id=self._client_id, compression="gzip")
                await start_producer(fresh)
                self._producer = fresh
                return fresh
            return self._producer

    async def _discard(self, sender: AIOKafkaProducer) -> None:
        # Another source may already have replaced the broken one; stopping twice is harmless.
        if sender is self._producer:
            self._producer = None
        await abandon(sender)
