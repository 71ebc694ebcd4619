"""How rollouts are kept in the catalogue and shown to callers, people and the judge alike."""

import msgspec

from control_plane.endpoints.resources import EndpointRow
from control_plane.ports import Aggregate, CatalogueRow
from control_plane.rollouts import aggregate
from control_plane.rollouts.decisions import Verb
from schemas.events.endpoints import VersionReference
from schemas.events.rollouts import Gate, Strategy, Verdict, WhenInconclusive
from schemas.identifiers import Kind


class RolloutResource(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout; `step` counts from 0, `weight_percent` is the candidate's, `verdicts` are those of the last decision.

    `epoch` names the endpoint's event that set the weight, None while the candidate is warmed.
    """

    id: str
    endpoint_id: str
    endpoint_name: str
    phase: aggregate.Phase
    step: int | None
    weight_percent: float
    epoch: int | None
    candidate_deployment_id: str
    candidate: VersionReference
    baseline_deployment_id: str
    baseline: VersionReference
    replicas: int
    strategy: Strategy
    gates: tuple[Gate, ...]
    alpha: float
    when_inconclusive: WhenInconclusive
    warm_up_timeout_ms: int
    verdicts: tuple[Verdict, ...]
    reason: str
    started_at: str
    step_started_at: str | None
    finished_at: str | None
    stream_version: int


class ActiveRollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as the judge starts from it: when its epoch was applied, and how the candidate's instances fare."""

    rollout: RolloutResource
    applied_at: str | None
    candidate_instances: tuple[str, ...]
    candidate_failure: str | None


class RolloutsSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All active rollouts at or after a position of the log; `at` is the server's time of the answer."""

    position: int
    at: str
    rollouts: tuple[ActiveRollout, ...]


class JudgedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement led to."""

    decision: Verb
    verdicts: tuple[Verdict, ...]
    phase: aggregate.Phase
    step: int | None
    epoch: int | None
    reason: str
    stream_version: int


def rollout_resource(state: aggregate.Rollout) -> RolloutResource:
    """Show the folded state."""
    terms = state.terms
    return RolloutResource(
        id=state.id,
        endpoint_id=terms.endpoint_id,
        endpoint_name=terms.endpoint_name,
        phase=state.phase,
        step=state.step,
        weight_percent=state.weight_percent,
        epoch=state.epoch,
        candidate_deployment_id=terms.candidate_deployment_id,
        candidate=terms.candidate,
        baseline_deployment_id=terms.baseline_deployment_id,
        baseline=terms.baseline,
        replicas=terms.replicas,
        strategy=terms.strategy,
        gates=terms.gates,
        alpha=terms.alpha,
        when_inconclusive=terms.when_inconclusive,
        warm_up_timeout_ms=terms.warm_up_timeout_ms,
        verdicts=state.verdicts,
        reason=state.reason,
        started_at=state.started_at,
        step_started_at=state.step_started_at,
        finished_at=state.finished_at,
        stream_version=state.stream_version,
    )


def decode_rollout(row: CatalogueRow) -> RolloutResource:
    """Read the body of a rollout's catalogue row."""
    return msgspec.json.decode(row.body, type=RolloutResource)


def applied_at(endpoint: EndpointRow, *, epoch: int | None) -> str | None:
    """Return when the last region that serves the epoch began to; the step's time is counted from there."""
    moments = [each.applied_at for each in endpoint.applied if each.epoch == epoch]
    return max(moments) if moments else None


def _catalogue_row(state: aggregate.Rollout) -> CatalogueRow | None:
    if state.plan is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.ROLLOUT,
        id=state.id,
        name=None,
        parent_id=state.plan.endpoint_id,
        phase=state.phase,
        created_at=state.started_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(rollout_resource(state)),
    )


ROLLOUTS = Aggregate(
    kind=Kind.ROLLOUT,
    body=RolloutResource,
    initial=aggregate.Rollout(),
    evolve=aggregate.evolve,
    row=_catalogue_row,
)
