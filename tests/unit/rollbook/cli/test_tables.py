"""What people see: fields and tables, whatever the answer holds and however narrow the terminal is."""

from typing import Any

import msgspec
import pytest

from rollbook.cli.tables import readable
from rollbook.cli.views import endpoint_view
from rollbook.resources import (
    Allocation,
    AssignmentKey,
    CapturePolicy,
    Deployment,
    Endpoint,
    FailoverPolicy,
    FailoverStarted,
    Instance,
    ScalingPolicy,
    ServingRegion,
    ShadowSet,
)

UUID = "01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
FAILURE = "the model answered a tensor 'predict' that its signature does not have (golden-mismatch)"
FIRST, SECOND = f"deployment-{UUID}", f"deployment-{UUID[:-1]}f"
AT = "2026-01-02T03:04:05.678Z"
INSTANCE = Instance(
    id=f"instance-{UUID}",
    workspace="default",
    endpoint_id=f"endpoint-{UUID}",
    deployment_id=FIRST,
    agent_id="agent",
    phase="announced",
    host="10.0.0.1",
    port=9000,
    region="eu",
    zone="a",
    created_at=AT,
    stream_version=1,
)
ENDPOINT = Endpoint(
    id=f"endpoint-{UUID}",
    name="digits",
    description="Handwritten digits [bold]from[/x] :smile: the post",
    epoch=12,
    allocations=[Allocation(deployment_id=FIRST, weight_percent=100.0, ranges=[])],
    deployments=[
        Deployment(
            id=FIRST,
            version="digits/1",
            version_id=f"version-{UUID}",
            state="ready",
            replicas=2,
            weight_percent=100.0,
            regions=["eu", "us"],
            instances=[INSTANCE],
        ),
        Deployment(
            id=SECOND,
            version="digits/2",
            version_id=f"version-{UUID}",
            state="failed",
            replicas=1,
            weight_percent=0.0,
            instances=[],
            failure=FAILURE,
        ),
    ],
    applied=[],
    active_rollout_id=f"rollout-{UUID}",
    created_at=AT,
    stream_version=12,
    capture=CapturePolicy(inputs=[], hashed=["pixels"], sampling_rate=0.5),
    scaling=ScalingPolicy(max_replicas=3, in_flight=4.0),
    failover=FailoverPolicy(backup_regions=["us"]),
    failovers=[
        FailoverStarted(
            region="eu",
            deployment_id=FIRST,
            from_region="eu",
            to_deployment_id=FIRST,
            to_region="us",
            code="no-instance",
            reason="no instance is announced there",
            observed_at=AT,
        ),
    ],
    shadow=ShadowSet(deployment_id=SECOND, percent=20.0, reason="try it"),
    assigned_by=AssignmentKey(header="x-user"),
)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_view_fits_the_terminal_and_has_nothing_of_python_in_it(width: int) -> None:
    lines = readable(endpoint_view(ENDPOINT), width=width).splitlines()

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


def test_of_several_regions_is_told_which_epoch_each_serves() -> None:
    regions = (
        ServingRegion(region="eu", epoch=7, first_epoch=3),
        ServingRegion(region="us", epoch=5, first_epoch=3, behind_since="2026-11-30T14:03:07Z"),
    )
    shown = readable(endpoint_view(msgspec.structs.replace(ENDPOINT, regions=regions)), width=120)

    assert "  eu      7" in shown
    assert "  us      5             2026-11-30T14:03:07Z" in shown
    assert "\nregions\n" not in readable(endpoint_view(ENDPOINT), width=120)


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
