"""How rollouts are kept in the catalogue and shown to callers."""

import msgspec

from control_plane.ports import Aggregate, CatalogueRow
from control_plane.rollouts import aggregate
from control_plane.rollouts.decisions import Verb
from schemas.documents.rollouts import Phase, Rollout
from schemas.events.rollouts import Verdict
from schemas.identifiers import Kind


class JudgedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement led to."""

    decision: Verb
    verdicts: tuple[Verdict, ...]
    phase: Phase
    step: int | None
    epoch: int | None
    reason: str
    stream_version: int


def rollout_resource(state: aggregate.Rollout) -> Rollout:
    """Show the folded state."""
    terms = state.terms
    return Rollout(
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


def decode_rollout(row: CatalogueRow) -> Rollout:
    """Read the body of a rollout's catalogue row."""
    return msgspec.json.decode(row.body, type=Rollout)


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
    body=Rollout,
    initial=aggregate.Rollout(),
    evolve=aggregate.evolve,
    row=_catalogue_row,
    is_followed=lambda state: state.plan is not None,
)
