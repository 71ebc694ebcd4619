"""The evidence after the story: timelines, provenance of every answer, one SQL query, the audit, the numbers."""

import secrets
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from rollbook import Rollbook
from rollbook.cli.profile import Profile
from rollbook.local_stack import program_command
from rollbook.resources import Rollout
from rollbook_demo.load import Answer
from rollbook_demo.stories.base import Outcome, Played

_LOOKUP_SIZE = 5_000
_RECORDS_TIMEOUT_S = 30.0
_WAIT_MS = 10_000
_POLL_S = 0.5
_QUALITY_BUCKET_MS = 2_000
SQL = (
    "SELECT version, count() AS requests, round(quantile(0.99)(duration_ms), 2) AS p99_ms, "
    "countIf(status >= 500 OR status = 0) AS failed "
    "FROM request_records FINAL WHERE role = 'primary' AND kind = 'prediction' AND version != '' "
    "GROUP BY version ORDER BY version"
)


class ProvenanceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How many kept answers were looked up by prediction id alone, and those that differ from the headers seen."""

    checked: int
    mismatches: int
    unknown: int
    example: dict[str, Any]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the report says. Member names are the JSON report's."""

    story: str
    requests: int
    failed_requests: int
    failures: dict[str, int]
    promoted: str
    rolled_back: str
    decision_to_serving_ms: float
    reasons: dict[str, str]
    provenance: dict[str, Any]
    provenance_checked: int
    provenance_mismatches: int
    provenance_unknown: int
    labels_posted: int
    sql: str
    sql_answer: dict[str, Any]
    audit: dict[str, Any]
    timelines: dict[str, list[dict[str, Any]]]
    metrics: list[dict[str, Any]]
    quality: list[dict[str, Any]]
    duration_s: float


def collect(rollbook: Rollbook, profile: Profile, played: Played, *, story: str, duration_s: float) -> Evidence:
    """Ask the log and ClickHouse; nothing here is taken from the demo's own memory but the answers it compares."""
    outcome, progress = played.outcome, played.progress
    provenance = check_provenance(rollbook, played.answers)
    _, better, slipped = outcome.versions
    endpoint, since_ms = outcome.endpoint, outcome.began_at_ms
    metrics = msgspec.to_builtins(rollbook.endpoints.metrics(endpoint, since_ms=since_ms, bucket_ms=1000).items)
    quality = rollbook.endpoints.quality(endpoint, since_ms=since_ms, bucket_ms=_QUALITY_BUCKET_MS).items
    names = {one["deployment_id"]: one["version"] for one in metrics}
    timelines = {
        version.reference: _timeline(rollbook, rollout, names)
        for version, rollout in ((better, outcome.promoted), (slipped, outcome.rolled_back))
    }
    return Evidence(
        story=story,
        requests=progress.sent,
        failed_requests=progress.failed,
        failures=progress.failures,
        promoted=better.reference if outcome.promoted.phase == "completed" else "",
        rolled_back=slipped.reference if outcome.rolled_back.phase == "aborted" else "",
        decision_to_serving_ms=decision_to_serving_ms(rollbook, outcome),
        reasons={better.reference: outcome.promoted.reason, slipped.reference: outcome.rolled_back.reason},
        provenance=provenance.example,
        provenance_checked=provenance.checked,
        provenance_mismatches=provenance.mismatches,
        provenance_unknown=provenance.unknown,
        labels_posted=progress.labels_posted,
        sql=played.sql or SQL,
        sql_answer=rollbook.query(played.sql or SQL),
        audit=verify_log(profile),
        timelines=timelines,
        metrics=metrics,
        quality=msgspec.to_builtins(quality),
        duration_s=duration_s,
    )


def check_provenance(rollbook: Rollbook, answers: list[Answer]) -> ProvenanceCheck:
    """Compute the provenance of every answer from its prediction id and compare it with the headers the caller saw."""
    mismatches, pending = 0, answers
    deadline = time.monotonic() + _RECORDS_TIMEOUT_S
    while pending:
        differing, pending = _compare(rollbook, pending)
        mismatches += differing
        if time.monotonic() > deadline:
            break
        if pending:
            time.sleep(_POLL_S)
    example: dict[str, Any] = {}
    if answers:
        example = msgspec.to_builtins(rollbook.predictions.who_served(secrets.choice(answers).prediction_id))
    return ProvenanceCheck(checked=len(answers), mismatches=mismatches, unknown=len(pending), example=example)


