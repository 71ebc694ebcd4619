"""Rollouts through the API's routes on the real store, in one process; Kafka and ClickHouse are away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from control_plane.bootstrap import open_api
from control_plane.event_store.log_file import open_log_file
from control_plane.rollouts.policies import with_caller_errors
from control_plane.settings import ApiSettings
from infra.kafka.connection import KafkaConnection
from infra.kafka.serving_state import Documents
from infra.ports import free_ports
from schemas.documents.records import StateRecord
from schemas.events.endpoints import DEFAULT_KEY
from tests.support.api import ANY_PROGRAM
from tests.support.builders import GATES, HEALTHY, WRONG, canary, gate_counts
from tests.support.digits import SIGNATURE, model_bytes, served
from workers.rollout_judge.state import Moment, Picture

pytestmark = pytest.mark.integration
APPLIED_AT = "2026-01-02T03:04:05.678Z"


class Caller:
    """One client with one token; a body is any JSON value or struct."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._token = token

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self._token}", **{key.replace("_", "-"): headers[key] for key in headers}}
        content = None if body is None else msgspec.json.encode(body)
        return await self._client.request(method, path, content=content, headers=sent)

    async def done(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        response = await self.send(method, path, body, **headers)
        assert response.is_success, response.text
        return cast("dict[str, Any]", response.json())


class Api:
    """The API with two versions of digits and an endpoint that serves the first."""

    def __init__(self, people: Caller, programs: Caller) -> None:
        self.people = people
        self.programs = programs

    async def begin(self, version: str = "digits/2", **headers: str) -> httpx.Response:
        body = {"endpoint": "digits", "version": version, "gates": GATES, "strategy": canary()}
        return await self.people.send("POST", "/v1/rollouts", body, **headers)

    async def measure(self, rollout_id: str, watermark_ms: int, **changes: object) -> dict[str, Any]:
        now = await self.people.done("GET", f"/v1/rollouts/{rollout_id}")
        body = {
            "step": now["step"],
            "epoch": now["epoch"],
            "watermark_ms": watermark_ms,
            "elapsed_ms": 10_000,
            "freshness": "fresh",
            "counts": HEALTHY,
            **changes,
        }
        return await self.programs.done("POST", f"/v1/rollouts/{rollout_id}/measurements", body)

    async def events(self) -> list[str]:
        answer = await self.people.done("GET", "/v1/events?after=0&limit=1000")
        return [item["event"]["type"] for item in answer["items"]]


@asynccontextmanager
async def open_client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    kafka, clickhouse = free_ports(2)
    settings = ApiSettings(
        port=1,
        data_dir=folder,
        kafka=KafkaConnection(bootstrap=f"127.0.0.1:{kafka}"),
        clickhouse_url=f"http://127.0.0.1:{clickhouse}",
    )
    async with open_api(settings) as application:
        transport = httpx.ASGITransport(app=cast("Any", application))
        async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=180) as client:
            yield client


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_client(tmp_path) as client:
        people = Caller(client, (tmp_path / "secrets" / "admin.token").read_text().strip())
        programs = Caller(client, (await people.done("POST", "/v1/principals", ANY_PROGRAM))["token"])
        await _register(client, people)
        endpoint = await people.done("POST", "/v1/endpoints", {"name": "digits", "version": "digits/1"})
        await _announce(programs, endpoint["id"], endpoint["deployments"][0]["id"])
        yield Api(people, programs)


async def _register(client: httpx.AsyncClient, people: Caller) -> None:
    digest = served("skops").artifact.digest
    await people.done("POST", "/v1/models", {"name": "digits"})
    headers = {"Authorization": f"Bearer {people._token}"}  # noqa: SLF001  the one upload that is not JSON
    put = await client.put(f"/v1/artifacts/{digest}", content=model_bytes("skops"), headers=headers)
    assert put.is_success, put.text
    for _ in (1, 2):
        body = {"artifact": {"digest": digest, "format": "skops"}, "signature": SIGNATURE}
        await people.done("POST", "/v1/models/digits/versions", body)


async def _announce(programs: Caller, endpoint_id: str, deployment_id: str) -> None:
    body = {
        "endpoint_id": endpoint_id,
        "deployment_id": deployment_id,
        "agent_id": "local",
        "boot_id": "boot-1",
        "host": "127.0.0.1",
        "port": 9_000,
        "region": "local",
        "zone": "local",
    }
    await programs.done("POST", "/v1/instances", body)


async def test_a_rollout_goes_from_its_start_to_its_end(api: Api) -> None:
    rollout = (await api.begin()).json()

    await _announce(api.programs, rollout["endpoint_id"], rollout["candidate_deployment_id"])
    report = {"ready_instances": 1, "elapsed_ms": 100}
    warm = await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)
    decisions = [(await api.measure(rollout["id"], 1_000 + look))["decision"] for look in range(4)]

    shown = await api.people.done("GET", f"/v1/rollouts/{rollout['id']}")
    endpoint = await api.people.done("GET", "/v1/endpoints/digits")
    assert (warm["phase"], warm["step"]) == ("stepping", 0)
    assert decisions == ["advance", "advance", "promote", "complete"]
    assert (shown["phase"], [one["gate"] for one in shown["verdicts"]]) == ("completed", ["error_rate"])
    assert [each["version"] for each in endpoint["deployments"]] == ["digits/2"]
    assert endpoint["active_rollout_id"] is None


