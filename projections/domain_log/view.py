"""All domain events, in the order of the log."""

from projections.domain_log.rows import DOMAIN_EVENTS, event_row
from projections.feeds.events import EVENTS
from projections.projectors import TableProjector
from projections.view import View

# Its position is the position of all views that are made of events, and an event of a newer release advances it too.
VIEW = View(projectors=(TableProjector(feed=EVENTS, table=DOMAIN_EVENTS, rows=event_row, is_last=True),))
