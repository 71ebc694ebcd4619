"""What people see: fields and tables, whatever the answer holds and however narrow the terminal is."""

from typing import Any

import pytest

from rollbook.cli.tables import readable
from rollbook.cli.views import endpoint_view, rollout_view
from rollbook.resources import (
    Allocation,
    AssignmentKey,
    CapturePolicy,
    Deployment,
    Endpoint,
    Failover,
    FailoverPolicy,
    Instance,
    Rollout,
    ScalingPolicy,
    Shadow,
    Verdict,
)

UUID = "01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
FAILURE = "the model answered a tensor 'predict' that its signature does not have (golden-mismatch)"
ENDPOINT = Endpoint(
    id=f"endpoint-{UUID}",
    name="digits",
    description="Handwritten digits [bold]from[/x] :smile: the post",
    epoch=12,
    allocations=(Allocation(deployment_id=f"deployment-{UUID}", weight_percent=100.0),),
    deployments=(
        Deployment(
            id=f"deployment-{UUID}",
            version="digits/1",
            state="ready",
            replicas=2,
            regions=("eu", "us"),
            instances=(Instance(id=f"instance-{UUID}", host="10.0.0.1", port=9000, region="eu", zone="a"),),
        ),
        Deployment(id=f"deployment-{UUID[:-1]}f", version="digits/2", state="failed", failure=FAILURE),
    ),
    active_rollout_id=f"rollout-{UUID}",
    capture=CapturePolicy(inputs=(), hashed=("pixels",), sampling_rate=0.5),
    scaling=ScalingPolicy(max_replicas=3, in_flight=4.0),
    failover=FailoverPolicy(backup_regions=("us",)),
    failovers=(
        Failover(
            region="eu",
            deployment_id=f"deployment-{UUID}",
            from_region="eu",
            to_deployment_id=f"deployment-{UUID}",
            to_region="us",
            reason="no instance is announced there",
        ),
    ),
    shadow=Shadow(deployment_id=f"deployment-{UUID[:-1]}f", percent=20.0),
    assigned_by=AssignmentKey(header="x-user"),
)
ROLLOUT = Rollout(
    id=f"rollout-{UUID}",
    phase="aborted",
    endpoint_name="digits",
    candidate={"model_name": "digits", "number": 2, "version_id": f"version-{UUID}"},
    baseline={"model_name": "digits", "number": 1, "version_id": f"version-{UUID}"},
    step=1,
    weight_percent=25.0,
    verdicts=(
        Verdict(
            gate="quality",
            outcome="fail",
            reason="quality fell: 77.6 % vs 92.4 %",
            estimate=0.148,
            lower=0.1,
            upper=0.2,
        ),
        Verdict(gate="error_rate", outcome="unknown", reason="12 of 100 requests"),
    ),
    reason="quality fell: 77.6 % vs 92.4 % on 156 labels, and the interval excludes no change at all",
)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("view", [endpoint_view(ENDPOINT), rollout_view(ROLLOUT)], ids=["endpoint", "rollout"])
def test_a_view_fits_the_terminal_and_has_nothing_of_python_in_it(view: dict[str, Any], width: int) -> None:
    lines = readable(view, width=width).splitlines()

    assert max(map(len, lines)) <= width
    assert not any(sign in line for line in lines for sign in ("{", "}", "None", "True", "Struct", "',"))
    assert all(line == line.rstrip() for line in lines)


def test_an_endpoint_is_told_with_the_reason_of_a_failed_deployment() -> None:
    narrow = readable(endpoint_view(ENDPOINT), width=80)

    assert narrow.splitlines()[:3] == [
        "name            digits",
        f"id              endpoint-{UUID}",
        "description     Handwritten digits [bold]from[/x] :smile: the post",
    ]
    assert "scaling         1 to 3 replicas for in_flight=4 each" in narrow
    assert "captured        50 % of predictions for 7 days; inputs none; outputs all; hashed" in narrow
    assert "shadow          20 % is copied to digits/2" in narrow
    assert "assigned by     header x-user" in narrow
    assert FAILURE in " ".join(narrow.split())
    assert f"  digits/1  100 %   ready   1/4    eu, us   deployment-{UUID}" in readable(
        endpoint_view(ENDPOINT), width=120
    )


def test_a_rollout_is_told_with_its_verdicts() -> None:
    shown = readable(rollout_view(ROLLOUT), width=120)

    assert "candidate   digits/2" in shown
    assert "weight      25 %" in shown
    assert "  quality     fail     0.148     0.1 to 0.2  quality fell: 77.6 % vs 92.4 %" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": None, "b": True, "c": 1.5, "d": ()}, "a  -\nb  yes\nc  1.5\nd  -"),
        ({"metrics": {"loss": 0.25}, "names": ("x", "y")}, "metrics  loss=0.25\nnames    x, y"),
        ({"a": 1, "event": {"data": {"b": [1, 2]}}}, "a  1\n\nevent\n  data  b=1, 2"),
        ({"rows": [{"a": 1, "b": None}, {"a": 22}]}, "\nrows\n  a\n  1\n  22"),
        ([], ""),
        ({}, ""),
    ],
)
def test_what_an_answer_holds_is_written_out(value: Any, shown: str) -> None:  # noqa: ANN401
    assert readable(value, width=80).rstrip() == shown.rstrip()


def test_an_id_is_never_broken() -> None:
    rows = [{"name": "a name of some words", "id": f"deployment-{UUID}", "other": f"rollout-{UUID}"}]

    assert readable(rows, width=200).splitlines()[1] == f"a name of some words  deployment-{UUID}  rollout-{UUID}"
    assert readable(rows, width=80).splitlines() == [
        "name   a name of some words",
        f"id     deployment-{UUID}",
        f"other  rollout-{UUID}",
    ]
