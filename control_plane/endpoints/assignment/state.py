"""The state of assignment: the key that distinguishes callers."""

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.events.endpoints import AssignmentKey, AssignmentKeyChosen


def _chosen(_state: AssignmentKey, event: AssignmentKeyChosen, _context: EventContext) -> AssignmentKey:
    return event.key


ASSIGNMENT_FOLDS: Folds[AssignmentKey] = {AssignmentKeyChosen: _chosen}
