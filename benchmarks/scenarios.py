"""What can be measured, by name."""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from benchmarks.batch_rows import measure as measure_batch_rows
from benchmarks.change_to_serving import measure as measure_change_to_serving
from benchmarks.drift.scenario import measure as measure_drift_false_alarms
from benchmarks.durable_commands import measure as measure_durable_commands
from benchmarks.epoch_measurement import measure as measure_epoch_measurement
from benchmarks.feature_summaries import measure as measure_feature_summaries
from benchmarks.figures import Figure
from benchmarks.first_answer import measure as measure_first_answer
from benchmarks.gateway_cost import measure as measure_gateway_cost
from benchmarks.language_model_cost import measure as measure_language_model_cost
from benchmarks.language_model_cost import measure_replayed as measure_replayed_language_model_cost
from benchmarks.lost_instance import measure as measure_lost_instance
from benchmarks.lost_language_model import measure as measure_lost_language_model
from benchmarks.lost_language_model import measure_real as measure_lost_vllm
from benchmarks.many_instances import measure as measure_many_instances
from benchmarks.many_rollouts import measure as measure_many_rollouts
from benchmarks.record_ingest import measure as measure_record_ingest
from benchmarks.request_visibility import measure as measure_request_visibility
from benchmarks.runtime_against_mlserver import measure as measure_runtime_against_mlserver
from benchmarks.shared_processes import measure as measure_shared_processes
from benchmarks.simulation.scenario import measure as measure_simulation
from benchmarks.start_and_memory import measure as measure_start_and_memory
from benchmarks.verdict_delay import measure as measure_verdict_delay


class Measure(Protocol):
    """Measures one thing after the other; the machine is calibrated between what it yields."""

    def __call__(self, *, full: bool) -> Iterator[list[Figure]]: ...


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One group of figures."""

    title: str
    measure: Measure


SCENARIOS = {
    "start": Scenario(
        title="stack ready after `rollbook up`, and what it keeps in memory",
        measure=measure_start_and_memory,
    ),
    "first": Scenario(
        title="registration of a new small model to its first answer at the gateway",
        measure=measure_first_answer,
    ),
    "change": Scenario(
        title="command accepted to first request on the new weights, under load",
        measure=measure_change_to_serving,
    ),
    "gateway": Scenario(
        title="what the gateway adds over the engine, and over an Envoy written by hand",
        measure=measure_gateway_cost,
    ),
    "runtime": Scenario(
        title="the inference runtime against MLServer, scikit-learn and ONNX, REST and gRPC",
        measure=measure_runtime_against_mlserver,
    ),
    "shared": Scenario(
        title="memory and answers of many small models, each in a process of its own and all in one",
        measure=measure_shared_processes,
    ),
    "vllm": Scenario(
        title="what the gateway adds to the streams of vLLM, and what vllm-router adds",
        measure=measure_language_model_cost,
    ),
    "streams": Scenario(
        title="what the gateway and vllm-router add to streams of an engine that replays what vLLM wrote",
        measure=measure_replayed_language_model_cost,
    ),
    "commands": Scenario(title="durable commands over HTTP", measure=measure_durable_commands),
    "ingest": Scenario(title="request records from a filled topic into ClickHouse", measure=measure_record_ingest),
    "feature-summaries": Scenario(
        title="captured requests summarised by feature, on one core",
        measure=measure_feature_summaries,
    ),
    "visible": Scenario(title="request made to visible in a query", measure=measure_request_visibility),
    "evidence": Scenario(
        title="one look at the evidence of a step that has lasted for days",
        measure=measure_epoch_measurement,
    ),
    "verdict": Scenario(title="enough labels there to verdict recorded", measure=measure_verdict_delay),
    "simulation": Scenario(
        title="sound versions aborted, and requests that bad ones answer, in simulated rollouts",
        measure=measure_simulation,
    ),
    "drift_false_alarms": Scenario(
        title="months without drift that have an alarm, and how soon drift is found, in simulated traffic",
        measure=measure_drift_false_alarms,
    ),
    "batch": Scenario(
        title="rows scored by `rollbook batch score`, and by a script that calls `predict`",
        measure=measure_batch_rows,
    ),
    "instances": Scenario(
        title="a thousand instances registered, routed and probed, one of them killed",
        measure=measure_many_instances,
    ),
    "rollouts": Scenario(
        title="what active rollouts cost, and how soon one that goes bad is aborted",
        measure=measure_many_rollouts,
    ),
    "kills": Scenario(
        title="requests that fail while one of two instances is killed with -9",
        measure=measure_lost_instance,
    ),
    "stream-kills": Scenario(
        title="calls that fail while one of two replaying engines is killed with -9, half of them streams",
        measure=measure_lost_language_model,
    ),
    "vllm-kills": Scenario(
        title="calls that fail while one of two vLLM is killed with -9, half of them streams",
        measure=measure_lost_vllm,
    ),
}
