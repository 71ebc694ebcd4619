# Generated from ../_async/operations.py by clients/sdk/generate.py; edit that one.
"""A method for each operation of the API.

Generated from schemas/generated/openapi.json by clients/sdk/generate.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rollbook import _wire
from rollbook import resources as types
from rollbook._sync.connection import Connection
from rollbook._wire import Object


class Artifacts:
    """The operations `artifacts`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def put(self, digest: str, content: Path | bytes) -> types.StoredArtifact:
        """Upload a file under the digest of its content.

        Refused with `artifact-digest-differs`, `artifact-quota-exceeded`, `artifact-store-unavailable`,
        `artifact-too-large`, `malformed-digest`, `too-many-uploads`, `upload-cut-short`.
        """
        return self._connection.upload(
            _wire.path("/v1/artifacts/{digest}", digest=digest), content, types.StoredArtifact
        )

    def download(self, digest: str, to: Path) -> None:
        """Download a file, or part of it with Range.

        Refused with `artifact-not-found`, `artifact-store-unavailable`, `duty-differs`, `malformed-digest`,
        `range-not-satisfiable`.
        """
        return self._connection.download(_wire.path("/v1/artifacts/{digest}", digest=digest), to)


class Batches:
    """The operations `batches`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def cancel(self, batch_id: str, reason: str, *, idempotency_key: str | None = None) -> types.Batch:
        """Request the cancellation of a batch.

        Refused with `batch-finished`, `batch-not-found`, `duty-differs`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/batches/{batch_id}/cancel", batch_id=batch_id),
            _wire.body({"reason": reason}),
            types.Batch,
            idempotency_key=idempotency_key,
        )

    def get(self, batch_id: str) -> types.Batch:
        """Get a batch by its id.

        Refused with `batch-not-found`, `duty-differs`.
        """
        return self._connection.get(_wire.path("/v1/batches/{batch_id}", batch_id=batch_id), types.Batch)

    def list(self, *, phase: str | None = None, limit: int | None = None) -> list[types.Batch]:
        """List the batches, oldest first.

        Refused with `duty-differs`.
        """
        return self._connection.list_all(_wire.path("/v1/batches"), types.BatchPage, limit=limit, phase=phase)


