"""What the simulation of rollouts counts is what the view counts, of records that the same traffic would leave."""

import random
from collections.abc import Iterator
from typing import Any

from benchmarks.simulation.kinds import BUSY
from benchmarks.simulation.traffic import BASELINE, CANDIDATE, Rollout, StepTraffic
from projections.measurement.queries import measure_epoch
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import Arm, MeasureEpoch
from schemas.topics import REQUESTS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.integration.projections.prediction_story import NOW
from tests.support.read_side_messages import ENDPOINT, EPOCH, WORKSPACE, request_row, requests

THRESHOLD_MS = 350.0
LOOKS = 8
QUESTION = MeasureEpoch(epoch=EPOCH, candidate="green", baseline="blue", latency_threshold_ms=THRESHOLD_MS)


def records_of(arm: Arm, deployment_id: str, *, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the records of an arm's predictions, and of as many health checks and requests for metadata."""
    answered = arm.requests - arm.errors - arm.refused
    statuses = [503] * arm.errors + [400] * arm.refused + [200] * answered
    slow = [True] * arm.slow + [False] * (arm.requests - arm.slow)
    chance.shuffle(slow)
    for status, is_slow in zip(statuses, slow, strict=True):
        duration_ms = chance.uniform(360, 900) if is_slow else chance.uniform(5, 340)
        yield {"deployment_id": deployment_id, "status": status, "duration_ms": duration_ms, "kind": "prediction"}
    for _ in range(arm.requests):
        kind, status = chance.choice([("health", 200), ("health", 503), ("metadata", 404), ("other", 404)])
        yield {"deployment_id": deployment_id, "status": status, "duration_ms": chance.uniform(1, 900), "kind": kind}


def counted(traffic: StepTraffic, arm: int) -> tuple[int, int, int, int]:
    own = traffic.arm(arm, LOOKS)
    return own.requests, own.errors, own.refused, own.slow


async def test_the_view_counts_the_predictions_of_simulated_traffic_and_no_probes(store: ClickHouseStore) -> None:
    chance = random.Random(17)
    traffic = Rollout(BUSY.bad[0], seed=17, number=0).step(1, weight=0.25)
    traffic.reach(LOOKS)
    arms = {"green": traffic.arm(CANDIDATE, LOOKS), "blue": traffic.arm(BASELINE, LOOKS)}
    told = [record for name, arm in arms.items() for record in records_of(arm, name, chance=chance)]
    rows = [
        request_row(number, started_at_ms=NOW - 20_000 + number, ended_at_ms=NOW - 10_000 + number, **record)
        for number, record in enumerate(told)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=NOW)])

    reader = reader_at(store, NOW)
    measured = await measure_epoch(reader, QUESTION, workspace=WORKSPACE, endpoint_id=ENDPOINT)

    found = {name: (arm.requests, arm.errors, arm.refused, arm.slow) for name, arm in measured.arms.items()}
    assert found == {"green": counted(traffic, CANDIDATE), "blue": counted(traffic, BASELINE)}
    assert all(all(counts) for counts in found.values())
