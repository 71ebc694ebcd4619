"""Folds the serving snapshot and the events after it into what the gateway is to serve. Pure: no clock, no I/O."""

from collections.abc import Iterable

import msgspec

from infra.newer_release import OnNewer
from schemas.catalogue import NotUnderstood, read_data
from schemas.envelope import Envelope
from schemas.events import endpoints, registry
from schemas.events.endpoints import VersionReference
from schemas.scaling import ScalingPolicy
from serving.gateway.failover_state import with_failover
from serving.gateway.grpc_routing import speaks_grpc
from serving.gateway.priorities import Home, Level, levels_of
from serving.gateway.routing_state import Aliases, EndpointRoute, Instance, RoutingSnapshot, Shadow, TokenRules, Traffic
from serving.gateway.token_rules import folded, renewed
from serving.gateway.version_aliases import aliases_of, renamed
from serving.gateway.version_aliases import folded as with_alias


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one or more events affected: the work that follows is proportional to this, not to the table."""

    endpoints: frozenset[str] = frozenset()
    deployments: frozenset[str] = frozenset()
    workspaces: frozenset[str] = frozenset()
    """Workspaces whose set of endpoints has changed."""
    has_new_tokens: bool = False

    def __or__(self, other: "Change") -> "Change":
        return Change(
            endpoints=self.endpoints | other.endpoints,
            deployments=self.deployments | other.deployments,
            workspaces=self.workspaces | other.workspaces,
            has_new_tokens=self.has_new_tokens or other.has_new_tokens,
        )

    def __bool__(self) -> bool:
        return bool(self.endpoints or self.deployments or self.workspaces or self.has_new_tokens)


NOTHING = Change()


def may_sleep(policy: ScalingPolicy | None) -> bool:
    """Return whether deployments under a policy may have no instance at all."""
    return policy is not None and policy.min_replicas == 0


class RoutingTable:
    """The fold. An epoch is served once each deployment with weight has an instance; until then the previous one is."""

    def __init__(self, snapshot: RoutingSnapshot, *, home: Home | None = None, on_newer: OnNewer | None = None) -> None:
        self.home = home or Home()
        self.position = snapshot.position
        self.tokens = snapshot.tokens
        self.endpoints: dict[str, EndpointRoute] = {endpoint.id: endpoint for endpoint in snapshot.endpoints}
        self.aliases: Aliases = snapshot.aliases
        self.has_passed_over = snapshot.has_passed_over
        self._on_newer = on_newer
        self._instances: dict[str, Instance] = {}
        self._of_deployment: dict[str, dict[str, Instance]] = {}
        self._endpoint_of: dict[str, str] = {}
        for instance in snapshot.instances:
            self._place(instance)
        self._rename_all()
        for endpoint in snapshot.endpoints:
            self._index(endpoint)
            self._serve_if_ready(endpoint.id)
            self._warm_shadow(endpoint.id)

    @property
    def instance_count(self) -> int:
        return len(self._instances)

    def instances_of(self, deployment_id: str) -> Iterable[Instance]:
        """Return the instances of a deployment that may take traffic."""
        return self._of_deployment.get(deployment_id, {}).values()

    def version_of(self, deployment_id: str) -> VersionReference | None:
        """Return the version of a deployment, or None when it is removed and takes no traffic."""
        endpoint = self.endpoints.get(self._endpoint_of.get(deployment_id, ""))
        return endpoint.deployments.get(deployment_id) if endpoint else None

    def endpoint_of(self, deployment_id: str) -> EndpointRoute | None:
        """Return the endpoint of a deployment, or None as for its version."""
        endpoint = self.endpoints.get(self._endpoint_of.get(deployment_id, ""))
        return endpoint if endpoint and deployment_id in endpoint.deployments else None

    def levels_of(self, deployment_id: str, *, endpoint: EndpointRoute) -> tuple[Level, ...]:
        """Return who may answer for a deployment, in order of preference."""
        return levels_of(deployment_id, endpoint=endpoint, home=self.home, instances_of=self.instances_of)

    def is_answered(self, deployment_id: str) -> bool:
        """Return whether a deployment has an instance at any of its levels."""
        endpoint = self.endpoint_of(deployment_id)
        return endpoint is not None and any(
            level.instances for level in self.levels_of(deployment_id, endpoint=endpoint)
        )

    def is_held(self, deployment_id: str) -> bool:
        """Return whether requests for a deployment must wait for the first instance."""
        endpoint = self.endpoint_of(deployment_id)
        return endpoint is not None and endpoint.holds and not self.is_answered(deployment_id)

    def count_levels(self, endpoint: EndpointRoute) -> int:
        """Return the largest number of levels with instances of any deployment."""
        serving = endpoint.served.deployments() if endpoint.served else frozenset()
        counts = [sum(bool(level.instances) for level in self.levels_of(each, endpoint=endpoint)) for each in serving]
        return max(counts, default=0)

    def endpoints_of(self, deployments: Iterable[str]) -> frozenset[str]:
        """Return the endpoints of deployments; the retries of their routes depend on where instances are."""
        found = (self.endpoint_of(deployment_id) for deployment_id in deployments)
        return frozenset(endpoint.id for endpoint in found if endpoint)

    def could_be_elsewhere(self, deployment_id: str, *, endpoint: EndpointRoute) -> bool:
        """Return whether instances outside this region might answer for a deployment; cheap, because most have none."""
        if endpoint.failover.backup_deployment_id is not None or deployment_id in endpoint.placements:
            return True
        has_failover = any(failover.deployment_id == deployment_id for failover in endpoint.failovers)
        return has_failover or any(each.region != self.home.region for each in self.instances_of(deployment_id))

    def with_dependents(self, deployments: Iterable[str]) -> frozenset[str]:
        """Add the deployments that one of these can answer for."""
        found: set[str] = set(deployments)
        for deployment_id in tuple(found):
            endpoint = self.endpoint_of(deployment_id)
            if endpoint and endpoint.failover.backup_deployment_id == deployment_id:
                found |= endpoint.deployments.keys()
        return frozenset(found)

    def is_shadow(self, deployment_id: str) -> bool:
        """Return whether copies of requests go to a deployment."""
        endpoint = self.endpoints.get(self._endpoint_of.get(deployment_id, ""))
        return bool(endpoint and endpoint.shadow and endpoint.shadow.deployment_id == deployment_id)

    def waiting(self, endpoint_id: str) -> frozenset[str]:
        """Return the deployments that keep the newest epoch from being served.

        They have no instance yet, or only a newer release can read them.
        """
        endpoint = self.endpoints[endpoint_id]
        if endpoint.wanted is None or endpoint.wanted == endpoint.served:
            return frozenset()
        wanted = endpoint.wanted.deployments()
        without = (part for part in wanted if not endpoint.holds and not self._of_deployment.get(part))
        return (wanted - endpoint.deployments.keys()) | frozenset(without)

    def snapshot(self) -> RoutingSnapshot:
        """Return the state as a value that a table can start from."""
        return RoutingSnapshot(
            position=self.position,
            endpoints=tuple(self.endpoints.values()),
            instances=tuple(self._instances.values()),
            tokens=self.tokens,
            aliases={model: dict(named) for model, named in self.aliases.items()},
            has_passed_over=self.has_passed_over,
        )

    def renew_tokens(self, tokens: TokenRules) -> Change:
        """Take keys and revocations that came from the control plane and not from the log."""
        return self._take_tokens(renewed(self.tokens, tokens))

    def apply(self, envelope: Envelope, *, position: int) -> Change:
        """Fold one event; an event at or before the table's position, or of a newer release, changes nothing."""
        if position <= self.position:
            return NOTHING
        event = read_data(envelope.type, envelope.data)
        change = self._fold(event, envelope)
        self.position = position
        return change

    def _fold(  # noqa: PLR0911 - one return per event type
        self, event: msgspec.Struct, envelope: Envelope
    ) -> Change:
        stream = str(envelope.stream)
        match event:
            case NotUnderstood():
                return self._pass_over(event)
            case endpoints.EndpointCreated():
                return self._create(event, envelope)
            case endpoints.InstanceAnnounced():
                return self._announce(stream, event)
            case endpoints.InstanceWithdrawn() | endpoints.InstanceFailed():
                return self._withdraw(stream)
            case registry.VersionAliasSet() | registry.VersionAliasRemoved():
                self.aliases = with_alias(self.aliases, event, model_id=stream)
                return self._rename_all()
            case _ if stream in self.endpoints:
                return self._fold_endpoint(stream, event, envelope)
            case _:
                return self._take_tokens(folded(self.tokens, event, envelope))

    def _pass_over(self, event: NotUnderstood) -> Change:
        self.has_passed_over = True
        if self._on_newer:
            self._on_newer(event)
        return NOTHING

    def _fold_endpoint(self, stream: str, event: msgspec.Struct, envelope: Envelope) -> Change:
        match event:
            case endpoints.DeploymentAdded():
                return self._add_deployment(stream, event)
            case endpoints.DeploymentRemoved():
                return self._remove_deployment(stream, event.deployment_id)
            case endpoints.TrafficShifted():
                traffic = Traffic(epoch=envelope.streamversion, allocations=event.allocations)
                return self._replace(stream, wanted=traffic)
            case endpoints.TrafficApplied(region=region, epoch=epoch) if region == self.home.region:
                return self._note_applied(stream, epoch)
            case _:
                return self._fold_failover(stream, event)

    def _fold_failover(self, stream: str, event: msgspec.Struct) -> Change:
        match event:
            case endpoints.FailoverPolicySet(policy=policy):
                known = self.endpoints[stream].deployments
                self._replace(stream, failover=policy)
                return Change(endpoints=frozenset({stream}), deployments=frozenset(known))
            case endpoints.DeploymentPlaced() | endpoints.FailoverStarted() | endpoints.FailoverEnded():
                self.endpoints[stream] = with_failover(self.endpoints[stream], event)
                return NOTHING
            case endpoints.ScalingPolicySet(policy=policy):
                deployments = frozenset(self.endpoints[stream].deployments)
                return self._replace(stream, holds=may_sleep(policy)) | Change(deployments=deployments)
            case _:
                return self._fold_choice(stream, event)

    def _fold_choice(self, stream: str, event: msgspec.Struct) -> Change:
        match event:
            case endpoints.ShadowSet(deployment_id=deployment_id, percent=percent):
                is_known = deployment_id in self.endpoints[stream].deployments
                shadow = Shadow(deployment_id=deployment_id, percent=percent) if is_known else None
                return self._set_shadow(stream, shadow)
            case endpoints.ShadowRemoved():
                return self._set_shadow(stream, None)
            case endpoints.AssignmentKeyChosen(key=key):
                return self._replace(stream, assigned_by=key) | Change(endpoints=frozenset({stream}))
            case _:
                return NOTHING

    def _create(self, event: endpoints.EndpointCreated, envelope: Envelope) -> Change:
        endpoint = EndpointRoute(
            id=str(envelope.stream),
            workspace=envelope.workspace,
            name=event.name,
            salt=event.salt,
        )
        self.endpoints[endpoint.id] = endpoint
        return Change(endpoints=frozenset({endpoint.id}), workspaces=frozenset({endpoint.workspace}))

    def _add_deployment(self, endpoint_id: str, event: endpoints.DeploymentAdded) -> Change:
        endpoint = self.endpoints[endpoint_id]
        deployments = {**endpoint.deployments, event.deployment_id: event.version}
        # The route changes too: callers may name the version before it takes a share of the traffic.
        silent = frozenset() if speaks_grpc(event.artifact.format) else frozenset({event.deployment_id})
        replaced = self._replace(
            endpoint_id,
            deployments=deployments,
            without_grpc=endpoint.without_grpc | silent,
            aliases=aliases_of(deployments, self.aliases),
        )
        return replaced | Change(endpoints=frozenset({endpoint_id}), deployments=frozenset({event.deployment_id}))

    def _remove_deployment(self, endpoint_id: str, deployment_id: str) -> Change:
        removed = self.endpoints[endpoint_id].removed | {deployment_id}
        return self._replace(endpoint_id, removed=removed)

    def _set_shadow(self, endpoint_id: str, shadow: Shadow | None) -> Change:
        before = self.endpoints[endpoint_id].shadow
        self._replace(endpoint_id, shadow=shadow)
        self._warm_shadow(endpoint_id)
        touched = {each.deployment_id for each in (before, shadow) if each}
        return Change(endpoints=frozenset({endpoint_id}), deployments=frozenset(touched))

    def _warm_shadow(self, endpoint_id: str) -> Change:
        shadow = self.endpoints[endpoint_id].shadow
        if shadow is None or shadow.is_warm or not self._of_deployment.get(shadow.deployment_id):
            return NOTHING
        return self._replace(endpoint_id, shadow=msgspec.structs.replace(shadow, is_warm=True)) | Change(
            endpoints=frozenset({endpoint_id})
        )

    def _rename_all(self) -> Change:
        anew = renamed(self.endpoints, self.aliases)
        for endpoint_id, aliases in anew.items():
            self.endpoints[endpoint_id] = msgspec.structs.replace(self.endpoints[endpoint_id], aliases=aliases)
        return Change(endpoints=frozenset(anew))

    def _note_applied(self, endpoint_id: str, epoch: int) -> Change:
        endpoint = self.endpoints[endpoint_id]
        highest = max(endpoint.reported_epoch, epoch)
        self.endpoints[endpoint_id] = msgspec.structs.replace(endpoint, reported_epoch=highest)
        return NOTHING

    def _announce(self, instance_id: str, event: endpoints.InstanceAnnounced) -> Change:
        change = self._withdraw(instance_id)
        if event.endpoint_id not in self.endpoints:
            return change
        self._place(
            Instance(
                id=instance_id,
                endpoint_id=event.endpoint_id,
                deployment_id=event.deployment_id,
                host=event.host,
                port=event.port,
                region=event.region,
                zone=event.zone,
            )
        )
        served = self._serve_if_ready(event.endpoint_id) | self._drop_removed(event.endpoint_id)
        warmed = self._warm_shadow(event.endpoint_id)
        return change | served | warmed | Change(deployments=frozenset({event.deployment_id}))

    def _withdraw(self, instance_id: str) -> Change:
        gone = self._instances.pop(instance_id, None)
        if gone is None:
            return NOTHING
        siblings = self._of_deployment[gone.deployment_id]
        del siblings[instance_id]
        if not siblings:
            del self._of_deployment[gone.deployment_id]
        return Change(deployments=frozenset({gone.deployment_id}))

    def _take_tokens(self, tokens: TokenRules) -> Change:
        if tokens == self.tokens:
            return NOTHING
        self.tokens = tokens
        return Change(has_new_tokens=True)

    def _replace(self, endpoint_id: str, **fields: object) -> Change:
        self.endpoints[endpoint_id] = msgspec.structs.replace(self.endpoints[endpoint_id], **fields)
        self._index(self.endpoints[endpoint_id])
        return self._serve_if_ready(endpoint_id) | self._drop_removed(endpoint_id)

    def _serve_if_ready(self, endpoint_id: str) -> Change:
        endpoint = self.endpoints[endpoint_id]
        if endpoint.wanted == endpoint.served or self.waiting(endpoint_id):
            return NOTHING
        self.endpoints[endpoint_id] = msgspec.structs.replace(endpoint, served=endpoint.wanted)
        return Change(endpoints=frozenset({endpoint_id}))

    def _drop_removed(self, endpoint_id: str) -> Change:
        endpoint = self.endpoints[endpoint_id]
        gone = endpoint.removed - (endpoint.served.deployments() if endpoint.served else frozenset())
        if not gone:
            return NOTHING
        left = {key: version for key, version in endpoint.deployments.items() if key not in gone}
        self.endpoints[endpoint_id] = msgspec.structs.replace(
            endpoint,
            deployments=left,
            aliases=aliases_of(left, self.aliases),
            removed=endpoint.removed - gone,
            without_grpc=endpoint.without_grpc - gone,
            placements={key: regions for key, regions in endpoint.placements.items() if key not in gone},
            failovers=tuple(each for each in endpoint.failovers if each.deployment_id not in gone),
        )
        for deployment_id in gone:
            self._endpoint_of.pop(deployment_id, None)
        return Change(endpoints=frozenset({endpoint_id}), deployments=gone)

    def _place(self, instance: Instance) -> None:
        self._instances[instance.id] = instance
        self._of_deployment.setdefault(instance.deployment_id, {})[instance.id] = instance

    def _index(self, endpoint: EndpointRoute) -> None:
        for deployment_id in endpoint.deployments:
            self._endpoint_of[deployment_id] = endpoint.id
