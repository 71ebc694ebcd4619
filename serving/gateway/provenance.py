"""Who answered: taken from the instance that did, which may not belong to the selected deployment."""

from envoy.config.core.v3 import base_pb2

from serving.gateway import names
from serving.gateway.protos import overwrite


def of_instance(key: str) -> str:
    """Format a fact about the last instance that was tried; empty if none was."""
    return f"%METADATA(UPSTREAM_HOST:{names.METADATA}:{key})%"


def answered_by() -> list[base_pb2.HeaderValueOption]:
    """Add to every answer which version, deployment and instance gave it, and in which region."""
    return [
        overwrite(names.DEPLOYMENT, of_instance("deployment_id")),
        overwrite(names.VERSION, of_instance("version")),
        overwrite(names.REGION, of_instance("region")),
        overwrite(names.INSTANCE, of_instance("instance_id")),
    ]
