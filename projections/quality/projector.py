"""Batches of observations, and documents of feedback -> rows."""

import msgspec

from projections.batches import LATEST_MS, batch_rows
from projections.errors import UndecodableError
from projections.messages import Message, body
from projections.quality.rows import FEEDBACK_ROWS, OBSERVATION_RECORDS
from projections.tables import Rows
from projections.watermarks.rows import SOURCES
from schemas.observations import Feedback
from schemas.topics import FEEDBACK, OBSERVATIONS

_feedback = msgspec.json.Decoder(Feedback)


class ObservationProjector:
    """Fills observation_records, then the progress of the source."""

    topic = OBSERVATIONS
    tables = (OBSERVATION_RECORDS, SOURCES)

    def project(self, message: Message) -> tuple[Rows, ...]:
        return batch_rows(message, table=OBSERVATION_RECORDS, kind="observations", time_column="captured_at_ms")


class FeedbackProjector:
    """Fills feedback; the table itself lets the last one received win."""

    topic = FEEDBACK
    tables = (FEEDBACK_ROWS,)

    def project(self, message: Message) -> tuple[Rows, ...]:
        try:
            feedback = _feedback.decode(body(message))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UndecodableError(f"the value is not feedback: {error}") from error
        for name, at_ms in (("observed_at_ms", feedback.observed_at_ms), ("received_at_ms", feedback.received_at_ms)):
            if not 0 <= at_ms < LATEST_MS:
                raise UndecodableError(f"{name} is {at_ms}: not Unix milliseconds")
        origin = {"kafka_partition": message.partition, "kafka_offset": message.offset}
        return (Rows(FEEDBACK_ROWS, [msgspec.structs.asdict(feedback) | origin]),)
