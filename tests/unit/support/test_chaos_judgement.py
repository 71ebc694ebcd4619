"""The judge of a chaos run finds each failure that should not have been, and lets pass those that had to be."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from schemas.envelope import rfc3339
from tests.faults.accounts import Call, Harm
from tests.faults.judgement import Copies, Judge, Record
from tests.faults.schedule import Deed, Fault, drawn

DEPLOYMENT = "deployment-1"
RECORD = Record(
    drawn_deployment_id=DEPLOYMENT,
    instance="",
    status=503,
    response_flags="UH",
    upstream_ms=-1,
    error_class="connection",
)


def told(kind: str, instance: str, at: float) -> Mapping[str, Any]:
    return {
        "type": f"endpoints.Instance{kind}.v1",
        "stream": instance,
        "time": rfc3339(int(at * 1000)),
        "data": {"deployment_id": DEPLOYMENT},
    }


def harm(deed: Deed, target: str, began_at: float, *, until: float | None = None, instance_id: str = "") -> Harm:
    fault = Fault(at_s=0, deed=deed, target=target)
    return Harm(fault=fault, began_at=began_at, until=until, instance_id=instance_id)


def failed(at: float, *, prediction_id: str = "p", kind: str = "rest") -> Call:
    return Call(kind, at, at + 0.1, 503 if prediction_id else 0, prediction_id=prediction_id)


BOTH = [told("Announced", "a", 10), told("Announced", "b", 10)]
KILLED_A = harm("kill", "engine", 100, instance_id="a")
A_BACK = [told("Withdrawn", "a", 101), told("Announced", "a", 110)]


def judge(events: list[Mapping[str, Any]], *harms: Harm, record: Record | None = RECORD) -> Judge:
    return Judge(Copies(events, harms), harms, {} if record is None else {"p": record})


def test_a_failure_with_a_healthy_copy_beside_is_found() -> None:
    assert "healthy copy" in judge([*BOTH, *A_BACK], KILLED_A).fault_of(failed(100.5))


def test_a_failure_where_both_are_gone_passes() -> None:
    killed_b = harm("kill", "engine", 105, instance_id="b")

    assert judge([*BOTH, *A_BACK], KILLED_A, killed_b).fault_of(failed(106)) == ""


def test_once_the_killed_one_is_back_no_failure_passes() -> None:
    only = [told("Announced", "a", 10), *A_BACK]

    assert judge(only, KILLED_A).fault_of(failed(109)) == ""
    assert "healthy copy" in judge(only, KILLED_A).fault_of(failed(113))


def test_a_gateway_that_cannot_learn_of_an_instance_does_not_have_it() -> None:
    only = [told("Announced", "a", 10), *A_BACK]
    away = harm("kill", "follower", 108, until=120)

    assert judge(only, KILLED_A, away).fault_of(failed(118)) == ""
    assert "healthy copy" in judge(only, KILLED_A, away).fault_of(failed(123))


def test_no_answer_passes_only_while_the_gateway_is_gone() -> None:
    gone = harm("kill", "envoy", 50, until=52)
    its_judge = judge(BOTH, gone)

    assert its_judge.fault_of(failed(51, prediction_id="")) == ""
    assert "no answer" in its_judge.fault_of(failed(70, prediction_id=""))


def test_a_failure_without_record_or_reason_is_found() -> None:
    silent = msgspec.structs.replace(RECORD, response_flags="")

    assert "no record" in judge(BOTH, KILLED_A, record=None).fault_of(failed(100.5))
    assert "no reason" in judge(BOTH, KILLED_A, record=silent).fault_of(failed(100.5))


def test_a_server_of_others_that_is_away_is_not_our_copy() -> None:
    away = harm("kill", "server", 30, until=35)

    assert judge(BOTH, away).fault_of(failed(33, kind="text")) == ""
    assert judge(BOTH, away).fault_of(failed(33)) != ""


def test_a_seed_draws_the_same_faults_again() -> None:
    one, again, other = (list(drawn(seed, seconds=1_800, every_s=20)) for seed in (1, 1, 2))

    assert one == again != other
    assert len(one) == 89


@pytest.mark.parametrize("seed", range(5))
def test_half_an_hour_hurts_most_of_the_parts(seed: int) -> None:
    targets = {fault.target for fault in drawn(seed, seconds=1_800, every_s=20)}

    assert len(targets) >= 10
