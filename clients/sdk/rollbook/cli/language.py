"""`rollbook endpoint tokens`: what language models read and wrote."""

import time
from typing import Any

import click

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile

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
_MINUTE_MS = 60_000


@click.command("tokens")
@click.argument("name", metavar="ENDPOINT")
@click.option("--minutes", type=click.IntRange(1, 2_880), default=60, show_default=True, help="How far back.")
@pass_profile
def endpoint_tokens(profile: Profile, name: str, minutes: int) -> None:
    """Show tokens in and out, the times of streams and how answers ended, a line a minute and deployment."""
    since_ms = int(time.time() * 1_000) - minutes * _MINUTE_MS
    with profile.client() as rollbook:
        answer = rollbook.endpoints.tokens(name, since_ms=since_ms, bucket_ms=_MINUTE_MS)
    if profile.as_json:
        show(profile, answer["items"])
        return
    show(profile, [_line(item) for item in answer["items"]], columns=_COLUMNS)


def _line(item: dict[str, Any]) -> dict[str, Any]:
    first, each = item["first_token_ms"] or {}, item["token_ms"] or {}
    ended = ", ".join(f"{reason} {count}" for reason, count in sorted(item["finish_reasons"].items()))
    return {
        **item,
        "deployment": item["deployment_id"],
        "time": time.strftime("%H:%M", time.gmtime(item["bucket_ms"] / 1_000)),
        "first_token_p50_ms": _rounded(first.get("p50")),
        "first_token_p99_ms": _rounded(first.get("p99")),
        "token_p50_ms": _rounded(each.get("p50")),
        "token_p99_ms": _rounded(each.get("p99")),
        "ended": ended,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
