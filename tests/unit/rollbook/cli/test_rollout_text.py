"""What people see of a rollout: how it stands and why, and then a row for each gate."""

from typing import Any

import msgspec
import pytest

from rollbook.cli.gate_table import gate_lines
from rollbook.cli.views import rollout_text
from rollbook.progress import line_of
from rollbook.resources import Counts, Rollout, Verdict, VersionReference

UUID = "01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
AT = "2026-01-02T03:04:05.678Z"


def counts(bad: int, trials: int) -> Counts:
    return Counts(bad=bad, trials=trials)


def verdict(gate: str, outcome: str, reason: str, **changes: Any) -> Verdict:  # noqa: ANN401  members of any type
    bounds = {"estimate": None, "lower": None, "upper": None} | changes
    return Verdict(gate=gate, outcome=outcome, reason=reason, alpha=0.05 / 12, **bounds)


QUALITY = verdict(
    "quality",
    "fail",
    "accuracy fell from 94.0 % to 82.0 %",
    estimate=0.12,
    lower=0.0639,
    upper=0.1836,
    subject="accuracy",
    unit="labels",
    worse="below",
    candidate=counts(180, 1_000),
    baseline=counts(540, 9_000),
    max_difference=0.02,
)
CALLERS = verdict(
    "caller_error_rate",
    "pass",
    "requests refused with 4xx held: 4.0 % vs 4.0 %",
    estimate=-0.0001,
    lower=-0.028,
    upper=0.0385,
    subject="requests refused with 4xx",
    unit="requests",
    candidate=counts(40, 1_000),
    baseline=counts(360, 8_978),
    max_difference=0.05,
)
RATING = verdict(
    "rating",
    "no_data",
    "rating has had no ratings called stars on the candidate since 22:15:00 UTC, when the step was applied; "
    "it is passed over as configured",
    subject="ratings below 3",
    unit="ratings",
    candidate=counts(0, 0),
    baseline=counts(540, 9_000),
    max_difference=0.02,
    is_passed_over=True,
)
EARLIER = verdict("latency", "pass", "requests over 250 ms held: 0.3 % vs 0.4 % on 1,000 requests", estimate=0.001)
ROLLOUT = Rollout(
    id=f"rollout-{UUID}",
    endpoint_id=f"endpoint-{UUID}",
    endpoint_name="digits",
    phase="aborted",
    step=1,
    weight_percent=0.0,
    epoch=14,
    candidate_deployment_id=f"deployment-{UUID}",
    candidate=VersionReference(version_id=f"version-{UUID}", model_name="digits", number=2),
    baseline_deployment_id=f"deployment-{UUID}",
    baseline=VersionReference(version_id=f"version-{UUID}", model_name="digits", number=1),
    replicas=1,
    strategy={},
    gates=[],
    alpha=0.05,
    when_inconclusive="pause",
    warm_up_timeout_ms=600_000,
    max_lag_ms=30_000,
    allow_signature_change=False,
    verdicts=[QUALITY, CALLERS, RATING],
    reason="Aborted at 25 %: accuracy fell from 94.0 % to 82.0 %.",
    started_at=AT,
    step_started_at=AT,
    finished_at=AT,
    stream_version=9,
)

WIDE = """\
phase   aborted
reason  Aborted at 25 %: accuracy fell from 94.0 % to 82.0 %.

compared                   candidate             baseline               points  99.6 % interval  allowed  verdict
accuracy                      82.0 %  820/1,000    94.0 %  8,460/9,000   -12.0    -18.4 to -6.4     -2.0  fail
requests refused with 4xx      4.0 %   40/1,000     4.0 %    360/8,978     0.0     -2.8 to +3.9     +5.0  pass
ratings below 3                    -        0/0     6.0 %    540/9,000       -                -     +2.0  no data, \
passed over

Rating has had no ratings called stars on the candidate since 22:15:00 UTC, when the step was applied; \
it is passed over as configured.

candidate    digits/2
"""
NARROW = """\
compared              candidate     baseline           points  allowed  verdict
                                              99.6 % interval
accuracy                 82.0 %       94.0 %            -12.0     -2.0  fail
                      820/1,000  8,460/9,000    -18.4 to -6.4
requests refused          4.0 %        4.0 %              0.0     +5.0  pass
with 4xx               40/1,000    360/8,978     -2.8 to +3.9
ratings below 3               -        6.0 %                -     +2.0  no data,
                            0/0    540/9,000                -           passed
                                                                        over

Rating has had no ratings called stars on the candidate since 22:15:00 UTC, when
the step was applied; it is passed over as configured."""


