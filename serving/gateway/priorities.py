"""Who is asked first, and who instead: an endpoint's failover policy as levels of instances. Pure.

Envoy uses the first level for as long as it has healthy instances, then the next. The level of an instance depends only
on the policy and its region, so that an instance that comes or goes does not move others.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import msgspec
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from google.protobuf import wrappers_pb2

from schemas.documents.endpoints import Instance
from schemas.events.endpoints import FailoverPolicy, VersionReference
from serving.gateway import names
from serving.gateway.protos import metadata
from serving.gateway.routing_state import EndpointRoute

InstancesOf = Callable[[str], Iterable[Instance]]

# While 72 % of a level is healthy, it takes everything; below that, the next level takes what is missing.
_SPARE_PERCENT = 140
# Another version is not spare capacity: it only answers when nothing of the selected version is left.
_ALL_OR_NOTHING_PERCENT = 1_000_000
_ADDRESSES_KEPT = 16_384


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """Which gateway it is, and where; without a zone, all zones of the region are alike."""

    region: str = "local"
    zone: str = ""
    gateway_id: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Instances treated alike: of one deployment and in one region, except on the level of all other regions."""

    deployment_id: str
    region: str
    zone: str = ""
    instances: tuple[Instance, ...] = ()

    @property
    def regions(self) -> str:
        """Describe where the level is, for people."""
        return self.region or ", ".join(sorted({instance.region for instance in self.instances}))


def levels_of(
    deployment_id: str, *, endpoint: EndpointRoute, home: Home, instances_of: InstancesOf
) -> tuple[Level, ...]:
    """Order the levels that may answer for a deployment: its own instances by region, then those of the backup."""
    return tuple(
        level
        for each in _deployments(deployment_id, endpoint)
        for level in _by_region(each, endpoint.failover, home=home, instances=instances_of(each))
    )


def load_assignment(
    deployment_id: str, levels: Iterable[Level], *, endpoint: EndpointRoute, held: bool = False
) -> endpoint_pb2.ClusterLoadAssignment:
    """List the levels for Envoy; a level without instances stays, so that the others keep their numbers.

    If a deployment is `held`, no level has anyone to answer, and the waiting room is used.
    """
    listed = tuple(levels)
    has_backup = any(level.deployment_id != deployment_id for level in listed)
    spare = _ALL_OR_NOTHING_PERCENT if has_backup else _SPARE_PERCENT
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=deployment_id,
        endpoints=[
            *(locality for priority, level in enumerate(listed) for locality in _localities(level, priority, endpoint)),
            *([_waiting_room(deployment_id, priority=len(listed))] if held else []),
        ],
        policy=endpoint_pb2.ClusterLoadAssignment.Policy(overprovisioning_factor=wrappers_pb2.UInt32Value(value=spare)),
    )


def _deployments(deployment_id: str, endpoint: EndpointRoute) -> Iterator[str]:
    yield deployment_id
    backup = endpoint.failover.backup_deployment_id
    if backup in endpoint.deployments and backup != deployment_id:
        yield backup


def _by_region(
    deployment_id: str, policy: FailoverPolicy, *, home: Home, instances: Iterable[Instance]
) -> Iterator[Level]:
    left = sorted(instances, key=lambda instance: instance.id)

    def level(region: str, zone: str = "") -> Level:
        there: list[Instance] = []
        elsewhere: list[Instance] = []
        for each in left:
            is_there = region in ("", each.region) and zone in ("", each.zone)
            (there if is_there else elsewhere).append(each)
        left[:] = elsewhere
        return Level(deployment_id=deployment_id, region=region, zone=zone, instances=tuple(there))

    if home.zone:
        yield level(home.region, home.zone)
    yield level(home.region)
    for region in policy.backup_regions or ():
        if region != home.region:
            yield level(region)
    if policy.backup_regions is None:
        yield level("")


def _localities(
    level: Level, priority: int, endpoint: EndpointRoute
) -> Iterator[endpoint_components_pb2.LocalityLbEndpoints]:
    by_place: dict[tuple[str, str], list[Instance]] = {}
    for instance in level.instances:
        by_place.setdefault((instance.region, instance.zone), []).append(instance)
    for (region, zone), there in sorted((by_place or {(level.region, level.zone): []}).items()):
        yield endpoint_components_pb2.LocalityLbEndpoints(
            locality=base_pb2.Locality(region=region, zone=zone),
            lb_endpoints=[_address(instance, endpoint.deployments[instance.deployment_id]) for instance in there],
            priority=priority,
        )


def _waiting_room(deployment_id: str, *, priority: int) -> endpoint_components_pb2.LocalityLbEndpoints:
    """Put it below all levels: a request that it releases is retried at a level other than its own."""
    pipe = address_pb2.Pipe(path=f"{names.HOLD}/{deployment_id}.sock")
    address = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=address_pb2.Address(pipe=pipe))
    )
    return endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[address], priority=priority)


# An instance that comes or goes causes the list of its thousand siblings to be rewritten.
@lru_cache(maxsize=_ADDRESSES_KEPT)
def _address(instance: Instance, version: VersionReference) -> endpoint_components_pb2.LbEndpoint:
    """Attach an instance's identity: the answer and the record take it from here, whichever was selected."""
    socket = address_pb2.SocketAddress(address=instance.host, port_value=instance.port)
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=address_pb2.Address(socket_address=socket)),
        metadata=metadata(
            names.METADATA,
            instance_id=instance.id,
            deployment_id=instance.deployment_id,
            version_id=version.version_id,
            version=f"{version.model_name}/{version.number}",
            region=instance.region,
        ),
    )
