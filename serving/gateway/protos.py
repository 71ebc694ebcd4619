"""Helpers that build the xDS messages of the gateway's resources."""

from envoy.config.core.v3 import base_pb2, config_source_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2
from google.protobuf.message import Message


def packed(message: Message) -> any_pb2.Any:
    """Pack a message so that equal messages give equal bytes."""
    box = any_pb2.Any()
    box.Pack(message, deterministic=True)
    return box


def overwrite(name: str, value: str) -> base_pb2.HeaderValueOption:
    """Set a header, overwriting any value."""
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def metadata(namespace: str, **values: str) -> base_pb2.Metadata:
    """Attach text values to a route, cluster or instance."""
    held = struct_pb2.Struct()
    held.update(values)
    return base_pb2.Metadata(filter_metadata={namespace: held})


def ads() -> config_source_pb2.ConfigSource:
    """Point to the one aggregated stream that the follower serves."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )


def seconds(value: float) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=int(value), nanos=round(value % 1 * 1e9))


def literal(text: str) -> str:
    """Escape a text so that Envoy's formatter leaves it unchanged."""
    return text.replace("%", "%%")
