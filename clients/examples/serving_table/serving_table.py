"""Print which versions serve each endpoint, and print it again whenever that changes.

An example for programs that follow Rollbook without being part of it: it reads the topic `serving.state.v1` with
aiokafka and the published schemas (`schemas/generated/state-record.json` and `schemas/generated/documents/`), and
needs nothing else. Usage: `python serving_table.py HOST:PORT`
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

PARTITION = TopicPartition("serving.state.v1", 0)


async def follow(bootstrap: str) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """Yield the current documents by id: once when all have been read, and then after each change."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([PARTITION])
        await consumer.seek_to_beginning(PARTITION)
        end = (await consumer.end_offsets([PARTITION]))[PARTITION]
        records: dict[str, dict[str, Any]] = {}
        while await consumer.position(PARTITION) < end:
            for message in (await consumer.getmany(PARTITION, timeout_ms=500)).get(PARTITION, []):
                take(records, message.key, message.value)
        yield records
        async for message in consumer:
            take(records, message.key, message.value)
            yield records
    finally:
        await consumer.stop()


def take(records: dict[str, dict[str, Any]], key: bytes, value: bytes | None) -> None:
    """Keep the last record of each key; one without a value removes the document."""
    if value is None:
        records.pop(key.decode(), None)
    else:
        records[key.decode()] = json.loads(value)


def table(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return a line for each endpoint, such as `95 % digits/1 (2 ready), 5 % digits/2 (1 ready)`."""
    ready: dict[str, int] = {}
    for record in records.values():
        if record["kind"] == "instance" and record["document"]["phase"] == "announced":
            deployment_id = record["document"]["deployment_id"]
            ready[deployment_id] = ready.get(deployment_id, 0) + 1
    return {
        record["document"]["name"]: line(record["document"], ready)
        for record in records.values()
        if record["kind"] == "endpoint"
    }


def line(endpoint: dict[str, Any], ready: dict[str, int]) -> str:
    """Return the share, version and ready instances of each deployment that has traffic."""
    versions = {each["id"]: each["version"] for each in endpoint["deployments"]}
    parts = []
    for allocation in endpoint["allocations"]:
        deployment_id = allocation["deployment_id"]
        if allocation["weight_percent"] > 0 and deployment_id in versions:
            version = versions[deployment_id]
            name = f"{version['model_name']}/{version['number']}"
            parts.append(f"{allocation['weight_percent']:g} % {name} ({ready.get(deployment_id, 0)} ready)")
    return ", ".join(parts) or "no traffic"


async def main() -> None:
    """Follow the topic until interrupted."""
    parser = argparse.ArgumentParser(description="Print which versions serve each endpoint.")
    parser.add_argument("bootstrap", help="host:port of a Kafka broker")
    bootstrap = parser.parse_args().bootstrap
    shown: dict[str, str] = {}
    async for records in follow(bootstrap):
        now = table(records)
        for name in sorted(now.keys() | shown.keys()):
            if now.get(name) != shown.get(name):
                print(f"{name}: {now.get(name, 'removed')}", flush=True)
        shown = now


if __name__ == "__main__":
    asyncio.run(main())
