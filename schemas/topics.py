"""The Kafka topics: their names, partitions, retention and who may write them."""

import msgspec

FOREVER = -1
_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic. `retention_ms` of -1 keeps forever.

    A compacted topic keeps the last record of each key, and a tombstone for `tombstones_kept_ms`.
    """

    name: str
    key: str
    partitions: int
    retention_ms: int
    written_by: str
    content: str
    tombstones_kept_ms: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings that make a topic what it is, by Kafka's names."""
        if self.tombstones_kept_ms is None:
            return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        return {
            "cleanup.policy": "compact",
            "retention.ms": str(self.retention_ms),
            "delete.retention.ms": str(self.tombstones_kept_ms),
            "max.message.bytes": str(_MAX_DOCUMENT_BYTES),
            # Kafka compacts only segments that are full or old; every reader reads the rest whole.
            "segment.bytes": str(16 * 1024 * 1024),
            "segment.ms": str(_DAY_MS),
            "min.cleanable.dirty.ratio": "0.1",
        }


REGISTRY_EVENTS = Topic(
    name="registry.events.v1",
    key="stream id",
    partitions=1,
    retention_ms=FOREVER,
    written_by="relay",
    content="every domain event: canonical bytes as value; ce_* and position headers copy them",
)
SERVING_STATE = Topic(
    name="serving.state.v1",
    key="document id",
    partitions=1,
    retention_ms=FOREVER,
    tombstones_kept_ms=30 * _DAY_MS,
    written_by="relay",
    content=(
        "the current document of each endpoint, instance, model and active rollout, with the event that made it; "
        "no value where it was removed"
    ),
)
REQUESTS = Topic(
    name="inference.requests.v1",
    key="source",
    partitions=4,
    retention_ms=7 * _DAY_MS,
    written_by="gateway request shipper",
    content="column batches (Arrow IPC stream), one row for every request that reached the gateway",
)
OBSERVATIONS = Topic(
    name="inference.observations.v1",
    key="source",
    partitions=4,
    retention_ms=7 * _DAY_MS,
    written_by="serving agent",
    content="column batches (Arrow IPC stream) of captured inputs and outputs, after the capture policy",
)
FEEDBACK = Topic(
    name="inference.feedback.v1",
    key="prediction id",
    partitions=4,
    retention_ms=30 * _DAY_MS,
    written_by="feedback API",
    content="labels, ratings and business outcomes, one JSON document a message",
)
TELEMETRY = Topic(
    name="serving.telemetry.v1",
    key="source",
    partitions=4,
    retention_ms=12 * _HOUR_MS,
    written_by="serving agent, gateway request shipper",
    content="column batches (Arrow IPC stream) of what instances, hosts and gateways use and have in hand",
)

DEAD_LETTER_SUFFIX = ".dead"


def dead_letters_of(topic: Topic) -> Topic:
    """Return the topic that takes what a consumer of `topic` could not decode, with the reason in a header."""
    return Topic(
        name=topic.name.removesuffix(".v1") + DEAD_LETTER_SUFFIX + ".v1",
        key=topic.key,
        partitions=1,
        retention_ms=30 * _DAY_MS,
        written_by=f"consumers of {topic.name}",
        content="what could not be decoded, unchanged; headers `reason`, `partition` and `offset` say where from",
    )


SOURCES = (REGISTRY_EVENTS, REQUESTS, OBSERVATIONS, FEEDBACK, TELEMETRY)
TOPICS = (*SOURCES, SERVING_STATE, *(dead_letters_of(topic) for topic in SOURCES))
