"""What the catalogue knows of rollouts."""

from control_plane.endpoints.queries import all_rows, endpoint_id_of, instances_of
from control_plane.endpoints.resources import decode_endpoint
from control_plane.ports import Catalogue
from control_plane.rollouts.aggregate import ACTIVE_PHASES
from control_plane.rollouts.errors import RolloutNotFoundError
from control_plane.rollouts.resources import ActiveRollout, RolloutResource, applied_at, decode_rollout
from schemas.identifiers import Kind


def unknown_rollout(rollout_id: str) -> RolloutNotFoundError:
    """Make the refusal of a rollout that does not exist."""
    return RolloutNotFoundError(f"there is no rollout {rollout_id}", field="rollout", remedy="list the rollouts")


def get_rollout(catalogue: Catalogue, rollout_id: str, *, workspace: str) -> RolloutResource:
    """Return one rollout."""
    row = catalogue.get(Kind.ROLLOUT, rollout_id, workspace=workspace)
    if row is None:
        raise unknown_rollout(rollout_id)
    return decode_rollout(row)


def list_rollouts(
    catalogue: Catalogue,
    *,
    workspace: str,
    endpoint: str | None = None,
    only_active: bool = False,
    after: str = "",
    limit: int = 100,
) -> list[RolloutResource]:
    """Return rollouts ordered by id, those after a cursor."""
    rows = catalogue.find(
        Kind.ROLLOUT,
        workspace=workspace,
        parent_id=None if endpoint is None else endpoint_id_of(catalogue, endpoint, workspace=workspace),
        phases=ACTIVE_PHASES if only_active else (),
        after_id=after,
        limit=limit,
    )
    return [decode_rollout(row) for row in rows]


def active_rollouts(catalogue: Catalogue, *, workspace: str) -> tuple[ActiveRollout, ...]:
    """Return all that the judge starts from."""
    rows = all_rows(catalogue, Kind.ROLLOUT, workspace=workspace, phases=ACTIVE_PHASES)
    return tuple(_active(catalogue, decode_rollout(row), workspace=workspace) for row in rows)


def _active(catalogue: Catalogue, rollout: RolloutResource, *, workspace: str) -> ActiveRollout:
    endpoint = catalogue.get(Kind.ENDPOINT, rollout.endpoint_id, workspace=workspace)
    instances = [
        each
        for each in instances_of(catalogue, rollout.endpoint_id, workspace=workspace, phases=("announced", "failed"))
        if each.deployment_id == rollout.candidate_deployment_id
    ]
    failures = [f"{each.code}: {each.reason}" for each in instances if each.phase == "failed"]
    return ActiveRollout(
        rollout=rollout,
        applied_at=applied_at(decode_endpoint(endpoint), epoch=rollout.epoch) if endpoint else None,
        candidate_instances=tuple(each.id for each in instances if each.phase == "announced"),
        candidate_failure=failures[0] if failures else None,
    )
