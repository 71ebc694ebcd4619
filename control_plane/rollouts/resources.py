"""How rollouts are kept in the catalogue and shown to callers."""

import msgspec

from control_plane.ports import Aggregate, CatalogueRow
from control_plane.rollouts.aggregate import ACTIVE_PHASES, RolloutState, evolve
from control_plane.rollouts.decisions import Verb
from schemas.documents.rollouts import Rollout, Standing
from schemas.identifiers import Kind


class JudgedResource(Standing, frozen=True, kw_only=True):
    """What a measurement led to; `verdicts` are those on it, also where it decided nothing."""

    decision: Verb


def rollout_resource(state: RolloutState) -> Rollout:
    """Leave out what only decisions need."""
    return msgspec.convert(state, Rollout, from_attributes=True)


def decode_rollout(row: CatalogueRow) -> Rollout:
    """Read the body of a rollout's catalogue row."""
    return msgspec.json.decode(row.body, type=Rollout)


def _catalogue_row(state: RolloutState | None) -> CatalogueRow | None:
    if state is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.ROLLOUT,
        id=state.id,
        name=None,
        parent_id=state.endpoint_id,
        phase=state.phase,
        created_at=state.started_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(rollout_resource(state)),
    )


ROLLOUTS: Aggregate[RolloutState | None] = Aggregate(
    kind=Kind.ROLLOUT,
    body=Rollout,
    initial=None,
    evolve=evolve,
    row=_catalogue_row,
    is_followed=lambda state: state is not None and state.phase in ACTIVE_PHASES,
)
