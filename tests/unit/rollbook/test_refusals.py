"""A refusal's code, field and remedy are attributes, whoever refused."""

import msgspec
import pytest

from rollbook import Canary, Conflict, Problem, QualityGate, Unreachable
from rollbook.errors import problem_from


def test_a_problem_of_the_api_has_its_parts_as_attributes() -> None:
    body = b'{"title": "No", "status": 400, "code": "invalid-name", "detail": "x", "field": "name", "remedy": "Say y."}'

    problem = problem_from(400, body)

    assert (problem.status, problem.code, problem.field, problem.remedy) == (400, "invalid-name", "name", "Say y.")
    assert str(problem) == "x (field name); Say y."


def test_an_error_of_the_gateway_is_a_problem_too() -> None:
    problem = problem_from(503, b'{"error": "nothing is ready", "status": "503", "code": "endpoint_not_ready"}')

    assert (problem.status, problem.code, str(problem)) == (503, "endpoint_not_ready", "nothing is ready")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": {"message": "m"}}', b"\xff", b"[]"])
def test_an_answer_of_somebody_else_is_an_error_all_the_same(body: bytes) -> None:
    problem = problem_from(409, body)

    assert isinstance(problem, Conflict)
    assert problem.status == 409


def test_every_error_has_a_code() -> None:
    assert (Unreachable("x").code, Unreachable("x").field, issubclass(Problem, Exception)) == (
        "unreachable",
        None,
        True,
    )


def test_a_canary_is_made_of_its_weights() -> None:
    canary = Canary.in_steps(10, 100, min_s=0.5, max_s=60, bake_s=1)

    assert msgspec.to_builtins(canary) == {
        "kind": "canary",
        "steps": [
            {"weight_percent": 10.0, "min_duration_ms": 500, "max_duration_ms": 60_000},
            {"weight_percent": 100.0, "min_duration_ms": 500, "max_duration_ms": 60_000},
        ],
        "bake_time_ms": 1_000,
    }


def test_a_long_step_has_a_longer_end() -> None:
    assert Canary.in_steps(100, min_s=7_200).steps[0].max_duration_ms == 7_200_000


def test_a_gate_says_its_kind() -> None:
    gate = QualityGate(feedback_name="label", max_drop=0.02, min_labels=100)

    assert msgspec.to_builtins(gate)["kind"] == "quality"
