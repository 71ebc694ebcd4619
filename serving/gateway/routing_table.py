"""What the gateway is to serve, from the documents that it follows. Pure: no clock, no I/O."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood
from schemas.documents.access import Keyring, Principal
from schemas.documents.endpoints import Endpoint, Instance
from schemas.documents.models import Model
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import VersionReference
from serving.gateway.priorities import Home, Level, levels_of
from serving.gateway.route_documents import NOTHING, Change, difference, route_of
from serving.gateway.routing_state import Aliases, EndpointRoute, RoutingSnapshot, TokenRules
from serving.gateway.state_parts import ALIASES, ENDPOINT, INSTANCE, TOKENS, Key, Part, Parts
from serving.gateway.token_rules import renewed, with_keyring, with_subject, without_subject
from serving.gateway.version_aliases import aliases_of, renamed, with_model


class RoutingTable:
    """The fold. An epoch is served once each deployment with weight has an instance; until then the previous one is."""

    def __init__(self, snapshot: RoutingSnapshot, *, home: Home | None = None) -> None:
        self.home = home or Home()
        self.position = snapshot.position
        self.tokens = snapshot.tokens
        self.endpoints: dict[str, EndpointRoute] = {endpoint.id: endpoint for endpoint in snapshot.endpoints}
        self.aliases: Aliases = snapshot.aliases
        self._unkept: set[Key] = set()
        self._instances: dict[str, Instance] = {}
        self._of_deployment: dict[str, dict[str, Instance]] = {}
        self._endpoint_of: dict[str, str] = {}
        self._readers: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Change]]] = {
            "endpoint": (Endpoint, self._take_endpoint),
            "instance": (Instance, self._take_instance),
            "model": (Model, self._take_model),
            "keyring": (Keyring, self._take_keyring),
            "principal": (Principal, self._take_principal),
        }
        for instance in snapshot.instances:
            self._place(instance)
        for endpoint in snapshot.endpoints:
            self._index(endpoint)
        self._unkept.clear()

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

    def everything(self) -> Parts:
        """Return all parts of the state, from which a table can start."""
        keys: list[Key] = [(ENDPOINT, each) for each in self.endpoints]
        keys += [(INSTANCE, each) for each in self._instances]
        keys += [(ALIASES, each) for each in self.aliases]
        return self._parts([*keys, (TOKENS, "")])

    def unkept(self) -> Parts:
        """Return the parts that have changed since they were last noted as kept."""
        return self._parts(self._unkept)

    def has_kept(self, kept: Parts) -> None:
        """Note parts as kept, without those that have changed meanwhile."""
        self._unkept -= {key for key, part in kept.parts.items() if self._part(key) is part}

    def renew_tokens(self, tokens: TokenRules, *, at: str = "") -> Change:
        """Take keys and revocations that came from the control plane, and drop what has ended at a time (RFC 3339)."""
        return self._take_tokens(renewed(self.tokens, tokens, at=at))

    def take(self, read: Documents, *, lets_go: bool = False) -> Change:
        """Take documents, and skip those that only a newer release can read.

        What was removed has a record that says so for a month, so that a topic that is only being filled again takes
        nothing away. A table that is older than that `lets_go` of what is not among all documents.
        """
        change = NOTHING
        if lets_go and read.is_all:
            change |= self._let_go_of_others({record.id for record in read.records})
        for record in read.records:
            change |= self._take(record)
        self.position = max(self.position, read.position)
        return change

    def _let_go_of_others(self, there: set[str]) -> Change:
        gone = (self.endpoints.keys() | self._instances.keys() | set(self.tokens.known_subjects)) - there
        return reduce(or_, map(self._remove, gone), NOTHING)

    def _take(self, record: StateRecord | Removed) -> Change:
        if isinstance(record, Removed):
            return self._remove(record.id)
        if (reader := self._readers.get(record.kind)) is None:
            return NOTHING
        kind, take = reader
        document = document_understood(record, kind)
        return NOTHING if document is None else take(document)

    def _remove(self, document_id: str) -> Change:
        if document_id in self.endpoints:
            return self._remove_endpoint(document_id)
        return self._withdraw(document_id) | self._take_tokens(without_subject(self.tokens, document_id))

    def _take_endpoint(self, document: Endpoint) -> Change:
        before = self.endpoints.get(document.id)
        after = route_of(document, before, aliases=self.aliases, home=self.home)
        self._hold(after)
        self._index(after)
        settled = self._serve_if_ready(document.id) | self._drop_removed(document.id) | self._warm_shadow(document.id)
        return difference(before, after) | settled

    def _remove_endpoint(self, endpoint_id: str) -> Change:
        """Forget an endpoint; its instances are withdrawn by their agents."""
        endpoint = self.endpoints.pop(endpoint_id)
        self._unkept.add((ENDPOINT, endpoint_id))
        for deployment_id in endpoint.deployments:
            self._endpoint_of.pop(deployment_id, None)
        return Change(
            endpoints=frozenset({endpoint_id}),
            deployments=frozenset(endpoint.deployments),
            workspaces=frozenset({endpoint.workspace}),
        )

    def _take_instance(self, document: Instance) -> Change:
        if document.phase != "announced":
            return self._withdraw(document.id)
        if self._instances.get(document.id) == document:
            return NOTHING
        change = self._withdraw(document.id)
        self._place(document)
        if document.endpoint_id not in self.endpoints:
            return change
        served = self._serve_if_ready(document.endpoint_id) | self._drop_removed(document.endpoint_id)
        warmed = self._warm_shadow(document.endpoint_id)
        return change | served | warmed | Change(deployments=frozenset({document.deployment_id}))

    def _take_model(self, document: Model) -> Change:
        self.aliases = with_model(self.aliases, document)
        self._unkept.add((ALIASES, document.id))
        return self._rename_all()

    def _take_keyring(self, document: Keyring) -> Change:
        return self._take_tokens(with_keyring(self.tokens, document))

    def _take_principal(self, document: Principal) -> Change:
        return self._take_tokens(with_subject(self.tokens, document.id))

    def _rename_all(self) -> Change:
        anew = renamed(self.endpoints, self.aliases)
        for endpoint_id, aliases in anew.items():
            self._hold(msgspec.structs.replace(self.endpoints[endpoint_id], aliases=aliases))
        return Change(endpoints=frozenset(anew))

    def _withdraw(self, instance_id: str) -> Change:
        gone = self._instances.pop(instance_id, None)
        if gone is None:
            return NOTHING
        self._unkept.add((INSTANCE, instance_id))
        siblings = self._of_deployment[gone.deployment_id]
        del siblings[instance_id]
        if not siblings:
            del self._of_deployment[gone.deployment_id]
        return Change(deployments=frozenset({gone.deployment_id}))

    def _warm_shadow(self, endpoint_id: str) -> Change:
        endpoint = self.endpoints[endpoint_id]
        shadow = endpoint.shadow
        if shadow is None or shadow.is_warm or not self._of_deployment.get(shadow.deployment_id):
            return NOTHING
        self._hold(msgspec.structs.replace(endpoint, has_warm_shadow=True))
        return Change(endpoints=frozenset({endpoint_id}))

    def _take_tokens(self, tokens: TokenRules) -> Change:
        if tokens == self.tokens:
            return NOTHING
        self.tokens = tokens
        self._unkept.add((TOKENS, ""))
        return Change(has_new_tokens=True)

    def _serve_if_ready(self, endpoint_id: str) -> Change:
        endpoint = self.endpoints[endpoint_id]
        if endpoint.wanted == endpoint.served or self.waiting(endpoint_id):
            return NOTHING
        self._hold(msgspec.structs.replace(endpoint, served=endpoint.wanted))
        return Change(endpoints=frozenset({endpoint_id}))

    def _drop_removed(self, endpoint_id: str) -> Change:
        endpoint = self.endpoints[endpoint_id]
        gone = endpoint.removed - (endpoint.served.deployments() if endpoint.served else frozenset())
        if not gone:
            return NOTHING
        left = {key: version for key, version in endpoint.deployments.items() if key not in gone}
        self._hold(
            msgspec.structs.replace(
                endpoint,
                deployments=left,
                aliases=aliases_of(left, self.aliases),
                removed=endpoint.removed - gone,
                without_grpc=endpoint.without_grpc - gone,
                placements={key: regions for key, regions in endpoint.placements.items() if key not in gone},
            )
        )
        for deployment_id in gone:
            self._endpoint_of.pop(deployment_id, None)
        return Change(endpoints=frozenset({endpoint_id}), deployments=gone)

    def _hold(self, endpoint: EndpointRoute) -> None:
        # Documents are read again at each start; most are as they were.
        if self.endpoints.get(endpoint.id) != endpoint:
            self.endpoints[endpoint.id] = endpoint
            self._unkept.add((ENDPOINT, endpoint.id))

    def _place(self, instance: Instance) -> None:
        self._instances[instance.id] = instance
        self._unkept.add((INSTANCE, instance.id))
        self._of_deployment.setdefault(instance.deployment_id, {})[instance.id] = instance

    def _index(self, endpoint: EndpointRoute) -> None:
        for deployment_id in endpoint.deployments:
            self._endpoint_of[deployment_id] = endpoint.id

    def _parts(self, keys: Iterable[Key]) -> Parts:
        return Parts(position=self.position, parts={key: self._part(key) for key in keys})

    def _part(self, key: Key) -> Part | None:
        kind, identifier = key
        there: Mapping[str, Mapping[str, Part]] = {
            ENDPOINT: self.endpoints,
            INSTANCE: self._instances,
            ALIASES: self.aliases,
            TOKENS: {"": self.tokens},
        }
        return there[kind].get(identifier)
