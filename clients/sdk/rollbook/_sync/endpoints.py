# Generated from ../_async/endpoints.py by clients/sdk/generate.py; edit that one.
"""Endpoints, where a person would say less than HTTP asks for."""

from collections.abc import Mapping, Sequence

import msgspec

from rollbook import resources
from rollbook._sync import operations
from rollbook._wire import Object


class Endpoints(operations.Endpoints):
    """Endpoints of a workspace; each is named by its name or id."""

    def set_traffic(
        self,
        endpoint: str,
        weights: Mapping[str, float] | Sequence[resources.Weight | Object],
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> resources.Endpoint:
        """Split the traffic by deployment id; the weights are percent and sum to 100."""
        if isinstance(weights, Mapping):
            weights = [{"deployment_id": name, "weight_percent": weight} for name, weight in weights.items()]
        return super().set_traffic(endpoint, weights, reason=reason, idempotency_key=idempotency_key, if_match=if_match)

    def set_failover_policy(
        self,
        endpoint: str,
        policy: resources.FailoverPolicy | resources.FailoverPolicyBody | Object,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> resources.Endpoint:
        """Choose who answers in place of instances that cannot be reached; an endpoint's own policy is taken, too.

        The backup is named by its deployment or by its version, `model/number`.
        """
        if isinstance(policy, resources.FailoverPolicy):
            fields = msgspec.structs.asdict(policy)
            policy = {"backup": fields.pop("backup_deployment_id"), **fields}
        return super().set_failover_policy(endpoint, policy, reason, idempotency_key=idempotency_key, if_match=if_match)
