"""What happened to a rollout, and why."""

from functools import partial

import msgspec

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import ViewStale, ViewUnavailable
from projections.reading import Reader
from projections.rollout_timeline.queries import Timeline, timeline_of_rollout
from projections.view import Access


class UpTo(msgspec.Struct, frozen=True, kw_only=True):
    """Which position of the log must be in the answer, and how long to wait for it."""

    min_position: int | None = None
    wait_ms: int = 0


def operations(access: Access) -> Operations:
    """Declare them."""
    timeline = Question(
        method="GET",
        path="/v1/rollouts/{rollout_id}/timeline",
        handler=partial(show_timeline, access.reader),
        sdk="rollouts.timeline",
        asks=UpTo,
        answers=Timeline,
        roles=READERS,
        summary="Get what happened to a rollout, and why",
        errors=(ViewStale, ViewUnavailable),
    )
    return Operations("views", [timeline])


async def show_timeline(reader: Reader, caller: Caller, rollout_id: str, asked: UpTo) -> Timeline:
    """Return the timeline of a rollout."""
    return await timeline_of_rollout(
        reader, rollout_id, workspace=caller.workspace, min_position=asked.min_position, wait_ms=asked.wait_ms
    )
