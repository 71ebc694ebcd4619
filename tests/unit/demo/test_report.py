"""What the demo's report says of a decision."""

from typing import Any

from rollbook_demo.evidence import Evidence
from rollbook_demo.report import html_report

VERDICT = {
    "gate": "quality",
    "outcome": "fail",
    "reason": "accuracy fell from 94.0 % to 82.0 %",
    "estimate": 0.12,
    "lower": 0.0639,
    "upper": 0.1836,
    "alpha": 0.05 / 12,
    "subject": "accuracy",
    "unit": "labels",
    "worse": "below",
    "candidate": {"trials": 1_000, "bad": 180},
    "baseline": {"trials": 9_000, "bad": 540},
    "max_difference": 0.02,
    "min_trials": 50,
}
JUDGED = {
    "at": "2026-01-02T03:04:05.678Z",
    "type": "rollouts.StepJudged.v1",
    "summary": "Step 0 judged: abort (quality fail)",
    "reason": "Aborted at 5 %: accuracy fell from 94.0 % to 82.0 %.",
    "verdicts": [VERDICT],
}
STARTED = JUDGED | {"type": "rollouts.RolloutStarted.v1", "summary": "Started <b>", "reason": "", "verdicts": []}


def evidence(*items: dict[str, Any]) -> Evidence:
    return Evidence(
        story="digits",
        requests=10,
        failed_requests=0,
        failures={},
        promoted="",
        rolled_back="digits/3",
        decision_to_serving_ms=180.0,
        reasons={},
        provenance={},
        provenance_checked=0,
        provenance_mismatches=0,
        provenance_unknown=0,
        labels_posted=0,
        sql="SELECT 1",
        sql_answer={"meta": [], "data": []},
        audit={"ok": False},
        timelines={"digits/3": list(items)},
        metrics=[],
        quality=[],
        duration_s=1.0,
    )


def test_a_decision_begins_with_its_reason_and_has_a_row_for_each_gate() -> None:
    page = html_report(evidence(STARTED, JUDGED))

    decided = page[page.index("StepJudged") :]
    shown = (
        "Aborted at 5 %",
        "Step 0 judged",
        "<th>compared</th>",
        "820/1,000",
        "8,460/9,000",
        "-18.4 to -6.4",
        "<td>fail<",
    )
    assert [decided.index(text) for text in shown] == sorted(decided.index(text) for text in shown)
    assert page.count("<th>compared</th>") == 1
    assert "Started &lt;b&gt;" in page
