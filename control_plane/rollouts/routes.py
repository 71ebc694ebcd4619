"""/v1/rollouts, the judge's snapshot, and the rollback of an endpoint."""

from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from control_plane.endpoints.resources import EndpointResource
from control_plane.ports import EventStore
from control_plane.rollouts import handlers
from control_plane.rollouts.commands import (
    AbortRollout,
    PauseRollout,
    PromoteRollout,
    ReportWarmUp,
    ResumeRollout,
)
from control_plane.rollouts.queries import active_rollouts, get_rollout, list_rollouts
from control_plane.rollouts.requests import (
    MeasurementRequest,
    ReasonRequest,
    RollbackRequest,
    StartRolloutRequest,
    WarmUpRequest,
)
from control_plane.rollouts.resources import JudgedResource, RolloutResource, RolloutsSnapshot
from control_plane.web.authentication import Authentication, actor_of
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands, expected_version
from control_plane.web.listing import MOST_ITEMS, USUAL_ITEMS, Page
from infra.clock import Clock
from schemas.envelope import rfc3339

_ByHand = type[PauseRollout] | type[ResumeRollout] | type[PromoteRollout] | type[AbortRollout]
_BY_HAND: dict[str, tuple[_ByHand, str]] = {
    "pause": (PauseRollout, "Keep the weights as they are until further notice"),
    "resume": (ResumeRollout, "Go on judging"),
    "promote": (PromoteRollout, "Let the candidate serve everything now"),
    "abort": (AbortRollout, "Give everything back to the baseline"),
}


def router(store: EventStore, commands: Commands, authentication: Authentication, *, clock: Clock) -> Router:
    """Build the routes of rollouts."""
    return Router(
        path="/v1",
        route_handlers=[
            *_readings(store, authentication, clock),
            *_operator_commands(commands, authentication),
            *(_command_by_hand(commands, authentication, verb) for verb in _BY_HAND),
            *_judge_commands(commands, authentication),
        ],
        tags=["rollouts"],
    )


def _readings(store: EventStore, authentication: Authentication, clock: Clock) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("viewer", or_service=True)]

    @get("/rollouts", guards=guards, summary="The rollouts, in the order they were started", sync_to_thread=True)
    def find_rollouts(
        request: Request[Any, Any, Any],
        endpoint: FromQuery[str | None] = None,
        active: FromQuery[bool] = False,  # noqa: FBT002  Litestar binds query parameters by name
        cursor: FromQuery[str] = "",
        limit: FromQuery[int] = USUAL_ITEMS,
    ) -> Page[RolloutResource]:
        most = max(1, min(limit, MOST_ITEMS))
        items = list_rollouts(
            store.catalogue(),
            workspace=actor_of(request).workspace,
            endpoint=endpoint,
            only_active=active,
            after=cursor,
            limit=most,
        )
        return Page(items=items, next=items[-1].id if len(items) == most else None)

    @get("/rollouts/{rollout_id:str}", guards=guards, summary="Phase, step and last verdicts", sync_to_thread=True)
    def show_rollout(request: Request[Any, Any, Any], rollout_id: FromPath[str]) -> Response[RolloutResource]:
        found = get_rollout(store.catalogue(), rollout_id, workspace=actor_of(request).workspace)
        return Response(found, headers={"etag": f'"{found.stream_version}"'})

    @get("/snapshots/rollouts", guards=guards, summary="What a judge starts from", sync_to_thread=True)
    def snapshot_rollouts(request: Request[Any, Any, Any]) -> RolloutsSnapshot:
        # The position is read first: rows may be newer than it, and their events only repeat what they show.
        position = store.head()
        rollouts = active_rollouts(store.catalogue(), workspace=actor_of(request).workspace)
        return RolloutsSnapshot(position=position, at=rfc3339(clock.now_ms()), rollouts=rollouts)

    return [find_rollouts, show_rollout, snapshot_rollouts]


def _operator_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("operator")]

    @post(
        "/rollouts",
        guards=guards,
        opt={"body": StartRolloutRequest, "answer": RolloutResource},
        summary="Roll a version out, step by step, behind gates",
    )
    async def start_rollout(request: Request[Any, Any, Any]) -> Response[bytes]:
        body, version = await read_body(request, StartRolloutRequest), expected_version(request)
        return await commands.run(request, lambda unit: handlers.start_rollout(unit, body, expected_version=version))

    @post(
        "/endpoints/{endpoint:str}/rollback",
        guards=guards,
        opt={"body": RollbackRequest, "answer": EndpointResource},
        summary="Go back to an earlier split of the traffic",
    )
    async def rollback_endpoint(request: Request[Any, Any, Any], endpoint: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, RollbackRequest), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.rollback_endpoint(unit, endpoint, body, expected_version=version)
        )

    return [start_rollout, rollback_endpoint]


def _command_by_hand(commands: Commands, authentication: Authentication, verb: str) -> HTTPRouteHandler:
    command_type, summary = _BY_HAND[verb]

    @post(
        f"/rollouts/{{rollout_id:str}}/{verb}",
        guards=[authentication.at_least("operator")],
        opt={"body": ReasonRequest, "answer": RolloutResource},
        summary=summary,
        operation_id=f"{verb}_rollout",
        status_code=200,
    )
    async def decide_by_hand(request: Request[Any, Any, Any], rollout_id: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, ReasonRequest), expected_version(request)
        command = command_type(reason=body.reason)
        return await commands.run(
            request, lambda unit: handlers.command_rollout(unit, rollout_id, command, expected_version=version)
        )

    return decide_by_hand


def _judge_commands(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.service()]

    @post(
        "/rollouts/{rollout_id:str}/warm-up",
        guards=guards,
        opt={"body": WarmUpRequest, "answer": RolloutResource},
        summary="How the candidate warms",
        status_code=200,
    )
    async def report_warm_up(request: Request[Any, Any, Any], rollout_id: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, WarmUpRequest), expected_version(request)
        command = ReportWarmUp(ready_instances=body.ready_instances, elapsed_ms=body.elapsed_ms, failure=body.failure)
        return await commands.run(
            request, lambda unit: handlers.command_rollout(unit, rollout_id, command, expected_version=version)
        )

    @post(
        "/rollouts/{rollout_id:str}/measurements",
        guards=guards,
        opt={"body": MeasurementRequest, "answer": JudgedResource},
        summary="What was measured",
        status_code=200,
    )
    async def report_measurement(request: Request[Any, Any, Any], rollout_id: FromPath[str]) -> Response[bytes]:
        body, version = await read_body(request, MeasurementRequest), expected_version(request)
        command = body.command()
        return await commands.run(
            request, lambda unit: handlers.judge_step(unit, rollout_id, command, expected_version=version)
        )

    return [report_warm_up, report_measurement]
