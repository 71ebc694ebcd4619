"""Monitors over HTTP, by the client library, and as the drift watch reports of them."""

import time
from typing import Any

import httpx
import msgspec
import pytest

from rollbook import AsyncRollbook, NotFound, Problem
from rollbook.resources import Bounds, Monitor, ReferenceTraffic
from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR_MS = 3_600_000


def stretch() -> ReferenceTraffic:
    now_ms = time.time_ns() // 1_000_000
    return ReferenceTraffic(from_ms=now_ms - 48 * HOUR_MS, until_ms=now_ms - 4 * HOUR_MS)


def drift_watch(api: RunningApi) -> httpx.AsyncClient:
    return api.client((api.data_dir / "secrets" / "drift.token").read_text(encoding="utf-8"))


def look(monitor: Monitor, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "begun_at_version": 1,
        "since_ms": monitor.since_ms,
        "until_ms": monitor.since_ms + 2 * HOUR_MS,
        "windows": 2,
        "rows": 400,
        "log_evidence": 0.3,
        "findings": [],
        "lacking": None,
        "lacking_reason": "",
        "reference_digest": "sha256:" + "a" * 64,
        "windows_digest": "sha256:" + "b" * 64,
        "method": "1",
    } | changes


FINDING = {
    "feature": "input.pixels[3]",
    "kind": "location",
    "category": "",
    "direction": "up",
    "began_at_ms": 1_700_000_000_000,
    "effect": 0.13,
    "lower": 0.11,
    "upper": 0.15,
    "reference": 0.5,
    "allowed": 0.02,
    "rows": 400,
    "reference_rows": 9_600,
    "log_evidence": 14.2,
}


async def test_a_monitor_is_created_learns_finds_a_drift_and_is_acknowledged(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client, drift_watch(api) as watch:
        created = await client.monitors.create("pixels", "digits", stretch(), bounds=Bounds(location=0.05))
        path = f"/v1/monitors/{created.id}"
        fixed = {"digest": "sha256:" + "a" * 64, "windows": 48, "rows": 9_600, "features": ["input.pixels[3]"]}
        await done(watch.post(f"{path}/reference", json=fixed))
        calm = await done(watch.post(f"{path}/looks", json=look(created)))
        found = await done(watch.post(f"{path}/looks", json=look(created, log_evidence=12.0, findings=[FINDING])))
        shown = await client.monitors.get("pixels")
        again = await client.monitors.acknowledge("pixels", "new cameras")

        assert (created.phase, created.endpoint_id, created.terms.bounds.location) == (
            "learning",
            stage.endpoint_id,
            0.05,
        )
        assert created.stretch.deployment_ids
        assert (calm["phase"], calm["outcome"]) == ("watching", "no_drift")
        assert (found["outcome"], shown.outcome) == ("drift", "drift")
        assert shown.reason.startswith("input.pixels[3] is higher than in the reference")
        assert (again.outcome, again.findings) == (None, [])
        assert again.since_ms > shown.since_ms
        kinds = [each.event["type"] for each in await client.events(stream=created.id, limit=100)]
        assert kinds == [
            "monitors.MonitorCreated.v1",
            "monitors.ReferenceFixed.v1",
            "monitors.DriftJudged.v1",
            "monitors.DriftJudged.v1",
            "monitors.DriftAcknowledged.v1",
        ]


async def test_monitors_are_listed_by_endpoint_and_a_removed_one_frees_its_name(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        first = await client.monitors.create("one-of-two", "digits", stretch())
        with pytest.raises(Problem) as taken:
            await client.monitors.create("one-of-two", "digits", stretch())
        await client.monitors.remove("one-of-two", "no longer needed")
        with pytest.raises(NotFound):
            await client.monitors.get("one-of-two")
        second = await client.monitors.create("one-of-two", stage.endpoint_id, stretch(), detector="prediction_drift")

        assert taken.value.code == "name-taken"
        assert first.id != second.id
        listed = await client.monitors.list(endpoint="digits")
        assert second.id in [each.id for each in listed]
        assert first.id not in [each.id for each in listed]
        assert await client.monitors.list(endpoint="letters") == []


async def test_a_monitor_is_changed_paused_and_resumed(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        await client.monitors.create("changing", "digits", stretch())
        changed = await client.monitors.change("changing", "fewer pages", false_alarm_budget=0.01)
        paused = await client.monitors.pause("changing", "holidays")
        resumed = await client.monitors.resume("changing", "back")

        assert changed.terms.false_alarm_budget == 0.01
        assert changed.terms.window_ms == HOUR_MS
        assert (paused.phase, resumed.phase) == ("paused", "learning")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"endpoint": "letters"}, "endpoint-not-found", "endpoint"),
        ({"window_s": 70}, "invalid-monitor", "window_s"),
        ({"window_s": 59}, "invalid-body", "window_s"),
        ({"false_alarm_budget": 1.0}, "invalid-body", "false_alarm_budget"),
        ({"detector": "tea_leaves"}, "invalid-body", "detector"),
        ({"bounds": {"location": 2}}, "invalid-monitor", "bounds.location"),
        ({"reference": {"from_ms": 0, "until_ms": 1}}, "invalid-monitor", "reference.from_ms"),
        ({"reference": {"from_ms": 1, "until_ms": 4_000_000_000_000}}, "invalid-monitor", "reference.until_ms"),
    ],
)
async def test_a_monitor_that_promises_nothing_is_refused(
    api: RunningApi, stage: Stage, changes: dict[str, Any], code: str, field: str
) -> None:
    now_ms = time.time_ns() // 1_000_000
    body = {
        "name": "wrong",
        "endpoint": "digits",
        "reference": {"from_ms": now_ms - 48 * HOUR_MS, "until_ms": now_ms - 1_000},
    }

    refused = await api.admin.post("/v1/monitors", json=body | changes)

    assert (refused.json()["code"], refused.json()["field"]) == (code, field)
    assert refused.json()["remedy"]


async def test_a_reference_of_deployments_that_are_not_there_is_refused(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        reference = msgspec.structs.replace(stretch(), deployments=["digits/99"])
        with pytest.raises(Problem) as refused:
            await client.monitors.create("nowhere", "digits", reference)

    assert (refused.value.code, refused.value.field) == ("invalid-monitor", "reference.deployments")
    assert "digits/1" in str(refused.value)


async def test_a_calm_monitor_has_nothing_to_acknowledge(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        await client.monitors.create("calm", "digits", stretch())
        with pytest.raises(Problem) as refused:
            await client.monitors.acknowledge("calm", "seen")

    assert refused.value.code == "no-drift-to-acknowledge"
