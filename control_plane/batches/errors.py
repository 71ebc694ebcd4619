"""Why a command on a batch is not carried out.

Unknown   ── BatchNotFoundError, BatchOwnerUnknownError
Forbidden ── BatchOwnerMayNotActError
Conflict  ── BatchIdTakenError
Refused   ── BatchFinishedError, BatchNotStartedError, BatchUnfinishedError, BatchCountsError
"""

from control_plane.errors import Conflict, Forbidden, Refused, Unknown


class BatchNotFoundError(Unknown):
    """No batch has this id."""

    code = "batch-not-found"

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            f"there is no batch {batch_id}", field="batch_id", remedy="list them with GET /v1/batches, or create it"
        )


class BatchOwnerUnknownError(Unknown):
    """No principal with this id can own a batch."""

    code = "principal-not-found"

    def __init__(self, owner_id: str) -> None:
        super().__init__(
            f"there is no principal {owner_id}", field="owner_id", remedy="list them with GET /v1/principals"
        )


class BatchOwnerMayNotActError(Forbidden):
    """The owner of the batch was erased, or has no valid token left."""

    code = "batch-owner-may-not-act"

    def __init__(self, owner_id: str) -> None:
        super().__init__(
            f"the principal {owner_id} can no longer act", remedy="cancel the batch; its owner must create it again"
        )


class BatchIdTakenError(Conflict):
    """Another batch has this id."""

    code = "batch-id-taken"

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"{batch_id} is another batch", field="batch_id", remedy="choose another id")


class BatchFinishedError(Refused):
    """The batch has ended."""

    code = "batch-finished"

    def __init__(self, batch_id: str, phase: str) -> None:
        super().__init__(f"batch {batch_id} is {phase}", remedy="create another batch")


class BatchNotStartedError(Refused):
    """The batch's input file has not been validated yet."""

    code = "batch-not-started"

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"the requests of batch {batch_id} are not counted yet", remedy="start it first")


class BatchUnfinishedError(Refused):
    """The batch still has requests, was not cancelled, and its time is not up."""

    code = "batch-unfinished"

    def __init__(self, not_asked: int, expires_at: str) -> None:
        super().__init__(
            f"{not_asked} requests were not sent, and there is time until {expires_at}",
            field="not_asked",
            remedy="send them, or cancel the batch",
        )


class BatchCountsError(Refused):
    """The counts and files do not add up to the batch's requests."""

    code = "batch-counts-differ"

    def __init__(self, detail: str, *, field: str) -> None:
        super().__init__(detail, field=field, remedy="count the lines of both files again")
