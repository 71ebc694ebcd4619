"""Requests, errors, latency and tokens over time."""

from functools import partial
from typing import Literal

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.reading import Endpoints, OverTime, Reader
from projections.serving_metrics.queries import Metrics, metrics_of_endpoint
from projections.serving_metrics.token_queries import Tokens, tokens_of_endpoint
from projections.view import Access


class TokensOverTime(OverTime, frozen=True, kw_only=True):
    """Over which time; requests are many enough for short buckets."""

    bucket_ms: int = 10_000


class MetricsOverTime(TokensOverTime, frozen=True, kw_only=True):
    """Since when, in buckets of which length, and by what."""

    by: Literal["deployment"] = "deployment"


def operations(access: Access) -> Operations:
    """Declare them."""
    return Operations(
        "views",
        [
            Question(
                method="GET",
                path="/v1/endpoints/{endpoint}/metrics",
                handler=partial(show_metrics, access.reader, access.endpoints),
                sdk="endpoints.metrics",
                asks=MetricsOverTime,
                answers=Metrics,
                roles=READERS,
                summary="Get requests, errors by class and latency over time",
                errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
            ),
            Question(
                method="GET",
                path="/v1/endpoints/{endpoint}/tokens",
                handler=partial(show_tokens, access.reader, access.endpoints),
                sdk="endpoints.tokens",
                asks=TokensOverTime,
                answers=Tokens,
                roles=READERS,
                summary="Get token counts, stream timings and finish reasons over time",
                errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
            ),
        ],
    )


async def show_metrics(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: MetricsOverTime
) -> Metrics:
    """Return an endpoint's requests, errors and latency."""
    return await metrics_of_endpoint(
        reader,
        await endpoints.id_of(endpoint, caller.workspace),
        workspace=caller.workspace,
        since_ms=asked.since_ms,
        bucket_ms=asked.bucket_ms,
    )


async def show_tokens(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: TokensOverTime
) -> Tokens:
    """Return what an endpoint's language models read and wrote."""
    return await tokens_of_endpoint(
        reader,
        await endpoints.id_of(endpoint, caller.workspace),
        workspace=caller.workspace,
        since_ms=asked.since_ms,
        bucket_ms=asked.bucket_ms,
    )
