"""What stands in the catalogue, by kind."""

import msgspec

from control_plane.access.aggregate import Principal
from control_plane.batches.resources import BatchResource
from control_plane.endpoints.resources import EndpointRow, InstanceRow
from control_plane.inference_tokens.aggregate import Keyring
from control_plane.registry.resources import ModelResource, VersionResource
from control_plane.rollouts.resources import RolloutResource
from schemas.identifiers import Kind

BODIES: dict[Kind, type[msgspec.Struct]] = {
    Kind.BATCH: BatchResource,
    Kind.ENDPOINT: EndpointRow,
    Kind.INSTANCE: InstanceRow,
    Kind.KEYRING: Keyring,
    Kind.MODEL: ModelResource,
    Kind.PRINCIPAL: Principal,
    Kind.ROLLOUT: RolloutResource,
    Kind.VERSION: VersionResource,
}
