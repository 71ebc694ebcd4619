"""The state of the shadow: the deployment that gets copies, if any."""

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.events.endpoints import ShadowRemoved, ShadowSet


def _set(_state: ShadowSet | None, event: ShadowSet, _context: EventContext) -> ShadowSet | None:
    return event


def _removed(_state: ShadowSet | None, _event: ShadowRemoved, _context: EventContext) -> ShadowSet | None:
    return None


SHADOW_FOLDS: Folds[ShadowSet | None] = {ShadowSet: _set, ShadowRemoved: _removed}
