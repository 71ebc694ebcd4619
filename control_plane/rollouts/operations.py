"""The operations on rollouts, the judge's snapshot, and the rollback of an endpoint."""

from functools import partial

import msgspec

from control_plane.endpoints import errors as endpoint_errors
from control_plane.endpoints.resources import EndpointResource
from control_plane.ports import EventStore
from control_plane.rollouts import commands, errors, handlers, requests
from control_plane.rollouts.queries import active_rollouts, get_rollout, list_rollouts
from control_plane.rollouts.resources import JudgedResource, RolloutResource, RolloutsSnapshot
from control_plane.web.listing import Page, Paging, page
from infra.clock import Clock
from infra.operations import (
    OPERATORS,
    READERS,
    SERVICES,
    Caller,
    Command,
    Content,
    Operation,
    Operations,
    Question,
)
from schemas.envelope import rfc3339
from schemas.events.rollouts import Measurement

_CREATED = 201
_KNOWN = (errors.RolloutNotFoundError, endpoint_errors.StaleVersionError)
_DECIDING = (*_KNOWN, errors.WrongPhaseError, errors.RolloutFinishedError)


class FindRollouts(Paging, frozen=True, kw_only=True):
    """Those of one endpoint, and those that have not ended."""

    endpoint: str | None = None
    active: bool = False


def operations(store: EventStore, *, clock: Clock) -> Operations:
    """Declare them."""
    return Operations(
        "rollouts", [*_questions(store, clock), *_operator_commands(), *_commands_by_hand(), *_judge_commands()]
    )


def find_rollouts(store: EventStore, caller: Caller, asked: FindRollouts) -> Page[RolloutResource]:
    """Return a page of rollouts."""
    items = list_rollouts(
        store.catalogue(),
        workspace=caller.workspace,
        endpoint=asked.endpoint,
        only_active=asked.active,
        after=asked.cursor,
        limit=asked.size,
    )
    return page(items, asked)


def show_rollout(store: EventStore, caller: Caller, rollout_id: str) -> Content:
    """Return one rollout."""
    found = get_rollout(store.catalogue(), rollout_id, workspace=caller.workspace)
    return Content(body=msgspec.json.encode(found), version=found.stream_version)


def snapshot_rollouts(store: EventStore, clock: Clock, caller: Caller) -> RolloutsSnapshot:
    """Return all rollouts that have not ended, with the position of the log from which to follow them."""
    # The position is read first: rows may be newer than it, and their events only repeat what they show.
    position = store.head()
    rollouts = active_rollouts(store.catalogue(), workspace=caller.workspace)
    return RolloutsSnapshot(position=position, at=rfc3339(clock.now_ms()), rollouts=rollouts)


def _questions(store: EventStore, clock: Clock) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/rollouts",
            handler=partial(find_rollouts, store),
            sdk="rollouts.list",
            asks=FindRollouts,
            answers=Page[RolloutResource],
            roles=READERS,
            summary="List the rollouts, oldest first",
            errors=(endpoint_errors.EndpointNotFoundError,),
        ),
        Question(
            method="GET",
            path="/v1/rollouts/{rollout_id}",
            handler=partial(show_rollout, store),
            sdk="rollouts.get",
            answers=RolloutResource,
            is_tagged=True,
            roles=READERS,
            summary="Get a rollout: its phase, its step and the last verdicts",
            errors=(errors.RolloutNotFoundError,),
        ),
        Question(
            method="GET",
            path="/v1/snapshots/rollouts",
            handler=partial(snapshot_rollouts, store, clock),
            answers=RolloutsSnapshot,
            roles=READERS,
            summary="List the active rollouts, as of one position in the log",
        ),
    ]


def _operator_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/rollouts",
            handler=handlers.start_rollout,
            sdk="rollouts.start",
            asks=requests.StartRolloutRequest,
            answers=RolloutResource,
            status=_CREATED,
            roles=OPERATORS,
            summary="Start a rollout of a version, in steps guarded by gates",
            errors=(
                endpoint_errors.EndpointNotFoundError,
                endpoint_errors.StaleVersionError,
                endpoint_errors.VersionNotFoundError,
                endpoint_errors.InvalidReplicasError,
                endpoint_errors.ParentNotDeployedError,
                errors.InvalidRolloutError,
                errors.VersionAlreadyLiveError,
                errors.NoBaselineError,
                errors.BaselineNotReadyError,
                errors.RolloutActiveError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/rollback",
            handler=handlers.rollback_endpoint,
            sdk="endpoints.rollback",
            asks=requests.RollbackRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Restore an earlier traffic split",
            errors=(
                endpoint_errors.EndpointNotFoundError,
                endpoint_errors.StaleVersionError,
                endpoint_errors.EarlierTrafficGoneError,
                endpoint_errors.DeploymentNotReadyError,
            ),
        ),
    ]


def _commands_by_hand() -> list[Operation]:
    return [
        _by_hand("pause", commands.PauseRollout, "Pause a rollout at its current weights"),
        _by_hand("resume", commands.ResumeRollout, "Resume a paused rollout"),
        _by_hand("promote", commands.PromoteRollout, "Promote the candidate to all traffic now"),
        _by_hand("abort", commands.AbortRollout, "Abort a rollout and return all traffic to the baseline"),
    ]


def _by_hand(verb: str, command: type[msgspec.Struct], summary: str) -> Operation:
    return Command(
        method="POST",
        path=f"/v1/rollouts/{{rollout_id}}/{verb}",
        name=f"{verb}_rollout",
        handler=handlers.command_rollout,
        sdk=f"rollouts.{verb}",
        asks=command,
        answers=RolloutResource,
        roles=OPERATORS,
        summary=summary,
        errors=_DECIDING,
    )


def _judge_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/rollouts/{rollout_id}/warm-up",
            name="report_warm_up",
            handler=handlers.command_rollout,
            asks=commands.ReportWarmUp,
            answers=RolloutResource,
            roles=SERVICES,
            summary="Report how far the candidate has warmed up",
            errors=_DECIDING,
        ),
        Command(
            method="POST",
            path="/v1/rollouts/{rollout_id}/measurements",
            handler=handlers.report_measurement,
            asks=Measurement,
            answers=JudgedResource,
            roles=SERVICES,
            summary="Report a measurement and get the verdicts",
            errors=(*_DECIDING, errors.InvalidMeasurementError),
        ),
    ]