def test_a_rollout_begins_with_how_it_stands_and_why_and_goes_on_with_its_gates() -> None:
    shown = rollout_text(ROLLOUT, width=140)

    assert shown.startswith(WIDE)
    assert f"id           rollout-{UUID}" in shown


def test_a_narrow_terminal_has_two_lines_for_each_gate() -> None:
    assert "\n".join(gate_lines([QUALITY, CALLERS, RATING], width=80)) == NARROW


def test_a_very_narrow_one_has_a_line_for_each_figure() -> None:
    assert gate_lines([QUALITY], width=50) == [
        "accuracy: fail",
        "  candidate  82.0 %  820/1,000",
        "  baseline   94.0 %  8,460/9,000",
        "  points     -12.0, -2.0 allowed",
        "  99.6 % interval  -18.4 to -6.4",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_a_rollout_fits_the_terminal_and_has_nothing_of_python_in_it(width: int) -> None:
    lines = rollout_text(ROLLOUT, width=width).splitlines()

    assert max(len(line) for line in lines if UUID not in line) <= width
    assert not any(sign in line for line in lines for sign in ("{", "}", "None", "True", "Struct", "',"))
    assert all(line == line.rstrip() for line in lines)


def test_small_shares_give_all_rows_one_digit_more() -> None:
    small = verdict("error_rate", "pass", "held", subject="error rate", candidate=counts(0, 9), baseline=counts(1, 999))

    (_header, errors, quality) = gate_lines([small, QUALITY], width=140)

    assert errors.split()[2:8] == ["0.00", "%", "0/9", "0.10", "%", "1/999"]
    assert quality.split()[1:7] == ["82.00", "%", "820/1,000", "94.00", "%", "8,460/9,000"]


def test_a_verdict_of_an_earlier_release_is_told_by_its_reason() -> None:
    lines = gate_lines([EARLIER], width=140)

    assert lines[-1] == "Requests over 250 ms held: 0.3 % vs 0.4 % on 1,000 requests."
    assert lines[1].split()[0] == "latency"


def test_regions_that_were_not_waited_for_are_named_once() -> None:
    without = [msgspec.structs.replace(each, without_regions=["eu", "us"]) for each in (QUALITY, CALLERS)]

    assert gate_lines(without, width=140)[3:] == ["", "Judged without eu, us."]


def test_gates_that_wait_for_the_same_records_say_so_once() -> None:
    late = [verdict(gate, "late", "the view of requests did not answer", subject=gate) for gate in ("one", "two")]

    assert gate_lines(late, width=140)[-2:] == ["", "The view of requests did not answer."]


@pytest.mark.parametrize(
    ("phase", "weight", "reason", "line"),
    [
        ("warming", 0.0, "", "warming        0 %"),
        ("stepping", 2.5, "Started at 2.5 %: all is well.", "stepping     2.5 %  Started at 2.5 %: all is well."),
        ("completed", 100.0, "Completed.", "completed    100 %  Completed."),
    ],
)
def test_lines_of_progress_stand_below_each_other(phase: str, weight: float, reason: str, line: str) -> None:
    class Seen:
        def __init__(self) -> None:
            self.phase, self.weight_percent, self.reason = phase, weight, reason

    assert line_of(Seen()) == line  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alpha", "level"), [(0.05, "95.0 %"), (0.05 / 12, "99.6 %"), (0.01 / 24, "99.96 %"), (1e-6 / 24, "99.999996 %")]
)
def test_no_interval_is_called_certain(alpha: float, level: str) -> None:
    (heading, *_) = gate_lines([msgspec.structs.replace(QUALITY, alpha=alpha)], width=120)

    assert f" {level} interval" in heading
