"""Sorts the requests of a batch into scopes: a deployment and version in one minute."""

from collections import Counter, defaultdict
from typing import Any

from projections.feature_summaries import names
from projections.feature_summaries.gathering import Gathering
from projections.feeds.batches import Batch

MINUTE_MS = 60_000
SCOPE = ("workspace", "endpoint_id", "deployment_id", "version_id", "boot_id", "batch", "minute_ms")

_ANSWERED = 200
_CONTENT = ("retention_days", "status", "inputs", "outputs", "tokens_in", "tokens_out", "finish_reason")


class Scopes:
    """What the requests of a batch hold, by scope. Scopes count from 0, and only answers with 200 have features."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.gathering = Gathering()
        self.statuses: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.retention_days: dict[int, int] = {}
        """For how long the capture policy keeps what was captured; of several policies, the shortest time."""

    def add_all(self, batch: Batch) -> None:
        """Add every request."""
        captured_at_ms = batch.columns["captured_at_ms"].to_pylist()
        of_scope = zip(*(batch.columns[name].to_pylist() for name in SCOPE[:-1]), strict=True)
        of_request = zip(*(batch.columns[name].to_pylist() for name in _CONTENT), strict=True)
        for who, at_ms, request in zip(of_scope, captured_at_ms, of_request, strict=True):
            self._add(self.numbers.setdefault((*who, at_ms - at_ms % MINUTE_MS), len(self.numbers)), request)

    def column(self, name: str) -> list[Any]:
        """Return one part of the scopes, in the order of their numbers."""
        place = SCOPE.index(name)
        return [scope[place] for scope in self.numbers]

    def _add(self, scope: int, request: tuple[Any, ...]) -> None:
        days, status, inputs, outputs, tokens_in, tokens_out, finish_reason = request
        self.statuses[scope][str(status)] += 1
        self.retention_days[scope] = min(days, self.retention_days.get(scope, days))
        if status != _ANSWERED:
            return
        self.gathering.add(scope, "input", inputs)
        self.gathering.add(scope, "output", outputs)
        for feature, tokens in ((names.TOKENS_IN, tokens_in), (names.TOKENS_OUT, tokens_out)):
            if tokens >= 0:
                self.gathering.add_number(scope, feature, tokens)
        if finish_reason:
            self.gathering.add_text(scope, names.FINISH_REASON, finish_reason)