def _compare(rollbook: Rollbook, answers: list[Answer]) -> tuple[int, list[Answer]]:
    mismatches, unknown = 0, []
    for start in range(0, len(answers), _LOOKUP_SIZE):
        part = answers[start : start + _LOOKUP_SIZE]
        found = rollbook.predictions.who_served_each([answer.prediction_id for answer in part])
        served = {one.prediction_id: one for one in found.items}
        for answer in part:
            one = served.get(answer.prediction_id)
            if one is None or f"{one.endpoint_id}/{one.epoch}" not in found.events:
                unknown.append(answer)
            elif (one.version, one.deployment_id, one.epoch) != _seen(answer):
                mismatches += 1
    return mismatches, unknown


def _seen(answer: Answer) -> tuple[str, str, int]:
    return answer.version, answer.deployment_id, answer.epoch


def _timeline(rollbook: Rollbook, rollout: Rollout, names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the timeline with deployments called by their version, as a person would."""
    timeline = rollbook.rollouts.timeline(rollout.id, min_position=rollout.position, wait_ms=_WAIT_MS)
    items: list[dict[str, Any]] = msgspec.to_builtins(timeline.items)
    for item in items:
        for deployment_id, version in names.items():
            item["summary"] = item["summary"].replace(deployment_id, version)
    return items


def decision_to_serving_ms(rollbook: Rollbook, outcome: Outcome) -> float:
    """Return the ms from the abort's decision to the gateway serving the old weights, both from the log.

    Raises:
        LookupError: the log holds no abort that moved traffic, or its traffic was not applied within 10 s.
    """
    rollout_id = outcome.rolled_back.id
    aborted = next(
        (one.event for one in rollbook.events(stream=rollout_id, event_type="rollouts.RolloutAborted.v1")), None
    )
    if aborted is None or aborted["data"]["epoch"] is None:
        raise LookupError(f"rollout {rollout_id} was not aborted with traffic on it")
    endpoint_id, deadline = rollbook.endpoints.get(outcome.endpoint).id, time.monotonic() + _WAIT_MS / 1000
    while time.monotonic() < deadline:
        for one in rollbook.events(stream=endpoint_id, event_type="endpoints.TrafficApplied.v1", limit=1000):
            if one.event["data"]["epoch"] == aborted["data"]["epoch"]:
                return _ms_between(aborted["time"], one.event["data"]["applied_at"])
        time.sleep(_POLL_S)
    raise LookupError(f"the traffic of epoch {aborted['data']['epoch']} was not applied")


def _ms_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000


def verify_log(profile: Profile) -> dict[str, Any]:
    """Recompute the Merkle root from the store in a process of its own, and compare it with the topic."""
    command = program_command("audit", "verify", "--topic", "--data-dir", str(profile.data_dir), "--json")
    finished = subprocess.run(command, capture_output=True, check=False, timeout=120)
    try:
        verdict: dict[str, Any] = msgspec.json.decode(finished.stdout)
    except msgspec.DecodeError:
        verdict = {"error": finished.stderr.decode(errors="replace")[-500:]}
    return {"ok": finished.returncode == 0, **verdict}


def audit_sentence(audit: dict[str, Any]) -> str:
    """Say what the audit found."""
    if not audit["ok"]:
        return f"NOT verified: {audit.get('sentence') or audit.get('error', '')}"
    return f"{audit['sentence']}; {audit['tree_size']} events, Merkle root {audit['root'][:16]}…"


def each_reason_once(items: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """Pair each entry of a timeline with its reason, empty where the entry before it gave the same one."""
    before = ["", *(item["reason"] for item in items)]
    return [(item, "" if item["reason"] == last else item["reason"]) for item, last in zip(items, before, strict=False)]


def is_promoted_and_rolled_back(evidence: Evidence) -> bool:
    """Whether the story ended as it should and every proof holds."""
    ended = bool(evidence.promoted and evidence.rolled_back) and evidence.failed_requests == 0
    proved = not (evidence.provenance_mismatches or evidence.provenance_unknown) and evidence.audit["ok"]
    return ended and bool(proved)
