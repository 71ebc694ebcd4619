"""Makes topics as their owner describes them and refuses those that differ."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec
import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from infra.errors import TopicDriftError
from infra.kafka.connection import KafkaConnection
from schemas.topics import Topic

_REQUEST_TIMEOUT_MS = 10_000
_RETRY_SECONDS = 0.2
_log = structlog.get_logger(__name__)


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a topic must be. ``retention_ms`` of -1 keeps forever."""

    name: str
    partitions: int
    retention_ms: int
    config: dict[str, str] = {}

    @classmethod
    def of(cls, topic: Topic) -> Self:
        """Return what the contract says of a topic."""
        return cls(name=topic.name, partitions=topic.partitions, retention_ms=topic.retention_ms, config=topic.settings)

    @property
    def settings(self) -> dict[str, str]:
        return {"cleanup.policy": "delete", **self.config, "retention.ms": str(self.retention_ms)}


async def ensure_topics(
    connection: KafkaConnection, specs: Sequence[TopicSpec], *, timeout_seconds: float = 30.0
) -> None:
    """Create what is missing and compare what is there; safe from several processes at once.

    Retries while the broker is away, up to the deadline, and then raises TimeoutError.
    Raises TopicDriftError for a topic with other partitions, retention or settings:
    changing these under live data is a decision for a person.
    """
    logged = ""
    async with asyncio.timeout(timeout_seconds):
        while True:
            try:
                async with _admin(connection) as admin:
                    await _create(admin, specs, connection.replication_factor)
                    await _compare(admin, specs)
                    return
            except KafkaError as error:
                if repr(error) != logged:
                    logged = repr(error)
                    _log.warning("topics_not_ready", error=logged, retry_seconds=_RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)


@asynccontextmanager
async def _admin(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection.client_options(), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], replication_factor: int) -> None:
    existing = set(await admin.list_topics())
    missing = [spec for spec in specs if spec.name not in existing]
    if not missing:
        return
    answer = await admin.create_topics(
        [NewTopic(spec.name, spec.partitions, replication_factor, topic_configs=spec.settings) for spec in missing]
    )
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} could not be created")
        _log.info("topic_created", topic=name)


async def _compare(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    described = {topic["topic"]: topic for topic in await admin.describe_topics([spec.name for spec in specs])}
    settings = await _settings(admin, specs)
    problems = [
        problem for spec in specs for problem in _differences(spec, described[spec.name], settings.get(spec.name, {}))
    ]
    if problems:
        raise TopicDriftError("; ".join(problems))


async def _settings(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for code, message, _kind, name, entries in answer.resources:
            if code != 0:
                raise for_code(code)(message)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _differences(spec: TopicSpec, topic: dict[str, Any], settings: dict[str, str]) -> list[str]:
    if topic["error_code"] != 0:
        raise for_code(topic["error_code"])(f"topic {spec.name} could not be described")
    partitions = len(topic["partitions"])
    problems = []
    if partitions != spec.partitions:
        problems.append(f"topic {spec.name} has {partitions} partitions but should have {spec.partitions}")
    problems += [
        f"topic {spec.name} has {name}={settings.get(name)} but should have {wanted}; "
        "change it with Kafka's tools, or correct its declaration"
        for name, wanted in spec.settings.items()
        if settings.get(name) != wanted
    ]
    return problems
