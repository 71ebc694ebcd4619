"""The HTML report: one self-contained file with weights, accuracy, latency and verdicts over time."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import msgspec

from rollbook.gate_rows import explanations, gate_rows, level_of
from rollbook.resources import Verdict
from rollbook_demo.charts import Axis, Line, line_chart
from rollbook_demo.evidence import Evidence, audit_sentence, each_reason_once

_COLOURS = ("#5b6b7f", "#1f8a5b", "#c2452d", "#7a4fb5")
_Z95 = 1.96
_WEIGHT_EVENTS = {"endpoints.TrafficShifted.v1", "rollouts.StepStarted.v1"}
_DECISIONS = {"rollouts.StepJudged.v1", "rollouts.RolloutAborted.v1", "rollouts.RolloutPromoted.v1"}


def html_report(evidence: Evidence) -> str:
    """Return the whole page."""
    origin = min((one["bucket_ms"] for one in evidence.metrics), default=0)
    last = max((one["bucket_ms"] for one in evidence.metrics), default=origin)
    seconds = Axis(low=0.0, high=max((last - origin) / 1000, 1.0), unit=" s")
    colours = _colours(evidence)
    template = Template((files("rollbook_demo") / "report.html").read_text(encoding="utf-8"))
    marks = [_seconds(item["at"], origin) for item in _items(evidence) if item["type"] in _DECISIONS]
    return template.substitute(
        verdict=_verdict(evidence),
        legend=_legend(colours),
        weights=line_chart(
            "Share of answers per version",
            _shares(evidence.metrics, origin, colours),
            seconds=seconds,
            values=Axis(low=0, high=100, unit=" %"),
            marks=marks,
        ),
        accuracy=line_chart(
            "Accuracy per version with 95 % bounds",
            _accuracy(evidence.quality, origin, colours),
            seconds=seconds,
            values=Axis(low=60, high=100, unit=" %"),
            marks=marks,
        ),
        latency=_latency_chart(evidence.metrics, origin, colours, seconds, marks),
        timelines="".join(_timeline(name, items) for name, items in evidence.timelines.items()),
        facts=_facts(evidence),
        sql=escape(evidence.sql),
        sql_answer=_table(evidence.sql_answer),
        provenance=_provenance(evidence),
    )


def _items(evidence: Evidence) -> list[dict[str, Any]]:
    return [item for items in evidence.timelines.values() for item in items]


def _colours(evidence: Evidence) -> dict[str, str]:
    versions = sorted({one["version"] for one in evidence.metrics})
    return {version: _COLOURS[index % len(_COLOURS)] for index, version in enumerate(versions)}


def _seconds(at: str, origin_ms: int) -> float:
    return datetime.fromisoformat(at).timestamp() - origin_ms / 1000


def _shares(metrics: Sequence[dict[str, Any]], origin: int, colours: dict[str, str]) -> list[Line]:
    total: dict[int, int] = defaultdict(int)
    each: dict[tuple[int, str], int] = defaultdict(int)
    for one in metrics:
        total[one["bucket_ms"]] += one["requests"]
        each[one["bucket_ms"], one["version"]] += one["requests"]
    return [
        Line(
            name=version,
            colour=colour,
            points=[((at - origin) / 1000, 100 * each.get((at, version), 0) / total[at]) for at in sorted(total)],
        )
        for version, colour in colours.items()
    ]


def _accuracy(quality: Sequence[dict[str, Any]], origin: int, colours: dict[str, str]) -> list[Line]:
    lines = []
    for version, colour in colours.items():
        cells = [one for one in quality if one["version"] == version]
        bounds = [((one["bucket_ms"] - origin) / 1000, *_wilson(one["correct"], one["labelled"])) for one in cells]
        points = [((one["bucket_ms"] - origin) / 1000, 100 * one["accuracy"]) for one in cells]
        lines.append(Line(name=version, colour=colour, points=points, band=bounds))
    return lines


def _wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the Wilson score interval at 95 % in percent (Wilson 1927); for the eye only, no gate uses it."""
    share, spread = hits / trials, _Z95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return 100 * (centre - half), 100 * (centre + half)


