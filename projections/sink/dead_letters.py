"""Keeps messages that have no rows, unchanged, with the reason and their place."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka import clients
from infra.kafka.connection import KafkaConnection
from projections.messages import Message
from projections.sink.sink import DeadLettersUnavailableError
from schemas.topics import SOURCES, dead_letters_of

_TOPIC_OF = {topic.name: dead_letters_of(topic).name for topic in SOURCES}
_DEADLINE_S = 15.0


class KafkaDeadLetters:
    """Publishes to the dead-letter topic of a message's topic; connects when the first one comes."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None

    async def put(self, message: Message, *, reason: str) -> None:
        headers = [
            *message.headers,
            ("reason", reason.encode()),
            ("partition", str(message.partition).encode()),
            ("offset", str(message.offset).encode()),
        ]
        try:
            # An idempotent producer retries forever by itself.
            async with asyncio.timeout(_DEADLINE_S):
                producer = await self._started()
                await producer.send_and_wait(
                    _TOPIC_OF[message.topic], value=message.value, key=message.key, headers=headers
                )
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise DeadLettersUnavailableError(str(error)) from error

    async def close(self) -> None:
        """Close the producer, if there is one."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await clients.abandon(producer)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            fresh = clients.producer(self._connection, client_id="projections-dead-letters")
            await clients.start_producer(fresh)
            self._producer = fresh
        return self._producer
