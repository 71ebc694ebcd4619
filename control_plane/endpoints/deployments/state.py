"""The state of the deployments: which there are, and where they are placed."""

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.ports import Content, EventContext
from schemas.documents.contents import content_id
from schemas.events.endpoints import DeploymentAdded, DeploymentPlaced, DeploymentRemoved
from schemas.identifiers import Kind


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The large parts of a deployment that never change."""

    deployment_id: str
    signature: Content
    golden: Content | None = None


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """Those that were added and not removed, oldest first, and the latest placement of each that has one.

    `contents` has the parts of those that are present, in the same order.
    """

    present: tuple[DeploymentAdded, ...] = ()
    placements: tuple[DeploymentPlaced, ...] = ()
    contents: tuple[Contents, ...] = ()

    def find(self, deployment_id: str) -> DeploymentAdded | None:
        """Return a deployment that was added and not removed."""
        return next((each for each in self.present if each.deployment_id == deployment_id), None)

    def regions_of(self, deployment_id: str) -> tuple[str, ...]:
        """Return the regions that a deployment is placed in; none where it is wherever an agent is."""
        return next((each.regions for each in self.placements if each.deployment_id == deployment_id), ())


def _added(state: Deployments, event: DeploymentAdded, context: EventContext) -> Deployments:
    contents = Contents(
        deployment_id=event.deployment_id,
        signature=_content(Kind.SIGNATURE, event.signature, of=context.stream),
        golden=None if event.golden is None else _content(Kind.GOLDEN, event.golden, of=context.stream),
    )
    return msgspec.structs.replace(state, present=(*state.present, event), contents=(*state.contents, contents))


def _placed(state: Deployments, event: DeploymentPlaced, _context: EventContext) -> Deployments:
    others = tuple(each for each in state.placements if each.deployment_id != event.deployment_id)
    return msgspec.structs.replace(state, placements=(*others, event))


def _removed(state: Deployments, event: DeploymentRemoved, _context: EventContext) -> Deployments:
    return Deployments(
        present=tuple(each for each in state.present if each.deployment_id != event.deployment_id),
        placements=tuple(each for each in state.placements if each.deployment_id != event.deployment_id),
        contents=tuple(each for each in state.contents if each.deployment_id != event.deployment_id),
    )


def _content(kind: Kind, part: msgspec.Struct, *, of: str) -> Content:
    body = msgspec.json.encode(part)
    return Content(id=content_id(of, body), kind=kind, body=body)


DEPLOYMENTS_FOLDS: Folds[Deployments] = {
    DeploymentAdded: _added,
    DeploymentPlaced: _placed,
    DeploymentRemoved: _removed,
}
