"""What engines report about their queues and times, as OpenMetrics; only read if a policy uses it."""

import asyncio
import re
from collections.abc import Sequence

import httpx
import msgspec

from workers.autoscaler.errors import PartAwayError
from workers.autoscaler.picture import Instance

_TIMEOUT = httpx.Timeout(2.0, connect=0.5)
_AT_ONCE = 32
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{[^}]*\})? (?P<value>\S+)", re.MULTILINE)

_QUEUE_SECONDS = "rollbook_queue_seconds_total"
_ANSWERED = ("rollbook_inference_duration_seconds_count", "vllm:e2e_request_latency_seconds_count")
_SECONDS = ("rollbook_inference_duration_seconds_sum", "vllm:e2e_request_latency_seconds_sum")
_WAITING = "vllm:num_requests_waiting"
_PROMPT_TOKENS = ("vllm:request_prompt_tokens_sum", "vllm:request_prompt_tokens_count")


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of an instance since its start, and its current queue if the engine reports it."""

    answered: float = 0.0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    waiting: float | None = None
    prompt_tokens: float | None = None


def read_counters(text: str) -> Counters:
    """Read the metrics of our engines or vLLM; the figures of several models are added up."""
    sums: dict[str, float] = {}
    for match in _SAMPLE.finditer(text):
        sums[match["name"]] = sums.get(match["name"], 0.0) + float(match["value"])
    tokens, requests = (sums.get(name) for name in _PROMPT_TOKENS)
    return Counters(
        answered=sum(sums.get(name, 0.0) for name in _ANSWERED),
        seconds=sum(sums.get(name, 0.0) for name in _SECONDS),
        queue_seconds=sums.get(_QUEUE_SECONDS, 0.0),
        waiting=sums.get(_WAITING),
        prompt_tokens=tokens / requests if tokens is not None and requests else None,
    )


class Engines:
    """The metrics of instances, a few at a time."""

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        # Without a proxy: instances are in this network.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, transport=transport, trust_env=False)
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def counters(self, instances: Sequence[Instance]) -> dict[str, Counters]:
        """Return the counters by instance.

        Raises:
            PartAwayError: one did not answer.
        """
        found = await asyncio.gather(*(self._counters(each) for each in instances))
        return dict(zip((each.id for each in instances), found, strict=True))

    async def _counters(self, instance: Instance) -> Counters:
        url = f"http://{instance.host}:{instance.port}/metrics"
        try:
            async with self._places:
                answer = await self._client.get(url)
            answer.raise_for_status()
            return read_counters(answer.content.decode(errors="replace"))
        except Exception as error:  # an external server may write anything
            raise PartAwayError(f"GET {url}: {error!r}") from error
