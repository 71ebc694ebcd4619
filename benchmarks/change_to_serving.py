"""Command accepted to first request on the new weights, under load, with 1, 100 and 1,000 endpoints."""

import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from benchmarks.cpu import cpu_used
from benchmarks.digits import PATH, image_bodies, register_two_versions, serve
from benchmarks.figures import Figure, at_least, at_most, quantile
from benchmarks.hops import Published, figures_of_hops, published_changes
from benchmarks.load import Counters, NewEpoch, Plan
from benchmarks.many_endpoints import Target, add_endpoints, target_of
from benchmarks.stack import running_stack
from benchmarks.traffic import Traffic, figures_of, flowing
from rollbook import Rollbook

COUNTS = (1, 100, 1_000)
_SEEN_WITHIN_S = 5.0
_AIM_AHEAD_S = 0.1
_WEIGHTS = (30.0, 70.0)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured with each number of endpoints."""

    requests_per_s: float
    seconds: float
    every_s: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change as its caller saw it; the answer to the command came at `accepted_at`."""

    target: Target
    epoch: int
    accepted_at: float
    served: NewEpoch | None


DEFAULT = Size(requests_per_s=400.0, seconds=25.0, every_s=0.4)
FULL = Size(requests_per_s=500.0, seconds=205.0, every_s=1.2)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Change weights one endpoint after the other, and see when the load process meets the new epoch."""
    size = FULL if full else DEFAULT
    changes: list[Change] = []
    loads: list[Counters] = []
    with running_stack() as stack, stack.client() as rollbook:
        versions = register_two_versions(rollbook)
        first = serve(rollbook, *versions)
        targets = [target_of(first)]
        for count in COUNTS:
            targets = [*targets, *add_endpoints(stack, first, range(len(targets), count), versions=versions)]
            prefix = f"{count:,} endpoint{'s' if count > 1 else ''}"
            with cpu_used(stack) as used:
                made, load = _under_load(rollbook, targets, size, gateway_url=stack.gateway_url)
            changes += made
            loads.append(load)
            figures = _figures(made, published_changes(stack.kafka_bootstrap), prefix=prefix)
            yield [*figures, *figures_of(load, prefix=prefix), *used.figures(prefix=prefix)]
    yield _sums(changes, loads, full=full)


def _under_load(
    rollbook: Rollbook, targets: Sequence[Target], size: Size, *, gateway_url: str
) -> tuple[list[Change], Counters]:
    plan = Plan(
        gateway_url=gateway_url,
        token=rollbook.inference_tokens.mint(["*"]).token,
        path=PATH,
        bodies=image_bodies(),
        endpoints=[target.name for target in targets],
        requests_per_s=size.requests_per_s,
    )
    made: list[Change] = []
    with flowing(plan) as traffic:
        until = time.monotonic() + size.seconds
        while time.monotonic() < until:
            began = time.monotonic()
            # A stride that is prime to the counts, so that every endpoint has its turn in no particular order.
            made.append(_change(rollbook, traffic, targets[len(made) * 37 % len(targets)], number=len(made)))
            time.sleep(max(0.0, began + size.every_s - time.monotonic()))
        return made, traffic.finish()


def _change(rollbook: Rollbook, traffic: Traffic, target: Target, *, number: int) -> Change:
    traffic.aim(target.name)
    time.sleep(_AIM_AHEAD_S)
    weight = _WEIGHTS[target.changes % 2]
    target.changes += 1
    weights = {target.deployment_ids[0]: weight, target.deployment_ids[1]: 100.0 - weight}
    endpoint = rollbook.endpoints.set_traffic(target.name, weights, reason=f"change {number}")
    accepted_at = time.time()
    assert endpoint.epoch is not None
    served = traffic.first_answer_of(target.name, endpoint.epoch, within_s=_SEEN_WITHIN_S)
    return Change(target=target, epoch=endpoint.epoch, accepted_at=accepted_at, served=served)


def _figures(changes: Sequence[Change], published: Mapping[tuple[str, int], Published], *, prefix: str) -> list[Figure]:
    seen = [(change, published[change.target.endpoint_id, change.epoch], change.served) for change in changes]
    served = [(change, decision, first) for change, decision, first in seen if first is not None]
    from_event = [(first.routed_at - decision.decided_at) * 1000 for _, decision, first in served]
    from_answer = [(first.routed_at - change.accepted_at) * 1000 for change, _, first in served]
    answered = [(first.answered_at - decision.decided_at) * 1000 for _, decision, first in served]
    unseen = f", {len(changes) - len(served)} not seen" if len(served) < len(changes) else ""
    return [
        Figure(
            name=f"{prefix}: decided to first request on it, p50",
            value=quantile(from_event, 0.5),
            unit="ms",
            goal=at_most(25),
            note=f"{len(changes)} changes{unseen}",
        ),
        Figure(
            name=f"{prefix}: decided to first request on it, p99",
            value=quantile(from_event, 0.99),
            unit="ms",
            goal=at_most(100),
            note=f"highest {max(from_event, default=0.0):.0f} ms",
        ),
        *figures_of_hops([(decision, first) for _, decision, first in served], prefix=prefix),
        Figure(
            name=f"{prefix}: decided to that request's answer, p50",
            value=quantile(answered, 0.5),
            unit="ms",
            note=f"p99 {quantile(answered, 0.99):.0f} ms",
        ),
        Figure(
            name=f"{prefix}: from the command's HTTP answer, p50",
            value=quantile(from_answer, 0.5),
            unit="ms",
            note=f"p99 {quantile(from_answer, 0.99):.0f} ms",
        ),
    ]


def _sums(changes: Sequence[Change], loads: Sequence[Counters], *, full: bool) -> list[Figure]:
    requests, unseen = sum(load.sent for load in loads), sum(change.served is None for change in changes)
    failed = sum(load.failed for load in loads)
    return [
        Figure(name="changes in total", value=len(changes), unit="", goal=at_least(300) if full else None),
        Figure(name="changes never seen served", value=unseen, unit="", goal=at_most(0)),
        Figure(name="requests in total", value=requests, unit="", goal=at_least(300_000) if full else None),
        Figure(name="failed requests in total", value=failed, unit="", goal=at_most(0)),
    ]
