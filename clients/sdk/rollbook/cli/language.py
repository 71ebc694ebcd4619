"""`rollbook endpoint tokens` and `evaluate`: what language models read and wrote, and how well they know a text."""

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from rollbook.cli.options import GATEWAY
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.evaluation import Evaluation, EvaluationCutShort, VersionLoss, evaluate, read_passages
from rollbook.resources import TokenBucket

_COLUMNS = (
    "time",
    "deployment",
    "calls",
    "tokens_in",
    "tokens_out",
    "first_token_p50_ms",
    "first_token_p99_ms",
    "token_p50_ms",
    "token_p99_ms",
    "ended",
)
_LOSS_COLUMNS = ("version", "passages", "tokens", "loss", "perplexity", "bits_per_byte", "refused", "reason")
_MINUTE_MS = 60_000


@click.command("tokens")
@click.argument("name", metavar="ENDPOINT")
@click.option("--minutes", type=click.IntRange(1, 2_880), default=60, show_default=True, help="Go back this far.")
@pass_profile
def endpoint_tokens(profile: Profile, name: str, minutes: int) -> None:
    """Show token counts, stream timings and finish reasons, per minute and deployment."""
    since_ms = int(time.time() * 1_000) - minutes * _MINUTE_MS
    with profile.client() as rollbook:
        answer = rollbook.endpoints.tokens(name, since_ms=since_ms, bucket_ms=_MINUTE_MS)
    if profile.as_json:
        show(profile, answer.items)
        return
    show(profile, [_line(item) for item in answer.items], columns=_COLUMNS)


@click.command("evaluate")
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--text",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Read held-out text from this file: one passage per line, or objects with `text` in a .jsonl file.",
)
@click.option(
    "--version",
    "versions",
    metavar="MODEL/NUMBER",
    multiple=True,
    help="Ask this version by name (repeatable).",
)
@click.option(
    "--feedback-name",
    default="loss",
    show_default=True,
    help="Post the losses as this feedback, which a rollout's `loss` gate reads.",
)
@click.option("--no-feedback", is_flag=True, help="Measure only.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Limit the number of concurrent requests.",
)
@GATEWAY
@pass_profile
def endpoint_evaluate(  # noqa: PLR0913 - click's values, one for each option
    profile: Profile,
    *,
    name: str,
    text: Path,
    versions: tuple[str, ...],
    feedback_name: str,
    no_feedback: bool,
    in_flight: int,
    gateway: str | None,
) -> None:
    """Measure the loss of ENDPOINT's language models on held-out text, through the gateway.

    Each passage goes to the version that the traffic selects, or to each --version. Losses are sent as feedback, so
    they count for an active rollout's gates.
    """
    evaluation = Evaluation(
        gateway=gateway or profile.gateway_url(),
        endpoint=name,
        versions=versions,
        feedback_name=None if no_feedback else feedback_name,
        in_flight=in_flight,
    )
    with profile.client() as rollbook:
        try:
            _show_losses(profile, evaluate(rollbook, read_passages(text), evaluation))
        except EvaluationCutShort as error:
            _show_losses(profile, error.losses)
            raise


def _show_losses(profile: Profile, losses: list[VersionLoss]) -> None:
    if profile.as_json:
        show(profile, losses)
        return
    show(profile, [_rounded_losses(each) for each in losses], columns=_LOSS_COLUMNS)


def _rounded_losses(loss: VersionLoss) -> dict[str, Any]:
    shown = {"loss": loss.loss, "perplexity": loss.perplexity, "bits_per_byte": loss.bits_per_byte}
    numbers = {name: None if value is None else round(value, 4) for name, value in shown.items()}
    return {**msgspec.structs.asdict(loss), **numbers}


def _line(item: TokenBucket) -> dict[str, Any]:
    first, each = item.first_token_ms, item.token_ms
    ended = ", ".join(f"{reason} {count}" for reason, count in sorted(item.finish_reasons.items()))
    return {
        **msgspec.structs.asdict(item),
        "deployment": item.deployment_id,
        "time": time.strftime("%H:%M", time.gmtime(item.bucket_ms / 1_000)),
        "first_token_p50_ms": _rounded(first.p50 if first else None),
        "first_token_p99_ms": _rounded(first.p99 if first else None),
        "token_p50_ms": _rounded(each.p50 if each else None),
        "token_p99_ms": _rounded(each.p99 if each else None),
        "ended": ended,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