async def test_a_gate_without_data_is_passed_over_where_the_plan_says_so(api: Api) -> None:
    plan = {"endpoint": "digits", "version": "digits/2", "gates": GATES, "strategy": canary(), "when_no_data": "pass"}
    rollout = await api.people.done("POST", "/v1/rollouts", plan)
    report = {"ready_instances": 1, "elapsed_ms": 100}
    await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)
    silent = [gate_counts(each.gate, (0, 0), (0, 0)) for each in HEALTHY]

    early = await api.measure(rollout["id"], 1_000, counts=silent)
    ended = await api.measure(rollout["id"], 2_000, counts=silent, elapsed_ms=60_000)

    assert [each["decision"] for each in (early, ended)] == ["none", "advance"]
    assert {(each["outcome"], each["is_passed_over"]) for each in ended["verdicts"]} == {("no_data", True)}
    assert ended["reason"].startswith("Raised to 25 %: no gate passes at 5 %; error rate")


async def test_measurements_of_many_rollouts_are_decided_one_by_one(api: Api) -> None:
    rollout = (await api.begin()).json()
    report = {"ready_instances": 1, "elapsed_ms": 100}
    warm = await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)
    sound = {
        "step": 0,
        "epoch": warm["epoch"],
        "watermark_ms": 1_000,
        "elapsed_ms": 10_000,
        "freshness": "fresh",
        "counts": HEALTHY,
    }
    items = [
        {"rollout_id": "rollout-nowhere", "measurement": sound},
        {"rollout_id": rollout["id"], "measurement": {**sound, "counts": ()}},
        {"rollout_id": rollout["id"], "measurement": sound},
        {"rollout_id": rollout["id"], "measurement": sound},
    ]

    answer = await api.programs.done("POST", "/v1/rollouts/measurements", {"items": items}, idempotency_key="once")
    again = await api.programs.done("POST", "/v1/rollouts/measurements", {"items": items}, idempotency_key="once")

    unknown, incomplete, first, second = answer["items"]
    shown = await api.people.done("GET", f"/v1/rollouts/{rollout['id']}")
    events = await api.people.done("GET", "/v1/events?after=0&limit=1000")
    assert [each["problem"]["code"] for each in (unknown, incomplete)] == ["rollout-not-found", "invalid-measurement"]
    assert [each["answer"]["decision"] for each in (first, second)] == ["advance", "none"]
    assert (shown["step"], answer["position"]) == (1, events["items"][-1]["position"])
    assert again["items"][2:] == answer["items"][2:]


async def test_a_bake_that_waits_for_records_is_ended_by_a_promotion(api: Api) -> None:
    rollout = (await api.begin()).json()
    report = {"ready_instances": 1, "elapsed_ms": 100}
    await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)
    for look in range(3):
        await api.measure(rollout["id"], 1_000 + look)

    late = {"freshness": "late", "lag_ms": 90_000, "elapsed_ms": 1_000, "lasted_ms": 90_000}
    waiting = await api.measure(rollout["id"], 2_000, **late)
    shown = await api.people.done("POST", f"/v1/rollouts/{rollout['id']}/promote", {"reason": "seen enough"})

    endpoint = await api.people.done("GET", "/v1/endpoints/digits")
    assert (waiting["decision"], waiting["phase"]) == ("none", "baking")
    assert waiting["reason"].startswith("Still baking at 100 % after 90 s: records since 00:00:02 UTC are missing")
    assert (shown["phase"], shown["reason"]) == ("completed", "seen enough")
    assert [each["version"] for each in endpoint["deployments"]] == ["digits/2"]
    assert endpoint["active_rollout_id"] is None


async def test_an_abort_gives_the_traffic_back_in_the_same_command(api: Api) -> None:
    rollout = (await api.begin()).json()
    report = {"ready_instances": 1, "elapsed_ms": 100}
    await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)

    judged = await api.measure(rollout["id"], 1_000, counts=WRONG)

    endpoint = await api.people.done("GET", "/v1/endpoints/digits")
    assert (judged["decision"], judged["phase"]) == ("abort", "aborted")
    assert [(each["deployment_id"], each["weight_percent"]) for each in endpoint["allocations"]] == [
        (rollout["baseline_deployment_id"], 100.0)
    ]
    assert endpoint["epoch"] == judged["epoch"]


async def test_of_two_rollouts_started_at_once_one_is_refused_and_leaves_nothing(api: Api) -> None:
    answers = await asyncio.gather(*(api.begin() for _ in range(8)))

    accepted = [each for each in answers if each.status_code == 201]
    refused = [each.json() for each in answers if each.status_code == 422]
    assert (len(accepted), len(refused)) == (1, 7)
    assert {each["code"] for each in refused} == {"rollout-active"}
    assert all(accepted[0].json()["id"] in each["detail"] for each in refused)
    types = await api.events()
    assert types.count("rollouts.RolloutStarted.v1") == types.count("endpoints.EndpointReserved.v1") == 1
    assert types.count("endpoints.DeploymentAdded.v1") == 2


