"""The state of the deployments: which there are, and where they are placed."""

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.events.endpoints import DeploymentAdded, DeploymentPlaced, DeploymentRemoved


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """Those that were added and not removed, oldest first, and the latest placement of each that has one."""

    present: tuple[DeploymentAdded, ...] = ()
    placements: tuple[DeploymentPlaced, ...] = ()

    def find(self, deployment_id: str) -> DeploymentAdded | None:
        """Return a deployment that was added and not removed."""
        return next((each for each in self.present if each.deployment_id == deployment_id), None)

    def regions_of(self, deployment_id: str) -> tuple[str, ...]:
        """Return the regions that a deployment is placed in; none where it is wherever an agent is."""
        return next((each.regions for each in self.placements if each.deployment_id == deployment_id), ())


def _added(state: Deployments, event: DeploymentAdded, _context: EventContext) -> Deployments:
    return msgspec.structs.replace(state, present=(*state.present, event))


def _placed(state: Deployments, event: DeploymentPlaced, _context: EventContext) -> Deployments:
    others = tuple(each for each in state.placements if each.deployment_id != event.deployment_id)
    return msgspec.structs.replace(state, placements=(*others, event))


def _removed(state: Deployments, event: DeploymentRemoved, _context: EventContext) -> Deployments:
    return Deployments(
        present=tuple(each for each in state.present if each.deployment_id != event.deployment_id),
        placements=tuple(each for each in state.placements if each.deployment_id != event.deployment_id),
    )


DEPLOYMENTS_FOLDS: Folds[Deployments] = {
    DeploymentAdded: _added,
    DeploymentPlaced: _placed,
    DeploymentRemoved: _removed,
}
