"""What the catalogue knows of rollouts."""

from control_plane.endpoints.queries import endpoint_id_of
from control_plane.ports import Catalogue
from control_plane.rollouts.aggregate import ACTIVE_PHASES
from control_plane.rollouts.errors import RolloutNotFoundError
from control_plane.rollouts.resources import decode_rollout
from schemas.documents.rollouts import Rollout
from schemas.identifiers import Kind


def unknown_rollout(rollout_id: str) -> RolloutNotFoundError:
    """Make the refusal of a rollout that does not exist."""
    return RolloutNotFoundError(f"there is no rollout {rollout_id}", field="rollout", remedy="list the rollouts")


def get_rollout(catalogue: Catalogue, rollout_id: str, *, workspace: str) -> Rollout:
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
) -> list[Rollout]:
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