class Endpoints:
    """The operations `endpoints`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        version: str | None = None,
        replicas: int | None = None,
        regions: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Create an endpoint, optionally serving a version from the start.

        With a version, the endpoint serves it from the start.

        Refused with `endpoint-name-taken`, `invalid-name`, `invalid-regions`, `invalid-replicas`,
        `parent-not-deployed`, `version-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints"),
            _wire.body({"name": name}, description=description, version=version, replicas=replicas, regions=regions),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def get(self, endpoint: str) -> types.Endpoint:
        """Get an endpoint by its name or id.

        Refused with `duty-differs`, `endpoint-not-found`.
        """
        return self._connection.get(_wire.path("/v1/endpoints/{endpoint}", endpoint=endpoint), types.Endpoint)

    def remove(
        self, endpoint: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.RemovedEndpoint:
        """Stop serving an endpoint for good, and free its name.

        Stop serving an endpoint for good. Callers get 404 from then on, its instances end, and its name is free.

        Refused with `endpoint-not-found`, `endpoint-owned-by-rollout`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints/{endpoint}/remove", endpoint=endpoint),
            _wire.body({"reason": reason}),
            types.RemovedEndpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def deploy(
        self,
        endpoint: str,
        version: str,
        *,
        replicas: int | None = None,
        regions: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Deployment:
        """Deploy a version to an endpoint, without traffic.

        Each of the regions gets the replicas; without any, each that has an agent.

        Refused with `endpoint-not-found`, `invalid-regions`, `invalid-replicas`, `parent-not-deployed`,
        `version-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints/{endpoint}/deployments", endpoint=endpoint),
            _wire.body({"version": version}, replicas=replicas, regions=regions),
            types.Deployment,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def remove_deployment(
        self,
        endpoint: str,
        deployment_id: str,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Remove a deployment that serves no traffic.

        Refused with `deployment-has-adapters`, `deployment-is-backup`, `deployment-is-shadow`, `deployment-not-found`,
        `deployment-takes-traffic`, `endpoint-not-found`, `endpoint-owned-by-rollout`.
        """
        return self._connection.command(
            "POST",
            _wire.path(
                "/v1/endpoints/{endpoint}/deployments/{deployment_id}/remove",
                endpoint=endpoint,
                deployment_id=deployment_id,
            ),
            _wire.body({"reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def place(
        self,
        endpoint: str,
        deployment_id: str,
        regions: Sequence[str],
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Set the regions in which a deployment runs its instances.

        Refused with `deployment-not-found`, `endpoint-not-found`, `invalid-regions`.
        """
        return self._connection.command(
            "PUT",
            _wire.path(
                "/v1/endpoints/{endpoint}/deployments/{deployment_id}/regions",
                endpoint=endpoint,
                deployment_id=deployment_id,
            ),
            _wire.body({"regions": regions, "reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_traffic(
        self,
        endpoint: str,
        weights: Sequence[types.Weight | Object],
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Set the traffic split by hand.

        Refused with `deployment-not-found`, `deployment-not-ready`, `endpoint-not-found`, `endpoint-owned-by-rollout`,
        `invalid-weights`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/traffic", endpoint=endpoint),
            _wire.body({"weights": weights}, reason=reason),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def choose_assignment_key(
        self,
        endpoint: str,
        key: types.AssignmentKey | Object,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Choose the key that keeps a caller on one version.

        Assign callers to versions by this key from now on.

        Refused with `endpoint-not-found`, `invalid-assignment-key`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/assignment-key", endpoint=endpoint),
            _wire.body({"key": key, "reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_capture_policy(
        self,
        endpoint: str,
        policy: types.CapturePolicy | Object,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Choose what is captured of predictions, and how long it is kept.

        Capture this of predictions from now on; it replaces the whole policy.

        Refused with `endpoint-not-found`, `invalid-capture-policy`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/capture-policy", endpoint=endpoint),
            _wire.body({"policy": policy, "reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_failover_policy(
        self,
        endpoint: str,
        policy: types.FailoverPolicyBody | Object,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Choose who answers when instances cannot be reached.

        Refused with `endpoint-not-found`, `invalid-failover-policy`, `invalid-regions`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/failover-policy", endpoint=endpoint),
            _wire.body({"policy": policy, "reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_shadow(
        self,
        endpoint: str,
        reason: str,
        *,
        deployment_id: str | None = None,
        version: str | None = None,
        replicas: int | None = None,
        percent: float | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Copy a share of the requests to a version whose answers no caller sees.

        Name a deployment that is ready, or a version, which gets a deployment of its own unless it has an idle one.

        Refused with `deployment-not-found`, `deployment-not-ready`, `deployment-takes-traffic`, `endpoint-not-found`,
        `endpoint-owned-by-rollout`, `invalid-regions`, `invalid-replicas`, `invalid-shadow`, `parent-not-deployed`,
        `version-not-found`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/shadow", endpoint=endpoint),
            _wire.body(
                {"reason": reason}, deployment_id=deployment_id, version=version, replicas=replicas, percent=percent
            ),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def remove_shadow(
        self, endpoint: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Endpoint:
        """Stop copying requests to the shadow; its deployment stays.

        Refused with `endpoint-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints/{endpoint}/shadow/remove", endpoint=endpoint),
            _wire.body({"reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_scaling_policy(
        self,
        endpoint: str,
        policy: types.ScalingPolicy | Object | None,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Set the policy by which replicas are scaled, or remove it.

        Let replicas follow this policy; without one (null) each deployment gets the replicas that it was added with.

        Refused with `endpoint-not-found`, `invalid-scaling-policy`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/endpoints/{endpoint}/scaling-policy", endpoint=endpoint),
            _wire.body({"policy": policy, "reason": reason}),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def scaling(self, endpoint: str) -> types.EndpointScaling:
        """Explain the current number of replicas.

        Refused with `duty-differs`, `endpoint-not-found`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/scaling", endpoint=endpoint), types.EndpointScaling
        )

    def rollback(
        self,
        endpoint: str,
        reason: str,
        *,
        epoch: int | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Endpoint:
        """Restore an earlier traffic split.

        Without an epoch, restore the traffic before the current one.

        Refused with `deployment-not-ready`, `earlier-traffic-gone`, `endpoint-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints/{endpoint}/rollback", endpoint=endpoint),
            _wire.body({"reason": reason}, epoch=epoch),
            types.Endpoint,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def feature_summaries(
        self,
        endpoint: str,
        from_ms: int,
        to_ms: int,
        *,
        window_ms: int | None = None,
        deployment_id: str | None = None,
        features: Sequence[str] | None = None,
    ) -> types.FeatureSummaries:
        """Get the distribution of each captured feature of each deployment, by windows of time.

        Of which time, in windows of which length, and of what; by default, of every feature of every deployment.

        Times are Unix milliseconds. A window begins at a multiple of its length. The first one is that of `from_ms` and
        the last one that of `to_ms` - 1, and both are whole.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/endpoints/{endpoint}/feature-summaries", endpoint=endpoint),
            _wire.body(
                {"from_ms": from_ms, "to_ms": to_ms},
                window_ms=window_ms,
                deployment_id=deployment_id,
                features=features,
            ),
            types.FeatureSummaries,
        )

    def feedback(self, endpoint: str, *, since_ms: int | None = None) -> types.EndpointFeedback:
        """Count the feedback on an endpoint: what can be used as a label or a number, what came late or twice.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/feedback", endpoint=endpoint),
            types.EndpointFeedback,
            since_ms=since_ms,
        )

    def measurement(
        self,
        endpoint: str,
        epoch: int,
        candidate: str,
        baseline: str,
        *,
        latency_threshold_ms: float | None = None,
        feedback_name: str | None = None,
        loss_name: str | None = None,
        loss_threshold: float | None = None,
        rating_name: str | None = None,
        rating_threshold: float | None = None,
        first_token_threshold_ms: float | None = None,
        between_tokens_threshold_ms: float | None = None,
        answer_tokens_threshold: int | None = None,
        truncation: bool | None = None,
    ) -> types.Measured:
        """Get the counts of one traffic epoch, by version, up to a watermark.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/measurement", endpoint=endpoint),
            types.Measured,
            epoch=epoch,
            candidate=candidate,
            baseline=baseline,
            latency_threshold_ms=latency_threshold_ms,
            feedback_name=feedback_name,
            loss_name=loss_name,
            loss_threshold=loss_threshold,
            rating_name=rating_name,
            rating_threshold=rating_threshold,
            first_token_threshold_ms=first_token_threshold_ms,
            between_tokens_threshold_ms=between_tokens_threshold_ms,
            answer_tokens_threshold=answer_tokens_threshold,
            truncation=truncation,
        )

    def measurements(self, items: Sequence[types.MeasureEpochOf | Object]) -> types.MeasuredResults:
        """Get the counts of up to 500 traffic epochs; one that cannot be counted does not fail the others.

        Epochs of any endpoints, at most 500.

        Refused with `duty-differs`, `view-unavailable`.
        """
        return self._connection.command(
            "POST", _wire.path("/v1/measurements"), _wire.body({"items": items}), types.MeasuredResults
        )

    def quality(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
        feedback_name: str | None = None,
    ) -> types.Quality:
        """Get the accuracy of each version, with its count of labels.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/quality", endpoint=endpoint),
            types.Quality,
            since_ms=since_ms,
            bucket_ms=bucket_ms,
            feedback_name=feedback_name,
        )

    def resources(
        self, endpoint: str, *, since_ms: int | None = None, bucket_ms: int | None = None
    ) -> types.ResourcesOverTime:
        """Get what an endpoint's instances use, and the requests in progress.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/resources", endpoint=endpoint),
            types.ResourcesOverTime,
            since_ms=since_ms,
            bucket_ms=bucket_ms,
        )

    def metrics(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
        by: Literal["deployment"] | None = None,
    ) -> types.Metrics:
        """Get requests, errors by class and latency over time.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/metrics", endpoint=endpoint),
            types.Metrics,
            since_ms=since_ms,
            bucket_ms=bucket_ms,
            by=by,
        )

    def tokens(self, endpoint: str, *, since_ms: int | None = None, bucket_ms: int | None = None) -> types.Tokens:
        """Get token counts, stream timings and finish reasons over time.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/tokens", endpoint=endpoint),
            types.Tokens,
            since_ms=since_ms,
            bucket_ms=bucket_ms,
        )

    def compare_shadow(
        self,
        endpoint: str,
        *,
        since_ms: int | None = None,
        tolerance: float | None = None,
        limit: int | None = None,
        only_different: bool | None = None,
    ) -> types.Comparisons:
        """Compare a shadow's answers with those that callers got.

        Refused with `bad-query`, `duty-differs`, `endpoint-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/endpoints/{endpoint}/shadow/comparison", endpoint=endpoint),
            types.Comparisons,
            since_ms=since_ms,
            tolerance=tolerance,
            limit=limit,
            only_different=only_different,
        )

    def list(self, *, query: str | None = None, limit: int | None = None) -> list[types.Endpoint]:
        """List the endpoints, oldest first.

        Refused with `duty-differs`.
        """
        return self._connection.list_all(_wire.path("/v1/endpoints"), types.EndpointPage, limit=limit, query=query)


class Feedback:
    """The operations `feedback`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def send(self, items: Sequence[types.FeedbackItem | Object]) -> types.Accepted:
        """Send labels, ratings and outcomes of predictions.

        Up to 1,000 items; all are taken, or none.

        Refused with `duty-differs`, `feedback-busy`, `invalid-feedback`, `kafka-unavailable`.
        """
        return self._connection.command(
            "POST", _wire.path("/v1/feedback"), _wire.body({"items": items}), types.Accepted
        )

    def summary(self, *, since_ms: int | None = None) -> types.WorkspaceFeedback:
        """Count the feedback of each source: what came twice, was corrected, or is on no known prediction.

        Refused with `bad-query`, `duty-differs`, `view-unavailable`.
        """
        return self._connection.get(_wire.path("/v1/feedback"), types.WorkspaceFeedback, since_ms=since_ms)


class Health:
    """The operations `health`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def live(self) -> types.Health:
        """Tell whether the process answers."""
        return self._connection.get(_wire.path("/healthz"), types.Health)

    def ready(self) -> types.Readiness:
        """Tell whether the API accepts commands, with the state of what it depends on."""
        return self._connection.get(_wire.path("/readyz"), types.Readiness)


class InferenceTokens:
    """The operations `inference_tokens`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def mint(self, endpoints: Sequence[str], *, ttl_s: int | None = None) -> types.MintedToken:
        """Mint an inference token for the gateway.

        Refused with `duty-differs`, `endpoint-not-found`, `signing-key-missing`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/inference-tokens"),
            _wire.body({"endpoints": endpoints}, ttl_s=ttl_s),
            types.MintedToken,
        )

    def keys(self, *, workspace: str | None = None) -> types.KeySet:
        """Get the public keys that inference tokens are verified with."""
        return self._connection.get(_wire.path("/v1/inference-tokens/keys"), types.KeySet, workspace=workspace)

    def rotate_key(
        self,
        reason: str,
        *,
        overlap_s: int | None = None,
        lead_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> types.Keyring:
        """Rotate the key that signs inference tokens.

        Sign with a new key, `lead_s` seconds from now, once every gateway has it.

        Tokens of the key before stay valid for `overlap_s` more seconds; 0 ends them, and every other key, at once.

        Refused with `key-rotation-under-way`, `signing-key-missing`, `too-many-signing-keys`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/inference-tokens/rotate-key"),
            _wire.body({"reason": reason}, overlap_s=overlap_s, lead_s=lead_s),
            types.Keyring,
            idempotency_key=idempotency_key,
        )

    def revoke(
        self,
        reason: str,
        *,
        token_id: str | None = None,
        principal_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> types.Keyring:
        """Revoke an inference token, or all of a principal's.

        Refuse one token by its id (`jti`), or all that a principal has minted until now.

        Refused with `principal-not-found`, `revocation-unclear`, `too-many-revocations`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/inference-tokens/revoke"),
            _wire.body({"reason": reason}, token_id=token_id, principal_id=principal_id),
            types.Keyring,
            idempotency_key=idempotency_key,
        )


class Log:
    """The operations `log`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def read(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        stream: str | None = None,
        type_: str | None = None,
        wait_ms: int | None = None,
        all_workspaces: bool | None = None,
    ) -> types.Feed:
        """Read the log in order, waiting for the next event if there is none yet.

        Refused with `duty-differs`, `home-workspace-only`.
        """
        return self._connection.get(
            _wire.path("/v1/events"),
            types.Feed,
            after=after,
            limit=limit,
            stream=stream,
            type=type_,
            wait_ms=wait_ms,
            all_workspaces=all_workspaces,
        )

    def checkpoint(self) -> types.SignedCheckpoint:
        """Get a signed checkpoint of the whole log.

        Refused with `duty-differs`.
        """
        return self._connection.get(_wire.path("/v1/audit/checkpoint"), types.SignedCheckpoint)


class Models:
    """The operations `models`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def register(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Model:
        """Register a model.

        Refused with `invalid-name`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/models"),
            _wire.body({"name": name}, description=description, tags=tags),
            types.Model,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Model:
        """Point an alias at a version; callers of endpoint:alias follow at once.

        Point an alias at a version of the model, by its number.

        Refused with `invalid-alias`, `model-not-found`, `version-not-found`.
        """
        return self._connection.command(
            "PUT",
            _wire.path("/v1/models/{model}/aliases/{alias}", model=model, alias=alias),
            _wire.body({"version": version}, reason=reason),
            types.Model,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def remove_alias(
        self, model: str, alias: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Model:
        """Remove an alias.

        Refused with `invalid-alias`, `model-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/models/{model}/aliases/{alias}/remove", model=model, alias=alias),
            _wire.body({"reason": reason}),
            types.Model,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def get(self, model: str) -> types.Model:
        """Get a model by its name or id.

        Refused with `duty-differs`, `model-not-found`.
        """
        return self._connection.get(_wire.path("/v1/models/{model}", model=model), types.Model)

    def list(self, *, query: str | None = None, limit: int | None = None) -> list[types.Model]:
        """List the models, oldest first.

        Refused with `duty-differs`.
        """
        return self._connection.list_all(_wire.path("/v1/models"), types.ModelPage, limit=limit, query=query)


class Monitors:
    """The operations `monitors`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def create(
        self,
        name: str,
        endpoint: str,
        reference: types.ReferenceTraffic | Object,
        *,
        detector: Literal["input_drift", "prediction_drift"] | None = None,
        features: Sequence[str] | None = None,
        window_s: int | None = None,
        false_alarm_budget: float | None = None,
        settling_windows: int | None = None,
        bounds: types.Bounds | Object | None = None,
        idempotency_key: str | None = None,
    ) -> types.Monitor:
        """Watch an endpoint for drift, with a budget for false alarms.

        Have an endpoint watched.

        Refused with `endpoint-not-found`, `invalid-monitor`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors"),
            _wire.body(
                {"name": name, "endpoint": endpoint, "reference": reference},
                detector=detector,
                features=features,
                window_s=window_s,
                false_alarm_budget=false_alarm_budget,
                settling_windows=settling_windows,
                bounds=bounds,
            ),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def get(self, monitor: str) -> types.Monitor:
        """Get a monitor by its name or id: what it watches, and what it found.

        Refused with `duty-differs`, `monitor-not-found`.
        """
        return self._connection.get(_wire.path("/v1/monitors/{monitor}", monitor=monitor), types.Monitor)

    def change(
        self,
        monitor: str,
        reason: str,
        *,
        features: Sequence[str] | None = None,
        false_alarm_budget: float | None = None,
        settling_windows: int | None = None,
        bounds: types.Bounds | Object | None = None,
        idempotency_key: str | None = None,
    ) -> types.Monitor:
        """Change what a monitor watches; its evidence begins anew.

        Change what is named, and begin the evidence anew.

        Refused with `drift-unacknowledged`, `invalid-monitor`, `monitor-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors/{monitor}/change", monitor=monitor),
            _wire.body(
                {"reason": reason},
                features=features,
                false_alarm_budget=false_alarm_budget,
                settling_windows=settling_windows,
                bounds=bounds,
            ),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def pause(self, monitor: str, reason: str, *, idempotency_key: str | None = None) -> types.Monitor:
        """Stop the looks of a monitor.

        Stop the looks.

        Refused with `monitor-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors/{monitor}/pause", monitor=monitor),
            _wire.body({"reason": reason}),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def resume(self, monitor: str, reason: str, *, idempotency_key: str | None = None) -> types.Monitor:
        """Let a paused monitor look again.

        Let the looks go on, with what comes from now on.

        Refused with `monitor-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors/{monitor}/resume", monitor=monitor),
            _wire.body({"reason": reason}),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def acknowledge(self, monitor: str, reason: str, *, idempotency_key: str | None = None) -> types.Monitor:
        """Acknowledge a drift, and gather evidence anew.

        Say that a drift was seen to; evidence is gathered anew from then on.

        Refused with `monitor-not-found`, `no-drift-to-acknowledge`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors/{monitor}/acknowledge", monitor=monitor),
            _wire.body({"reason": reason}),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def remove(self, monitor: str, reason: str, *, idempotency_key: str | None = None) -> types.Monitor:
        """Remove a monitor.

        Remove the monitor, so that its name is free.

        Refused with `monitor-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/monitors/{monitor}/remove", monitor=monitor),
            _wire.body({"reason": reason}),
            types.Monitor,
            idempotency_key=idempotency_key,
        )

    def list(self, *, endpoint: str | None = None, limit: int | None = None) -> list[types.Monitor]:
        """List the monitors, oldest first.

        Refused with `duty-differs`.
        """
        return self._connection.list_all(_wire.path("/v1/monitors"), types.MonitorPage, limit=limit, endpoint=endpoint)


class Predictions:
    """The operations `predictions`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def who_served(self, prediction_id: str) -> types.Prediction:
        """Find the version that answered a prediction, and the event that routed it.

        Refused with `bad-query`, `duty-differs`, `prediction-not-found`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/predictions/{prediction_id}", prediction_id=prediction_id), types.Prediction
        )

    def who_served_each(self, prediction_ids: Sequence[str]) -> types.Lookup:
        """Find the versions that answered up to 10,000 predictions.

        Name the predictions by their ids.

        Refused with `bad-query`, `duty-differs`, `view-unavailable`.
        """
        return self._connection.command(
            "POST", _wire.path("/v1/predictions/lookup"), _wire.body({"prediction_ids": prediction_ids}), types.Lookup
        )


class Principals:
    """The operations `principals`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def register(
        self,
        kind: Literal["person", "service"],
        name: str,
        role: Literal["admin", "operator", "service", "viewer"],
        *,
        email: str | None = None,
        duty: Literal["agent", "autoscaler", "batches", "drift", "gateway", "judge"] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.IssuedToken:
        """Register a person or a program, and issue its first token.

        The answer holds the first token, which is shown only this once.

        A service with a duty may only do what that program of Rollbook does, such as the agent of another host.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/principals"),
            _wire.body({"kind": kind, "name": name, "role": role}, email=email, duty=duty),
            types.IssuedToken,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def grant_role(
        self,
        principal_id: str,
        role: Literal["admin", "operator", "service", "viewer"],
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Changed:
        """Grant a principal a role.

        Refused with `last-admin`, `principal-erased`, `principal-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/principals/{principal_id}/role", principal_id=principal_id),
            _wire.body({"role": role}, reason=reason),
            types.Changed,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def erase(
        self, principal_id: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Changed:
        """Erase a person's data by destroying the keys that it is encrypted with.

        The keys of the person's values are destroyed; what was written under them can never be read again.

        Refused with `last-admin`, `principal-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/principals/{principal_id}/erase", principal_id=principal_id),
            _wire.body({"reason": reason}),
            types.Changed,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def issue_token(
        self,
        principal_id: str,
        *,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.IssuedToken:
        """Issue another token to a principal.

        Without `ttl_s` the token is valid until it is revoked.

        Refused with `principal-erased`, `principal-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/principals/{principal_id}/tokens", principal_id=principal_id),
            _wire.body({}, ttl_s=ttl_s),
            types.IssuedToken,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def revoke_token(
        self,
        principal_id: str,
        token_id: str,
        reason: str,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Changed:
        """Revoke a token.

        Refused with `last-admin`, `principal-not-found`, `token-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path(
                "/v1/principals/{principal_id}/tokens/{token_id}/revoke", principal_id=principal_id, token_id=token_id
            ),
            _wire.body({"reason": reason}),
            types.Changed,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def list(self, *, limit: int | None = None) -> list[types.Principal]:
        """List the principals."""
        return self._connection.list_all(_wire.path("/v1/principals"), types.PrincipalPage, limit=limit)


class Rollouts:
    """The operations `rollouts`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def start(
        self,
        endpoint: str,
        version: str,
        *,
        replicas: int | None = None,
        strategy: types.Canary | Object | None = None,
        gates: Sequence[types.Gate | Object] | None = None,
        alpha: float | None = None,
        when_inconclusive: Literal["abort", "pause"] | None = None,
        warm_up_timeout_ms: int | None = None,
        max_lag_ms: int | None = None,
        allow_signature_change: bool | None = None,
        when_region_away: Literal["excuse", "hold"] | None = None,
        region_grace_ms: int | None = None,
        when_late: Literal["abort", "pause"] | None = None,
        when_no_data: Literal["abort", "pass", "pause"] | None = None,
        when_too_little_data: Literal["abort", "pass", "pause"] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Rollout:
        """Start a rollout of a version, in steps guarded by gates.

        Without a strategy: 5, 25, 50 and 100 %, five minutes to an hour each, then five minutes of bake time.

        Without gates: at most 2 points more failed requests than the baseline beside it, on at least 500 requests. What
        a request may take and which feedback is the truth only its owner knows. No gate passes while records of more
        than the last `max_lag_ms` are missing; one that fails on the records that are there fails all the same. A
        version that does not accept the inputs of the one that serves is only rolled out with `allow_signature_change`.

        A step begins when every region serves it. One that does not after `region_grace_ms` holds the step, or is
        excused where `when_region_away` says so.

        A step that is undecided after its longest duration ends as `when_inconclusive` says: it pauses or aborts. Late
        records (`when_late`) and gates with no data or too little (`when_no_data`, `when_too_little_data`) can have
        settings of their own. With `pass` the rollout goes on without such a gate. If gates differ, the strictest
        setting decides: abort before pause before pass.

        Refused with `baseline-not-ready`, `endpoint-not-found`, `invalid-replicas`, `invalid-rollout`, `no-baseline`,
        `parent-not-deployed`, `rollout-active`, `signature-changed`, `version-already-live`, `version-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/rollouts"),
            _wire.body(
                {"endpoint": endpoint, "version": version},
                replicas=replicas,
                strategy=strategy,
                gates=gates,
                alpha=alpha,
                when_inconclusive=when_inconclusive,
                warm_up_timeout_ms=warm_up_timeout_ms,
                max_lag_ms=max_lag_ms,
                allow_signature_change=allow_signature_change,
                when_region_away=when_region_away,
                region_grace_ms=region_grace_ms,
                when_late=when_late,
                when_no_data=when_no_data,
                when_too_little_data=when_too_little_data,
            ),
            types.Rollout,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def get(self, rollout_id: str) -> types.Rollout:
        """Get a rollout: its phase, its step and the last verdicts.

        Refused with `duty-differs`, `rollout-not-found`.
        """
        return self._connection.get(_wire.path("/v1/rollouts/{rollout_id}", rollout_id=rollout_id), types.Rollout)

    def pause(
        self, rollout_id: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Rollout:
        """Pause a rollout at its current weights.

        Refused with `rollout-finished`, `rollout-not-found`, `wrong-rollout-phase`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/rollouts/{rollout_id}/pause", rollout_id=rollout_id),
            _wire.body({"reason": reason}),
            types.Rollout,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def resume(
        self, rollout_id: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Rollout:
        """Resume a paused rollout.

        Refused with `rollout-finished`, `rollout-not-found`, `wrong-rollout-phase`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/rollouts/{rollout_id}/resume", rollout_id=rollout_id),
            _wire.body({"reason": reason}),
            types.Rollout,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def promote(
        self, rollout_id: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Rollout:
        """Promote the candidate to all traffic now, or end a held bake.

        Promote the candidate to all traffic now, whatever steps are left; complete a bake that waits for records.

        Refused with `rollout-finished`, `rollout-not-found`, `wrong-rollout-phase`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/rollouts/{rollout_id}/promote", rollout_id=rollout_id),
            _wire.body({"reason": reason}),
            types.Rollout,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def abort(
        self, rollout_id: str, reason: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> types.Rollout:
        """Abort a rollout and return all traffic to the baseline.

        Refused with `rollout-finished`, `rollout-not-found`, `wrong-rollout-phase`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/rollouts/{rollout_id}/abort", rollout_id=rollout_id),
            _wire.body({"reason": reason}),
            types.Rollout,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def timeline(
        self, rollout_id: str, *, min_position: int | None = None, wait_ms: int | None = None
    ) -> types.Timeline:
        """Get what happened to a rollout, and why.

        Refused with `duty-differs`, `view-stale`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/rollouts/{rollout_id}/timeline", rollout_id=rollout_id),
            types.Timeline,
            min_position=min_position,
            wait_ms=wait_ms,
        )

    def list(
        self, *, endpoint: str | None = None, active: bool | None = None, limit: int | None = None
    ) -> list[types.Rollout]:
        """List the rollouts, oldest first.

        Refused with `duty-differs`, `endpoint-not-found`.
        """
        return self._connection.list_all(
            _wire.path("/v1/rollouts"), types.RolloutPage, limit=limit, endpoint=endpoint, active=active
        )


class Versions:
    """The operations `versions`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def create(
        self,
        model: str,
        artifact: types.ArtifactChoice | Object,
        *,
        signature: types.SignatureBody | Object | None = None,
        golden: types.GoldenBody | Object | None = None,
        parameters: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> types.Version:
        """Register the next version of a model, from a file in the artifact store.

        Refused with `adapter-does-not-fit`, `artifact-cannot-be-served`, `artifact-is-no-model`, `artifact-not-found`,
        `artifact-store-unavailable`, `invalid-golden-example`, `invalid-parent`, `invalid-signature`,
        `malformed-digest`, `model-not-found`, `signature-differs`, `signature-not-told`, `version-not-found`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/models/{model}/versions", model=model),
            _wire.body(
                {"artifact": artifact},
                signature=signature,
                golden=golden,
                parameters=parameters,
                metrics=metrics,
                tags=tags,
            ),
            types.Version,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def show(self, model: str, number: int) -> types.Version:
        """Get a version by its model and number.

        Refused with `duty-differs`, `model-not-found`, `no-such-route`, `version-not-found`.
        """
        return self._connection.get(
            _wire.path("/v1/models/{model}/versions/{number}", model=model, number=number), types.Version
        )

    def get_by_id(self, version_id: str) -> types.Version:
        """Get a version by its id.

        Refused with `duty-differs`, `version-not-found`.
        """
        return self._connection.get(_wire.path("/v1/versions/{version_id}", version_id=version_id), types.Version)

    def list(self, model: str, *, limit: int | None = None) -> list[types.Version]:
        """List a model's versions, oldest first.

        Refused with `duty-differs`, `model-not-found`.
        """
        return self._connection.list_all(
            _wire.path("/v1/models/{model}/versions", model=model), types.VersionPage, limit=limit
        )


class Views:
    """The operations `views`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def resources(self, *, since_ms: int | None = None, bucket_ms: int | None = None) -> types.ResourcesOverTime:
        """Get what hosts and gateways use.

        Refused with `bad-query`, `duty-differs`, `home-workspace-only`, `view-unavailable`.
        """
        return self._connection.get(
            _wire.path("/v1/resources"), types.ResourcesOverTime, since_ms=since_ms, bucket_ms=bucket_ms
        )

    def list(self) -> types.KeptTables:
        """Get what the tables of the views hold, of all workspaces together, and how long they keep it.

        Refused with `home-workspace-only`, `view-unavailable`.
        """
        return self._connection.get(_wire.path("/v1/views"), types.KeptTables)


class Workspaces:
    """The operations `workspaces`."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def create(
        self, name: str, *, description: str | None = None, idempotency_key: str | None = None
    ) -> types.Workspace:
        """Create a workspace, a tenant of this installation.

        Create a workspace. Its name never changes, and no other workspace ever gets it.

        Refused with `home-workspace-only`, `workspace-exists`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/workspaces"),
            _wire.body({"name": name}, description=description),
            types.Workspace,
            idempotency_key=idempotency_key,
        )

    def close(self, workspace: str, reason: str, *, idempotency_key: str | None = None) -> types.Workspace:
        """Close a workspace for good; its log stays.

        Close a workspace for good: its principals can no longer act, and nothing in it can be changed.

        Refused with `home-workspace`, `home-workspace-only`, `workspace-in-use`.
        """
        return self._connection.command(
            "POST",
            _wire.path("/v1/workspaces/{workspace}/close", workspace=workspace),
            _wire.body({"reason": reason}),
            types.Workspace,
            idempotency_key=idempotency_key,
        )

    def list(self, *, limit: int | None = None) -> list[types.Workspace]:
        """List the workspaces, by name.

        Refused with `home-workspace-only`.
        """
        return self._connection.list_all(_wire.path("/v1/workspaces"), types.WorkspacePage, limit=limit)


class Operations:
    """Every operation, by its group."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self.artifacts = Artifacts(connection)
        self.batches = Batches(connection)
        self.endpoints = Endpoints(connection)
        self.feedback = Feedback(connection)
        self.health = Health(connection)
        self.inference_tokens = InferenceTokens(connection)
        self.log = Log(connection)
        self.models = Models(connection)
        self.monitors = Monitors(connection)
        self.predictions = Predictions(connection)
        self.principals = Principals(connection)
        self.rollouts = Rollouts(connection)
        self.versions = Versions(connection)
        self.views = Views(connection)
        self.workspaces = Workspaces(connection)
