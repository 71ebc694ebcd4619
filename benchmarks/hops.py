"""Where the time of a change goes, hop by hop, read from the log afterwards so that looking costs nothing."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiokafka import TopicPartition

from benchmarks.figures import Figure, quantile
from benchmarks.load import NewEpoch
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from schemas.envelope import decode
from schemas.topics import REGISTRY_EVENTS

_PARTITION = TopicPartition(REGISTRY_EVENTS.name, 0)


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """When a change was decided, by the event, and when the relay gave it to Kafka, by the record. Unix seconds."""

    decided_at: float
    published_at: float


def published_changes(bootstrap: str) -> dict[tuple[str, int], Published]:
    """Read all changes of traffic from the topic, by endpoint id and epoch."""
    return asyncio.run(_read(bootstrap))


async def _read(bootstrap: str) -> dict[tuple[str, int], Published]:
    found: dict[tuple[str, int], Published] = {}
    consumer = await consumer_from_offset(
        KafkaConnection(bootstrap=bootstrap),
        client_id="benchmark",
        topic=REGISTRY_EVENTS.name,
        offsets={0: 0},
        max_poll_records=5_000,
    )
    try:
        end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        while await consumer.position(_PARTITION) < end:
            fetched = await consumer.getmany(_PARTITION, timeout_ms=1_000)
            for record in fetched.get(_PARTITION, ()):
                envelope = decode(record.value or b"")
                if envelope.type == "endpoints.TrafficShifted.v1":
                    decided_at = datetime.fromisoformat(envelope.time).timestamp()
                    published = Published(decided_at=decided_at, published_at=record.timestamp / 1000)
                    found[str(envelope.stream), envelope.streamversion] = published
    finally:
        await consumer.stop()
    return found


def figures_of_hops(changes: Sequence[tuple[Published, NewEpoch]], *, prefix: str) -> list[Figure]:
    """Show the two hops; the second is Kafka, the follower, Envoy, and the wait for the next request."""
    relayed = [(one.published_at - one.decided_at) * 1000 for one, _ in changes]
    routed = [(seen.routed_at - one.published_at) * 1000 for one, seen in changes]
    answered = [(seen.answered_at - seen.routed_at) * 1000 for _, seen in changes]
    hops = {"decided to published": relayed, "published to that request": routed, "its answer": answered}
    return [
        Figure(
            name=f"{prefix}:   {name}, p50",
            value=quantile(taken, 0.5),
            unit="ms",
            note=f"p99 {quantile(taken, 0.99):.0f} ms",
        )
        for name, taken in hops.items()
    ]