async def test_two_judges_racing_decide_a_step_once(api: Api) -> None:
    rollout = (await api.begin()).json()
    report = {"ready_instances": 1, "elapsed_ms": 100}
    warm = await api.programs.done("POST", f"/v1/rollouts/{rollout['id']}/warm-up", report)
    same = {"step": warm["step"], "epoch": warm["epoch"]}

    judged = await asyncio.gather(*(api.measure(rollout["id"], 1_000, **same) for _ in range(6)))

    assert sorted(each["decision"] for each in judged) == ["advance", *["none"] * 5]
    assert (await api.events()).count("rollouts.StepJudged.v1") == 1


async def test_a_repeated_key_starts_one_rollout(api: Api) -> None:
    first, second = [await api.begin(Idempotency_Key="once") for _ in range(2)]

    assert first.json() == second.json()
    assert (await api.events()).count("rollouts.RolloutStarted.v1") == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"version": "digits/1"}, 422, "version-already-live", "version"),
        ({"version": "digits/9"}, 404, "version-not-found", "version"),
        ({"endpoint": "letters"}, 404, "endpoint-not-found", "endpoint"),
        ({"strategy": canary(5, 50)}, 400, "invalid-rollout", "strategy.steps[1].weight_percent"),
        ({"gates": []}, 400, "invalid-rollout", "gates"),
        ({"gate": []}, 400, "invalid-body", "gate"),
        ({"alpha": "small"}, 400, "invalid-body", "alpha"),
        ({"when_late": "pass"}, 400, "invalid-body", "when_late"),
        ({"when_no_data": "go on"}, 400, "invalid-body", "when_no_data"),
    ],
)
async def test_a_refused_start_is_a_problem_with_field_and_remedy(
    api: Api, body: dict[str, object], status: int, code: str, field: str
) -> None:
    before = await api.events()
    sound = {"endpoint": "digits", "version": "digits/2", "gates": GATES, "strategy": canary()}

    response = await api.people.send("POST", "/v1/rollouts", {**sound, **body})

    problem = response.json()
    assert (response.status_code, problem["code"], problem["field"]) == (status, code, field)
    assert problem["remedy"]
    assert await api.events() == before


async def test_only_programs_measure_and_only_people_decide_by_hand(api: Api) -> None:
    rollout = (await api.begin()).json()

    by_program = await api.programs.send("POST", f"/v1/rollouts/{rollout['id']}/abort", {"reason": "no"})

    assert (by_program.status_code, by_program.json()["code"]) == (403, "role-too-weak")


async def test_a_stale_etag_is_refused_and_the_current_one_is_taken(api: Api) -> None:
    response = await api.begin()
    path = f"/v1/rollouts/{response.json()['id']}/abort"

    stale = await api.people.send("POST", path, {"reason": "no"}, If_Match='"7"')
    current = await api.people.send("POST", path, {"reason": "no"}, If_Match=response.headers["etag"])

    assert (stale.status_code, stale.json()["code"]) == (409, "stale-version")
    assert (current.status_code, current.json()["phase"]) == (200, "aborted")


async def test_the_judge_reads_the_documents_that_the_relay_publishes(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        people = Caller(client, (tmp_path / "secrets" / "admin.token").read_text().strip())
        programs = Caller(client, (await people.done("POST", "/v1/principals", ANY_PROGRAM))["token"])
        await _register(client, people)
        endpoint = await people.done("POST", "/v1/endpoints", {"name": "digits", "version": "digits/1"})
        await _announce(programs, endpoint["id"], endpoint["deployments"][0]["id"])
        api = Api(people, programs)
        rollout = (await api.begin()).json()
        warm = await programs.done(
            "POST", f"/v1/rollouts/{rollout['id']}/warm-up", {"ready_instances": 1, "elapsed_ms": 100}
        )
        applied = {"epoch": warm["epoch"], "region": "local", "gateway_id": "g", "applied_at": APPLIED_AT}
        await programs.done("POST", f"/v1/endpoints/{endpoint['id']}/applied", applied)

        picture = Picture()
        with open_log_file(tmp_path / "events" / "registry.sqlite") as log:
            for document in await log.documents(after=(0, ""), up_to=await log.head(), limit=1_000):
                record = StateRecord(
                    kind=document.kind,
                    id=document.id,
                    workspace=document.workspace,
                    stream_version=document.stream_version,
                    position=document.position,
                    event_id=document.event_id,
                    document=msgspec.Raw(document.body),
                )
                picture.take(Documents(records=(record,), is_all=False), Moment(seen_s=0.0, now_ms=0, is_live=False))

        watched = picture.rollouts[rollout["id"]]
        seen = watched.rollout
        assert (seen.phase, seen.step, seen.epoch, seen.gates) == (
            "stepping",
            0,
            warm["epoch"],
            with_caller_errors(GATES, assigned_by=DEFAULT_KEY),
        )
        assert watched.applied_ms is not None
