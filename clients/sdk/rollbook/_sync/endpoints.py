# Generated from ../_async/endpoints.py by generate_sync.py; edit that one.
"""Endpoints: the names that callers use, their deployments and their traffic."""

from collections.abc import Sequence
from typing import Any

import msgspec

from rollbook import _wire
from rollbook._sync.connection import Connection
from rollbook.resources import CapturePolicy, Deployment, Endpoint, EndpointScaling, FailoverPolicy, ScalingPolicy


class Endpoints:
    """Endpoints of a workspace; each is named by its name or id."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def create(
        self,
        name: str,
        *,
        version: str | None = None,
        replicas: int | None = None,
        description: str = "",
        regions: Sequence[str] = (),
    ) -> Endpoint:
        """Create an endpoint; with a version (`model/number`) it serves that one, in these regions or in all."""
        body = {
            "name": name,
            "version": version,
            "replicas": replicas,
            "description": description,
            "regions": list(regions),
        }
        return self._connection.command("/v1/endpoints", body, Endpoint)

    def get(self, endpoint: str) -> Endpoint:
        """Return an endpoint with its deployments, instances and traffic."""
        return self._connection.get(f"/v1/endpoints/{_wire.segment(endpoint)}", Endpoint)

    def list(self, *, limit: int | None = None) -> list[Endpoint]:
        """Return all endpoints, in the order they were made, or the first `limit` of them."""
        return self._connection.list_all("/v1/endpoints", _wire.Page[Endpoint], limit=limit)

    def deploy(
        self,
        endpoint: str,
        version: str,
        *,
        replicas: int = 1,
        regions: Sequence[str] = (),
    ) -> Deployment:
        """Make a version available on an endpoint, without traffic; each region gets the replicas."""
        body = {"version": version, "replicas": replicas, "regions": list(regions)}
        return self._connection.command(f"/v1/endpoints/{_wire.segment(endpoint)}/deployments", body, Deployment)

    def remove_deployment(self, endpoint: str, deployment_id: str, *, reason: str) -> Endpoint:
        """Take a deployment away that no traffic goes to; its engines drain and end."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/deployments/{_wire.segment(deployment_id)}/remove"
        return self._connection.command(path, {"reason": reason}, Endpoint)

    def set_traffic(self, endpoint: str, weights: dict[str, float], *, reason: str | None = None) -> Endpoint:
        """Split the traffic by deployment id; the weights are percent and sum to 100."""
        shares = [{"deployment_id": name, "weight_percent": weight} for name, weight in weights.items()]
        body = {"weights": shares, "reason": reason}
        return self._connection.command(
            f"/v1/endpoints/{_wire.segment(endpoint)}/traffic", body, Endpoint, method="PUT"
        )

    def rollback(self, endpoint: str, *, reason: str, epoch: int | None = None) -> Endpoint:
        """Return to an earlier traffic state, the one before this by default; an active rollout is aborted."""
        body = {"reason": reason, "epoch": epoch}
        return self._connection.command(f"/v1/endpoints/{_wire.segment(endpoint)}/rollback", body, Endpoint)

    def set_capture_policy(
        self, endpoint: str, policy: CapturePolicy, *, reason: str, if_match: int | None = None
    ) -> Endpoint:
        """Choose what is kept of an endpoint's predictions from now on; engines follow within seconds, unstopped.

        With `if_match`, the endpoint's `stream_version`, it is refused when someone else was faster.
        """
        return self._connection.command(
            f"/v1/endpoints/{_wire.segment(endpoint)}/capture-policy",
            {"policy": msgspec.to_builtins(policy), "reason": reason},
            Endpoint,
            method="PUT",
            if_match=if_match,
        )

    def set_scaling_policy(
        self, endpoint: str, policy: ScalingPolicy | None, *, reason: str, if_match: int | None = None
    ) -> Endpoint:
        """Choose what the number of replicas follows; without a policy it is what deployments were added with."""
        return self._connection.command(
            f"/v1/endpoints/{_wire.segment(endpoint)}/scaling-policy",
            {"policy": _wire.NULL if policy is None else msgspec.to_builtins(policy), "reason": reason},
            Endpoint,
            method="PUT",
            if_match=if_match,
        )

    def scaling(self, endpoint: str) -> EndpointScaling:
        """Return why each deployment has as many replicas as it has."""
        return self._connection.get(f"/v1/endpoints/{_wire.segment(endpoint)}/scaling", EndpointScaling)

    def place(self, endpoint: str, deployment_id: str, regions: Sequence[str], *, reason: str) -> Endpoint:
        """Have a deployment's instances in these regions alone; without any, wherever an agent is."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/deployments/{_wire.segment(deployment_id)}/regions"
        body = {"regions": list(regions), "reason": reason}
        return self._connection.command(path, body, Endpoint, method="PUT")

    def set_failover_policy(
        self, endpoint: str, policy: FailoverPolicy, *, reason: str, if_match: int | None = None
    ) -> Endpoint:
        """Choose who answers in place of instances that can't be reached; `rollbook.resources.FailoverPolicy` says how.

        `backup_deployment_id` may be the backup's version, `model/number`, too.
        """
        fields = msgspec.to_builtins(policy)
        return self._connection.command(
            f"/v1/endpoints/{_wire.segment(endpoint)}/failover-policy",
            {"policy": {"backup": fields.pop("backup_deployment_id"), **fields}, "reason": reason},
            Endpoint,
            method="PUT",
            if_match=if_match,
        )

    def set_shadow(
        self,
        endpoint: str,
        *,
        version: str | None = None,
        deployment_id: str | None = None,
        replicas: int | None = None,
        percent: float = 100.0,
        reason: str,
    ) -> Endpoint:
        """Copy a share of the requests to a version (or a ready deployment) whose answers nobody gets.

        `replicas` is what a version gets that has to be started for this.
        """
        body = {
            "version": version,
            "deployment_id": deployment_id,
            "replicas": replicas,
            "percent": percent,
            "reason": reason,
        }
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/shadow"
        return self._connection.command(path, body, Endpoint, method="PUT")

    def remove_shadow(self, endpoint: str, *, reason: str) -> Endpoint:
        """Copy nothing any more; the deployment stays."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/shadow/remove"
        return self._connection.command(path, {"reason": reason}, Endpoint)

    def compare_shadow(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        tolerance: float | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Return how often a shadow agrees with what callers got, how fast it is, and pairs that differ."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/shadow/comparison"
        question = {"since_ms": since_ms, "tolerance": tolerance, "limit": limit}
        return self._connection.get(path, dict[str, Any], **question)

    def choose_assignment_key(
        self, endpoint: str, *, header: str | None = None, claim: str | None = None, reason: str
    ) -> Endpoint:
        """Keep each caller on one version by a header's value or a claim of the token; name one of the two."""
        body = {"key": {"header": header, "claim": claim}, "reason": reason}
        return self._connection.command(
            f"/v1/endpoints/{_wire.segment(endpoint)}/assignment-key", body, Endpoint, method="PUT"
        )

    def metrics(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
        min_position: int | None = None,
    ) -> dict[str, Any]:
        """Return requests, errors and latency per deployment, epoch and time bucket, with the view's watermark."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/metrics"
        window = {"since_ms": since_ms, "bucket_ms": bucket_ms, "min_position": min_position}
        return self._connection.get(path, dict[str, Any], **window)

    def tokens(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
    ) -> dict[str, Any]:
        """Return what language models read and wrote per deployment and time bucket, with the view's watermark."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/tokens"
        return self._connection.get(path, dict[str, Any], since_ms=since_ms, bucket_ms=bucket_ms)

    def quality(
        self,
        endpoint: str,
        *,
        feedback_name: str = "label",
        since_ms: int | None = None,
        bucket_ms: int | None = None,
    ) -> dict[str, Any]:
        """Return the accuracy per deployment with the number of labels, with the view's watermark."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/quality"
        window = {"feedback_name": feedback_name, "since_ms": since_ms, "bucket_ms": bucket_ms}
        return self._connection.get(path, dict[str, Any], **window)

    def resources(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
    ) -> dict[str, Any]:
        """Return what each instance uses and has in hand, by time bucket, with the view's watermark."""
        path = f"/v1/endpoints/{_wire.segment(endpoint)}/resources"
        return self._connection.get(path, dict[str, Any], since_ms=since_ms, bucket_ms=bucket_ms)
