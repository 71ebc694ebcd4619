"""The settings that several programs share. Each program's own struct extends one of these with its own."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.kafka.connection import KafkaConnection
from infra.metrics import MetricsPort


class KafkaProgramSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of a program that reads from Kafka or writes to it."""

    kafka: KafkaConnection
    metrics_port: MetricsPort = None


class ServiceSettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """Of a program that follows documents and reports to the control plane, as a service."""

    api_url: Annotated[str, msgspec.Meta(description="address of the control plane's API")]
    token_file: Annotated[Path, msgspec.Meta(description="file with the token of a service of this program's duty")]


class RegionalServiceSettings(ServiceSettings, frozen=True, kw_only=True):
    """Of a service that runs once or more in each region, on that region's hosts."""

    data_dir: Annotated[Path, msgspec.Meta(description="the stack's data directory on this host")]
    region: Annotated[str, msgspec.Meta(description="the region of this host")] = "local"
