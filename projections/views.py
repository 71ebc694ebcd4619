"""Every view: what is filled from domain events, and which operations are answered from it."""

from infra.operations import Operations
from projections.measurement import operations as measurement
from projections.predictions import operations as predictions
from projections.quality import operations as quality
from projections.query import operations as query
from projections.query.lane import QueryLane
from projections.reading import Endpoints, Reader
from projections.resources import operations as resources
from projections.rollout_timeline import operations as rollout_timeline
from projections.rollout_timeline.projector import timeline_rows
from projections.rollout_timeline.rows import ROLLOUT_TIMELINE
from projections.serving_metrics import operations as serving_metrics
from projections.shadow_comparison import operations as shadow_comparison
from projections.tables import EventView

EVENT_VIEWS = (EventView(table=ROLLOUT_TIMELINE, rows=timeline_rows),)


def declare_views(reader: Reader, endpoints: Endpoints, lane: QueryLane) -> list[Operations]:
    """Return the operations of the read side."""
    return [
        rollout_timeline.operations(reader),
        serving_metrics.operations(reader, endpoints),
        quality.operations(reader, endpoints),
        measurement.operations(reader, endpoints),
        predictions.operations(reader),
        resources.operations(reader, endpoints),
        shadow_comparison.operations(reader, endpoints),
        query.operations(lane),
    ]
