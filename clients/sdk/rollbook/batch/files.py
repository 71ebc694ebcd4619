"""Scoring a file, from its path to that of the output."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from rollbook import Rollbook
from rollbook.batch.endpoint import ScoredEndpoint
from rollbook.batch.journal import Journal
from rollbook.batch.scoring import BatchJob, Options, Summary, job_of, rejected_file_of
from rollbook.batch.source import Source


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, and how long without any answer: the gateway's address and the endpoint's name."""

    gateway: str
    endpoint: str
    give_up_after_s: float = 600.0


async def score_file(
    rollbook: Rollbook,
    source: Path,
    output: Path,
    *,
    destination: Destination,
    options: Options | None = None,
    tell: Callable[[Summary], None] = lambda _summary: None,
) -> Summary:
    """Score every row of a Parquet file against an endpoint, and write the outputs to another.

    The output has a row for each row that was scored, in order: its number in the input (`row`), the columns kept, one
    column for each output of the model, and who answered (`model_version`, `prediction_id`). Rows that have no
    prediction are in `<output's stem>.rejected.jsonl` with the reason. A job that was ended by whatever means goes on
    when it is called again in the same way; `tell` hears of each step.

    Raises:
        BatchError, GaveUp: with what to do about it.
        OSError: the disk does not take it; what is done is kept.
    """
    chosen = options or Options()
    rows = Source(source)
    journal = Journal(output, rejected_file_of(output))
    job = job_of(rows, gateway=destination.gateway, endpoint=destination.endpoint, options=chosen)
    scored = ScoredEndpoint(
        destination.gateway,
        destination.endpoint,
        mint=lambda: rollbook.inference_tokens.mint([destination.endpoint]).token,
        give_up_after_s=destination.give_up_after_s,
    )
    try:
        with journal.locked():
            return await BatchJob(rows, journal, scored, chosen).run(job, tell=tell)
    finally:
        await scored.close()
