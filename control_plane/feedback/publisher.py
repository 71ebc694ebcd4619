"""Publishes feedback to Kafka, in bounded time and bounded memory; the broker may be away when the API starts."""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from control_plane.errors import Unavailable
from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from schemas.observations import Feedback
from schemas.topics import FEEDBACK

# Together the longest that a caller waits for a broker that does not answer.
_DEADLINE_S = 4.0
_CLOSE_S = 1.0
_MAX_WAITING = 64
_log = structlog.get_logger(__name__)


class KafkaAwayError(Unavailable):
    """Kafka did not confirm the feedback, so it was not accepted."""

    code = "kafka-unavailable"

    def __init__(self) -> None:
        super().__init__(
            "Kafka, which stores feedback, does not answer",
            remedy="send the same items again in a few seconds; items that already arrived are ignored",
        )


class TooMuchFeedbackError(Unavailable):
    """Too many batches of feedback are waiting for Kafka."""

    code = "feedback-busy"

    def __init__(self) -> None:
        super().__init__(
            f"{_MAX_WAITING} batches of feedback are waiting already", remedy="send them one after another"
        )


class FeedbackPublisher:
    """Owns one idempotent producer, opened at the first batch, and replaced once it fails for good."""

    def __init__(self, connection: KafkaConnection, *, deadline_s: float = _DEADLINE_S) -> None:
        self._connection = connection
        self._deadline_s = deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._waiting = 0

    async def publish(self, feedback: Sequence[Feedback]) -> None:
        """Return when every item is acknowledged by all replicas.

        Raises:
            KafkaAwayError: not within the deadline; some of the items may be there, which does no harm.
            TooMuchFeedbackError: too many batches wait already.
        """
        if self._waiting >= _MAX_WAITING:
            raise TooMuchFeedbackError
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._send(feedback)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("feedback_not_published", items=len(feedback), error=repr(error))
            raise KafkaAwayError from error
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Flush for a moment, then let go."""
        opened, self._producer = self._producer, None
        if opened is not None:
            await _stopped(opened)

    async def _send(self, feedback: Sequence[Feedback]) -> None:
        opened = await self._opened()
        try:
            sent = [
                await opened.send(FEEDBACK.name, key=item.prediction_id.encode(), value=msgspec.json.encode(item))
                for item in feedback
            ]
            await asyncio.gather(*sent)
        except KafkaError:
            # It retries by itself what can be retried; after any other error its sequence numbers may be broken.
            await self._discard(opened)
            raise

    async def _discard(self, opened: AIOKafkaProducer) -> None:
        if self._producer is opened:
            self._producer = None
            await _stopped(opened)

    async def _opened(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                fresh = producer(self._connection, client_id="rollbook-api-feedback", linger_ms=2)
                try:
                    await fresh.start()
                except BaseException:
                    await _stopped(fresh)
                    raise
                self._producer = fresh
            return self._producer


async def _stopped(opened: AIOKafkaProducer) -> None:
    # Stopping waits for what is unsent, without end while the broker is away.
    try:
        async with asyncio.timeout(_CLOSE_S):
            await opened.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        _log.warning("feedback_producer_not_flushed", error=repr(error))
