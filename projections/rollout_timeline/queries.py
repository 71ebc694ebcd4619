"""What happened to a rollout, and why."""

import msgspec

from projections.reading import Reader
from projections.rollout_timeline.rows import EntryBase
from schemas.envelope import rfc3339
from schemas.events.rollouts import Verdict

_TIMELINE = """
    SELECT toUnixTimestamp64Milli(at) AS at_ms, position, stream, stream_version, type, step, weight_percent, epoch,
           summary, reason, verdicts
    FROM rollout_timeline FINAL
    WHERE workspace = {workspace:String}
      AND (rollout_id = {rollout_id:String} OR (rollout_id = '' AND (endpoint_id, epoch) IN (
            SELECT endpoint_id, epoch FROM rollout_timeline
            WHERE workspace = {workspace:String} AND rollout_id = {rollout_id:String} AND endpoint_id != ''
              AND epoch IS NOT NULL)))
    ORDER BY position
"""


class TimelineItem(EntryBase, frozen=True, kw_only=True):
    """One fact; a decision has the verdicts of its gates."""

    at: str
    position: int
    stream: str
    stream_version: int
    type: str
    verdicts: tuple[Verdict, ...]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The facts in the order of the log, and the position up to which they are complete."""

    items: list[TimelineItem]
    position: int


async def timeline_of_rollout(
    reader: Reader, rollout_id: str, *, workspace: str, min_position: int | None, wait_ms: int
) -> Timeline:
    """Return the timeline; empty for an unknown rollout."""
    position = await reader.wait_for(min_position, wait_ms=wait_ms)
    rows = await reader.select(_TIMELINE, {"workspace": workspace, "rollout_id": rollout_id})
    return Timeline(
        items=[
            TimelineItem(
                at=rfc3339(row.pop("at_ms")),
                verdicts=msgspec.json.decode(row.pop("verdicts"), type=tuple[Verdict, ...]),
                **row,
            )
            for row in rows
        ],
        position=position,
    )
