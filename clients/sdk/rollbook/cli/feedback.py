"""`rollbook feedback`: how much of what was reported of predictions can be used, and what is wrong with the rest."""

import time

import click
import msgspec

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import FeedbackOfSource, FeedbackOnEndpoint


@click.command("feedback")
@click.argument("endpoint", required=False)
@click.option("--minutes", type=click.IntRange(1, 44_640), default=60, show_default=True, help="Go back this far.")
@pass_profile
def feedback(profile: Profile, endpoint: str | None, minutes: int) -> None:
    """Count the feedback on ENDPOINT's predictions, or without ENDPOINT, that of each source.

    Of an endpoint, you see the feedback that is late, contradicted or without a captured answer to compare it with. You
    see how much of it can be used as labels, which are values of the answer's data type, and as numbers, which gates on
    losses and ratings read. What is neither is unreadable. Of a source, you see the orphans, whose prediction nobody
    served.
    """
    since_ms = int((time.time() - 60 * minutes) * 1_000)
    with profile.client() as rollbook:
        answer = (
            rollbook.endpoints.feedback(endpoint, since_ms=since_ms)
            if endpoint
            else rollbook.feedback.summary(since_ms=since_ms)
        )
    if profile.as_json:
        show(profile, answer)
        return
    kind = FeedbackOnEndpoint if endpoint else FeedbackOfSource
    show(profile, [msgspec.structs.asdict(item) for item in answer.items], columns=kind.__struct_fields__)
