"""The table of all feedback that ever came, repetitions and corrections included."""

from projections.messages import Message
from projections.quality.rows import FEEDBACK_ROWS, feedback_values
from projections.tables import Retention, Rows, Table
from schemas.observations import Feedback

FEEDBACK_HISTORY = Table(
    name="feedback_history",
    columns=FEEDBACK_ROWS.columns,
    origin=FEEDBACK_ROWS.origin,
    time_column="received_at_ms",
    retention=Retention(days=30),
)


def history_row(feedback: Feedback, message: Message) -> Rows:
    """Return the row of one document, whose place in the log is its identity."""
    return Rows(FEEDBACK_HISTORY, [feedback_values(feedback, message)])
