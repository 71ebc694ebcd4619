"""Which aliases of models point to which versions, as the routes of endpoints need it. Pure."""

from collections.abc import Mapping

from schemas.documents.models import Model
from schemas.events.endpoints import VersionReference
from serving.gateway.routing_state import Aliases, EndpointRoute


def with_model(aliases: Aliases, model: Model) -> Aliases:
    """Return the aliases of all models after a model's document."""
    return {**aliases, model.id: {alias: each.version_id for alias, each in model.aliases.items()}}


def aliases_of(deployments: Mapping[str, VersionReference], aliases: Aliases) -> dict[str, tuple[str, ...]]:
    """Return the aliases of the versions that are deployed, by the version's id."""
    deployed = {version.version_id for version in deployments.values()}
    found: dict[str, tuple[str, ...]] = {}
    for alias, version_id in sorted(pair for of_model in aliases.values() for pair in of_model.items()):
        if version_id in deployed:
            found[version_id] = (*found.get(version_id, ()), alias)
    return found


def renamed(endpoints: Mapping[str, EndpointRoute], aliases: Aliases) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the new aliases by endpoint id, for endpoints that deploy a version whose aliases have changed."""
    found = {key: aliases_of(endpoint.deployments, aliases) for key, endpoint in endpoints.items()}
    return {key: now for key, now in found.items() if now != endpoints[key].aliases}