def _latency_chart(
    metrics: Sequence[dict[str, Any]],
    origin: int,
    colours: dict[str, str],
    seconds: Axis,
    marks: Sequence[float],
) -> str:
    lines = []
    for version, colour in colours.items():
        cells = [one for one in metrics if one["version"] == version]
        times = [(one["bucket_ms"] - origin) / 1000 for one in cells]
        points = [(at, one["p50_ms"]) for at, one in zip(times, cells, strict=True)]
        band = [(at, one["p50_ms"], one["p95_ms"]) for at, one in zip(times, cells, strict=True)]
        lines.append(Line(name=version, colour=colour, points=points, band=band))
    return line_chart(
        "Latency", lines, seconds=seconds, values=Axis(low=0, high=_ceiling(metrics), unit=" ms"), marks=marks
    )


def _ceiling(metrics: Sequence[dict[str, Any]]) -> float:
    """Return a round number above nearly all 95th percentiles, in ms; the rest is cut off."""
    highest = sorted(one["p95_ms"] for one in metrics)[: max(1, len(metrics) * 98 // 100)]
    top = max(highest, default=1.0)
    step = 4 * 10 ** math.floor(math.log10(top / 4)) if top > 0 else 1.0
    return step * math.ceil(top / step)


def _verdict(evidence: Evidence) -> str:
    failed = "no request failed" if not evidence.failed_requests else f"{evidence.failed_requests} requests failed"
    return escape(
        f"{evidence.promoted or 'Nothing'} was promoted and {evidence.rolled_back or 'nothing'} was rolled back, "
        f"both automatically; of {evidence.requests:,} requests {failed}."
    )


def _legend(colours: dict[str, str]) -> str:
    return "".join(f'<span style="--c:{colour}">{escape(version)}</span>' for version, colour in colours.items())


def _timeline(name: str, items: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(item['at'][11:23])}</td><td>{escape(item['type'].split('.')[1])}</td>"
        f"<td>{_sentence(item, reason)}{_gates(item)}</td></tr>"
        for item, reason in each_reason_once(items)
    )
    return f"<h3>{escape(name)}</h3><table>{rows}</table>"


def _sentence(item: dict[str, Any], reason: str) -> str:
    summary = escape(item["summary"])
    return f"{escape(reason)}<br><small>{summary}</small>" if reason else summary


def _gates(item: dict[str, Any]) -> str:
    """Write what each gate of a decision compared as a row."""
    verdicts = msgspec.convert(item["verdicts"], list[Verdict])
    if not verdicts:
        return ""
    level = f"{level_of(verdicts)} interval"
    head = "".join(f"<th>{name}</th>" for name in ("compared", "candidate", "baseline", "points", "allowed", "verdict"))
    rows = "".join(
        f"<tr><td>{escape(row.compared)}</td>"
        f"<td>{row.candidate}<br><small>{row.candidate_count}</small></td>"
        f"<td>{row.baseline}<br><small>{row.baseline_count}</small></td>"
        f"<td>{row.difference}<br><small>{level} {row.interval}</small></td>"
        f"<td>{row.allowed}</td><td>{escape(row.outcome)}</td></tr>"
        for row in gate_rows(verdicts)
    )
    told = "".join(f"<p><small>{escape(sentence)}</small></p>" for sentence in explanations(verdicts))
    return f'<table class="gates"><tr>{head}</tr>{rows}</table>{told}'


def _facts(evidence: Evidence) -> str:
    facts = {
        "requests": f"{evidence.requests:,}, {evidence.failed_requests} failed",
        "labels posted late": f"{evidence.labels_posted:,}",
        "decision to serving the last good version": f"{evidence.decision_to_serving_ms:.0f} ms",
        "provenance": f"{evidence.provenance_checked:,} answers computed from their prediction id alone, "
        f"{evidence.provenance_mismatches} differ from the headers seen, {evidence.provenance_unknown} unknown",
        "audit": audit_sentence(evidence.audit),
    }
    return "".join(f"<tr><td>{escape(name)}</td><td>{escape(fact)}</td></tr>" for name, fact in facts.items())


def _table(answer: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(column['name'])}</th>" for column in answer["meta"])
    rows = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in answer["data"])
    return f"<table><tr>{head}</tr>{rows}</table>"


def _provenance(evidence: Evidence) -> str:
    served, event = evidence.provenance, evidence.provenance.get("event") or {}
    return escape(
        f"{served.get('prediction_id')} was answered by {served.get('version')} "
        f"({served.get('deployment_id')}) under epoch {served.get('epoch')}, set by event {event.get('id')} "
        f"of {event.get('time')}: {event.get('data', {}).get('reason')}"
    )
