"""What an endpoint's events say about placements and current failovers. Pure."""

from msgspec.structs import replace

from schemas.events.endpoints import DeploymentPlaced, FailoverEnded, FailoverStarted
from serving.gateway.routing_state import EndpointRoute


def with_failover(endpoint: EndpointRoute, event: DeploymentPlaced | FailoverStarted | FailoverEnded) -> EndpointRoute:
    """Fold one of these events."""
    match event:
        case DeploymentPlaced(deployment_id=deployment_id, regions=regions):
            return replace(endpoint, placements={**endpoint.placements, deployment_id: regions})
        case FailoverStarted():
            return replace(endpoint, failovers=(*_others(endpoint, event), event))
        case FailoverEnded():
            return replace(endpoint, failovers=_others(endpoint, event))


def _others(endpoint: EndpointRoute, event: FailoverStarted | FailoverEnded) -> tuple[FailoverStarted, ...]:
    said = (event.region, event.deployment_id)
    return tuple(each for each in endpoint.failovers if (each.region, each.deployment_id) != said)
